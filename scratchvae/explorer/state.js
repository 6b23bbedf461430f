"use strict";
// The content of the page, which Python has written, its state, which an address can hold, and values computed from it.

const content = JSON.parse(document.getElementById("content").textContent);
const K = content.units, N = content.rows.length, C = content.decoder.classes ?? 0;
const decoder = withWeights(content.decoder, numbersOf(content.weights));
const flatCodes = numbersOf(content.codes);
const codes = Array.from({ length: N }, (_, row) => flatCodes.subarray(row * K, (row + 1) * K));
const kind = content.picture;
const by = (id) => document.getElementById(id);
const STEPS = 9, LARGEST = 1000, QUIET = 250; // pictures from A to B; of an entry of z; milliseconds

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ---- state

const initialState = () => ({
  z: new Array(K).fill(0), y: 0, plane: K > 2 ? "pca" : "1,2", colour: 0, a: null, b: null, t: 0, way: "line",
  temperature: kind === "molecule" ? 0 : 0.3, seed: 1,
});
let state = initialState();
let pointed = null; // the row below the pointer
let alone = null; // the class that the legend shows alone

const written = (z) => z.map((value) => String(Number(value.toFixed(3)))).join(",");

function fragment() {
  const parts = { z: written(state.z), plane: state.plane, colour: state.colour };
  if (C) parts.y = state.y;
  if (state.a) parts.a = written(state.a);
  if (state.b) parts.b = written(state.b);
  if (state.a || state.b) Object.assign(parts, { t: state.t, way: state.way });
  const { temperature, seed } = state;
  if (kind === "sketch" || kind === "molecule") Object.assign(parts, { temperature, seed });
  return new URLSearchParams(parts).toString().replaceAll("%2C", ",");
}

// Reads the state from an address; invalid parts keep their initial values, as anybody may write an address
function readFragment(text) {
  const parts = new URLSearchParams(text.replace(/^#/, "")), read = initialState();
  const number = (name, low, high) => {
    const value = Number(parts.get(name) ?? NaN);
    if (Number.isFinite(value) && value >= low && value <= high) read[name] = value;
  };
  for (const name of ["z", "a", "b"]) {
    const values = (parts.get(name) ?? "").split(",").map((part) => (part === "" ? NaN : Number(part)));
    if (values.length === K && values.every((value) => Math.abs(value) <= LARGEST)) read[name] = values;
  }
  const units = (parts.get("plane") ?? "").split(",").map(Number);
  if (parts.get("plane") === "pca" && K > 2) read.plane = "pca";
  const isUnit = (unit) => Number.isInteger(unit) && unit >= 1 && unit <= Math.max(K, 2);
  if (units.length === 2 && units[0] !== units[1] && units.every(isUnit)) read.plane = units.join(",");
  for (const [name, most] of [["y", C - 1], ["colour", content.colourings.length - 1], ["seed", 2 ** 32 - 1]]) {
    number(name, 0, most);
    read[name] = Math.floor(read[name]);
  }
  number("t", 0, 1);
  number("temperature", 0, 1.2);
  if (parts.get("way") === "arc") read.way = "arc";
  return read;
}

// ---- from z to its picture

const options = () => ({ temperature: Math.max(state.temperature, kind === "sketch" ? 0.01 : 0), seed: state.seed });

function decoded(z, y = state.y) {
  const { temperature, seed } = options();
  if (kind === "sketch") return drawSketch(decoder, z, temperature, sketchNoise(seed));
  if (kind === "molecule") return writeMolecule(decoder, z, temperature, generator(seed));
  return meanOf(decoder, z, y);
}

function moleculeOf(string) {
  try {
    return { molecule: readSmiles(string, content.elements), reason: "" };
  } catch (error) {
    if (!(error instanceof Fault || error instanceof Undecided)) throw error;
    return { molecule: null, reason: error.message, undecided: error instanceof Undecided };
  }
}

// The rows (dx, dy, lifted) of every sketch of the data
const sketches = (() => {
  if (!content.sketches) return [];
  const { offsets, lengths, lifted } = content.sketches, numbers = numbersOf(offsets);
  let k = 0;
  return lengths.map((n) => Array.from({ length: n }, () => {
    const row = [decoder.scale * numbers[2 * k], decoder.scale * numbers[2 * k + 1], Number(lifted[k])];
    k += 1;
    return row;
  }));
})();

// The side of a sketch that fills its picture: nine of ten are smaller
const usualSide = (() => {
  const sides = sketches.map((rows) => boxOf(pointsOf(rows)).side).sort((a, b) => a - b);
  return sides.length ? sides[Math.floor(0.9 * sides.length)] : 0;
})();

function show(canvas, value, n = Infinity) {
  if (kind === "image") drawImage(canvas, value, content.images);
  if (kind === "vector") drawVector(canvas, value, content.vectors);
  if (kind === "sketch") drawStrokes(canvas, value, usualSide, n);
  if (kind === "molecule") {
    const { molecule } = moleculeOf(value);
    if (molecule && molecule.atoms.length <= MOST_DRAWN) drawMolecule(canvas, molecule);
    else fitted(canvas).context.clearRect(0, 0, canvas.width, canvas.height);
  }
}

const vectors = content.vectors?.values ? numbersOf(content.vectors.values) : null;
const sheet = new Image();
sheet.addEventListener("load", () => changed({ map: true }));

const hasRows = Boolean(content.images?.thumbnails || content.vectors?.values || content.sketches || content.molecules);

function showRow(canvas, row) {
  if (kind === "image" && sheet.complete) drawThumbnail(canvas, sheet, row, content.images.thumbnails);
  if (kind === "vector") {
    const size = vectors.length / N;
    drawVector(canvas, vectors.subarray(size * row, size * (row + 1)), content.vectors);
  }
  if (kind === "sketch") drawStrokes(canvas, sketches[row], usualSide);
  if (kind === "molecule") show(canvas, content.molecules[row]);
}

const distance = (z, row) => Math.sqrt(codes[row].reduce((sum, value, k) => sum + (value - z[k]) ** 2, 0));

function nearestRow(z) {
  let nearest = 0, least = Infinity;
  for (let row = 0; row < N; row++) {
    const far = distance(z, row);
    if (far < least) [nearest, least] = [row, far];
  }
  return nearest;
}

// The labels and numbers of a row, in words
function wordsOf(row) {
  const known = content.colourings.map(({ name, classes, values }) => {
    const value = values[row];
    return `${name} ${value === null ? "not known" : classes ? classes[value] : Number(value.toPrecision(3))}`;
  });
  return [`row ${content.rows[row]}`, ...known.slice(0, 5)].join(", ");
}

// ---- ways from A to B

// cos w > -0.999: whether one arc around the origin is the shortest
function angleOf(a, b) {
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  return cosine > -0.999 ? Math.acos(Math.min(cosine, 1)) : NaN;
}

// z(t) = (1 - t) a + t b, or (sin((1 - t) w) a + sin(t w) b) / sin w with the angle w between them
function between(a, b, t, way) {
  const w = angleOf(a, b), arc = way === "arc" && w > 1e-3;
  const [before, after] = arc ? [Math.sin((1 - t) * w) / Math.sin(w), Math.sin(t * w) / Math.sin(w)] : [1 - t, t];
  return a.map((value, k) => before * value + after * b[k]);
}
