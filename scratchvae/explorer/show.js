"use strict";
// Showing the state: the map at once, and slower pictures once z has stood still.

// ---- the map

const map = by("map"), background = document.createElement("canvas");
let plane, points, frame, extent;
let drawnRow = null; // the row whose picture is shown

function layMap() {
  plane = planeOf(state.plane, K, content.pca);
  points = codes.map((z) => projected(plane, z));
  extent = extentOf(points, projected(plane, new Array(K).fill(0)));
}

function drawBackground() {
  const { context, width, height } = fitted(map);
  drawnRow = null;
  frame = frameOf(extent, width, height);
  const colouring = content.colourings[state.colour];
  drawDensity(context, densityOf(points, extent), extent, frame);
  drawPoints(context, points, colours(colouring, N, alone), frame);
  if (content["standard prior"]) drawCircles(context, plane, frame);
  drawNames(context, colouring, points, frame);
  drawAxes(context, plane, width, height);
  background.width = map.width;
  background.height = map.height;
  background.getContext("2d").drawImage(map, 0, 0);
}

function drawMap() {
  const context = map.getContext("2d"), place = (z) => frame.to(projected(plane, z));
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, map.width, map.height);
  context.drawImage(background, 0, 0);
  context.restore();
  const row = pointed ?? nearestRow(state.z), [x, y] = frame.to(points[row]);
  context.strokeStyle = colourOf("--ink");
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, 6, 0, 2 * Math.PI);
  context.stroke();
  if (state.a && state.b) {
    drawPath(context, Array.from({ length: 33 }, (_, k) => place(between(state.a, state.b, k / 32, state.way))));
  }
  if (state.a) drawMarker(context, place(state.a), "A", colourOf("--faint"));
  if (state.b) drawMarker(context, place(state.b), "B", colourOf("--faint"));
  drawMarker(context, place(state.z), "z", colourOf("--accent"));
}

// ---- showing the state

let strokes = 0; // the number of the drawing that is being written

function write(rows) {
  const own = ++strokes, started = performance.now();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const next = (now) => {
    if (own !== strokes) return;
    const n = Math.floor(((now - started) / 1000) * Math.max(30, rows.length / 2));
    show(by("picture"), rows, n);
    if (n < rows.length) requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}

function showDecoded() {
  const started = performance.now(), value = decoded(state.z), milliseconds = performance.now() - started;
  strokes += 1;
  show(by("picture"), value);
  const mean = C ? "Mean of p(x | y, z)" : "Mean of p(x | z)";
  const nouns = { image: mean, vector: mean, sketch: "A drawing x ~ p(x | z)", molecule: "A string x ~ p(x | z)" };
  by("picture-caption").textContent = `${nouns[kind]}, decoded here in ${milliseconds.toFixed(1)} ms`;
  by("picture").setAttribute("aria-label", `${nouns[kind]} at this z${C ? `, class ${state.y}` : ""}`);
  if (kind === "molecule") showMolecule(value);
  return value;
}

function showMolecule(string) {
  const { molecule, reason, undecided } = moleculeOf(string);
  by("string").textContent = string || "(empty)";
  const valid = "valid by the rules of read_smiles, which check neither strain nor stability";
  by("verdict").textContent = molecule ? valid : undecided ? reason : `no molecule: ${reason}`;
  by("predictions").tBodies[0].replaceChildren(...predictedProperties(decoder, state.z).map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value.toPrecision(4)))));
}

function showNearest() {
  const row = pointed ?? nearestRow(state.z), far = distance(state.z, row);
  by("row-caption").textContent = `${pointed === null ? "Nearest: " : ""}${wordsOf(row)}; distance ${far.toFixed(2)}`;
  if (hasRows && row !== drawnRow) showRow(by("thumbnail"), row);
  drawnRow = row;
  by("thumbnail").setAttribute("aria-label", wordsOf(row));
  const least = pointed === null ? far : distance(state.z, nearestRow(state.z)), lonely = least > content.neighbours;
  by("far").hidden = !lonely;
  by("far").textContent = `There are no data near z: the nearest row is at a distance of ${least.toFixed(2)}, while ` +
    `99 % of the rows have another row within ${content.neighbours.toFixed(2)}.`;
}

function showControls() {
  for (const slider of by("units").querySelectorAll("input")) {
    const value = state.z[Number(slider.dataset.unit)];
    slider.value = value;
    slider.nextElementSibling.textContent = value.toFixed(2);
  }
  for (const [id, value] of [["t", state.t], ["temperature", state.temperature]]) {
    by(id).value = value;
    by(`${id}-value`).textContent = Number(value).toFixed(2);
  }
  for (const input of document.querySelectorAll("input[name=y]")) input.checked = Number(input.value) === state.y;
  by("way-line").checked = state.way === "line";
  by("way-arc").checked = state.way === "arc";
  by("t").disabled = by("play").disabled = !(state.a && state.b);
  by("plane").value = state.plane === "pca" ? "pca" : "units";
  by("colour").value = state.colour;
  by("two-units").hidden = state.plane === "pca" || K === 1;
  if (state.plane !== "pca") [by("unit-across").value, by("unit-up").value] = state.plane.split(",");
}

function showLegend() {
  const colouring = content.colourings[state.colour];
  if (!colouring) return;
  if (colouring.classes) {
    by("legend").replaceChildren(...colouring.classes.map((name, k) => {
      const swatch = element("span", { className: "swatch" });
      const button = element("button", { type: "button" }, swatch, name);
      swatch.style.backgroundColor = PALETTE[k % PALETTE.length];
      button.setAttribute("aria-pressed", alone === k);
      button.addEventListener("click", () => {
        alone = alone === k ? null : k;
        changed({ map: true, legend: true });
      });
      return element("li", {}, button);
    }));
    return;
  }
  const bar = element("canvas", { width: 100, height: 1 }), context = bar.getContext("2d");
  for (let k = 0; k < 100; k++) {
    context.fillStyle = shadeOf(k / 99);
    context.fillRect(k, 0, 1, 1);
  }
  const [low, high] = rangeOf(colouring.values).map((value) => Number(value.toPrecision(3)));
  by("legend").replaceChildren(element("li", {}, `${low} `, bar, ` ${high}`));
}

// Slower parts wait until z has stood still for a moment: pictures of all classes and from A to B, the address
function showLater(value) {
  for (const canvas of document.querySelectorAll("#classes canvas")) {
    show(canvas, decoded(state.z, Number(canvas.dataset.y)));
  }
  if (state.a && state.b) {
    const ways = Array.from({ length: STEPS }, (_, k) => between(state.a, state.b, k / (STEPS - 1), state.way));
    while (by("strip").children.length < STEPS) by("strip").append(stripButton(by("strip").children.length));
    ways.forEach((z, k) => {
      const [button] = by("strip").children[k].children, [canvas] = button.children, value = decoded(z);
      show(canvas, value);
      button.title = kind === "molecule" ? value : "";
    });
  }
  const cannot = state.a && state.b && state.way === "arc" && !(angleOf(state.a, state.b) >= 0);
  by("way-caption").textContent = !(state.a && state.b) ? "Set both to see the steps between them."
    : cannot ? "No unique arc around the origin joins A and B: the line is shown." : "";
  if (kind === "sketch" && value) write(value);
  if (location.protocol !== "about:") history.replaceState(null, "", `#${fragment()}`);
  const string = kind === "molecule" ? `${by("string").textContent}, ${by("verdict").textContent}; ` : "";
  const place = projected(plane, state.z).map((each) => each.toFixed(1)).join(", ");
  by("spoken").textContent = `${string}z at ${place} on the map; nearest ${wordsOf(nearestRow(state.z))}`;
}

function stripButton(k) {
  const button = element("button", { type: "button" }, element("canvas"));
  button.setAttribute("aria-label", `t = ${(k / (STEPS - 1)).toFixed(2)}`);
  button.addEventListener("click", () => moveAlong(k / (STEPS - 1)));
  return element("li", {}, button);
}

let waiting = {}, frameAsked = false;
let quiet = 0; // the clock that runs until z has stood still; 0 when it has

// Show the state again with the next frame. parts: {plane, map, legend} where more than z has changed
function changed(parts = {}) {
  Object.assign(waiting, parts);
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(() => {
    const now = waiting;
    [frameAsked, waiting] = [false, {}];
    if (now.plane) layMap();
    if (now.legend) showLegend();
    if (now.plane || now.map) drawBackground();
    drawMap();
    const value = showDecoded();
    showNearest();
    showControls();
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      quiet = 0;
      showLater(value);
    }, QUIET);
  });
}

function move(z) {
  state.z = Array.from(z, (value) => Math.min(Math.max(value, -LARGEST), LARGEST));
  changed();
}

// Moves z to the code of a row, and y to its most probable class by the model
function moveToRow(row) {
  if (C) state.y = content.classes[row];
  move(codes[row]);
}

function moveAlong(t) {
  if (!state.a || !state.b) return;
  state.t = t;
  move(between(state.a, state.b, t, state.way));
}

function setAnchor(name) {
  state[name] = [...state.z];
  if (state.a && state.b) state.t = name === "a" ? 0 : 1;
  changed();
}

function play() {
  const started = performance.now(), next = (now) => {
    moveAlong(Math.min((now - started) / 4000, 1));
    if (now - started < 4000) requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}
