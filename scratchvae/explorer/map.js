"use strict";
// The map: codes on a plane of the latent space, their density, and the circles of the prior.

const PALETTE = [
  "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
]; // CLASS_COLOURS of scratchvae/plotting/canvas.py
const SCALE = [[122, 74, 178], [70, 110, 190], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // from low to high
const CIRCLES = [0.5, 0.9, 0.99]; // the parts of the prior's mass inside

const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
const axisOf = (size, unit) => Array.from({ length: size }, (_, k) => (k === unit ? 1 : 0));

// A plane through `origin`: "pca", or two units "1,2", counted from 1. Of one unit alone the second axis is 0.
function planeOf(name, size, pca) {
  if (name === "pca") {
    const names = pca.shares.map((share, k) => `component ${k + 1} (${Math.round(100 * share)} % of the variance)`);
    return { origin: pca.centre, axes: pca.directions, names };
  }
  const units = name.split(",").map((text) => Number(text) - 1);
  const axes = units.map((unit) => (unit < size ? axisOf(size, unit) : new Array(size).fill(0)));
  return { origin: new Array(size).fill(0), axes, names: units.map((unit) => (unit < size ? `z${unit + 1}` : "")) };
}

// (a'(z - o), b'(z - o)) for the axes a and b, which are orthonormal
function projected(plane, z) {
  const moved = Array.from(z, (value, k) => value - plane.origin[k]);
  return plane.axes.map((axis) => dot(axis, moved));
}

// z moved within the plane until it lies at the point (u, v); what is at right angles to the plane stays
function movedTo(plane, z, point) {
  const step = projected(plane, z).map((now, j) => point[j] - now);
  return Array.from(z, (value, k) => plane.axes.reduce((sum, axis, j) => sum + step[j] * axis[k], value));
}

// The square that holds all points and the circle with 90 % of the prior
function extentOf(points, centre) {
  const radius = Math.sqrt(-2 * Math.log(1 - CIRCLES[1]));
  const ranges = centre.map((middle, k) => points.reduce(
    ([low, high], point) => [Math.min(low, point[k]), Math.max(high, point[k])], [middle - radius, middle + radius],
  ));
  const side = 1.06 * Math.max(...ranges.map(([low, high]) => high - low));
  return { low: ranges.map(([low, high]) => (low + high - side) / 2), side };
}

// Counts on a grid of n x n cells, blurred by a Gaussian of `width` cells in both directions, the largest one 1
function densityOf(points, extent, n = 96, width = 2.2) {
  let grid = new Float32Array(n * n);
  for (const point of points) {
    const [i, j] = point.map((value, k) => Math.floor((n * (value - extent.low[k])) / extent.side));
    if (i >= 0 && i < n && j >= 0 && j < n) grid[j * n + i] += 1;
  }
  const reach = Math.ceil(3 * width);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-((k - reach) ** 2) / (2 * width ** 2)));
  for (const [step, other] of [[1, n], [n, 1]]) {
    const blurred = new Float32Array(n * n);
    for (let line = 0; line < n; line++) {
      for (let k = 0; k < n; k++) {
        let sum = 0;
        for (let near = Math.max(k - reach, 0); near <= Math.min(k + reach, n - 1); near++) {
          sum += kernel[near - k + reach] * grid[line * other + near * step];
        }
        blurred[line * other + k * step] = sum;
      }
    }
    grid = blurred;
  }
  const largest = grid.reduce((a, b) => Math.max(a, b), 1e-9);
  return { n, values: grid.map((value) => value / largest) };
}

// ---- colours

function shadeOf(part) {
  const place = Math.min(Math.max(part, 0), 1) * (SCALE.length - 1), k = Math.min(Math.floor(place), SCALE.length - 2);
  return `rgb(${SCALE[k].map((low, c) => Math.round(low + (place - k) * (SCALE[k + 1][c] - low))).join(" ")})`;
}

function rangeOf(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))] : [0, 1];
}

// The colour of every row, by its class or number; grey if that is unknown, or another class is shown alone
function colours(colouring, n, alone) {
  const faint = colourOf("--line");
  if (!colouring) return new Array(n).fill(PALETTE[0]);
  if (colouring.classes) {
    return colouring.values.map((k) => (alone === null || alone === k ? PALETTE[k % PALETTE.length] : faint));
  }
  const [low, high] = rangeOf(colouring.values);
  return colouring.values.map((value) => (value === null ? faint : shadeOf((value - low) / (high - low || 1))));
}

// ---- drawing

// From points of the plane to the canvas, y up, and back
function frameOf(extent, width, height) {
  const scale = Math.min(width, height) / extent.side;
  return {
    scale,
    to: ([u, v]) => [(u - extent.low[0]) * scale, height - (v - extent.low[1]) * scale],
    from: ([x, y]) => [x / scale + extent.low[0], (height - y) / scale + extent.low[1]],
  };
}

function drawDensity(context, density, extent, frame) {
  const sheet = document.createElement("canvas"), { n, values } = density;
  const tone = colourOf("--density").split(",").map(Number);
  sheet.width = sheet.height = n;
  const pixels = new ImageData(n, n);
  for (let k = 0; k < n * n; k++) {
    const row = n - 1 - Math.floor(k / n);
    pixels.data.set([...tone, 110 * Math.sqrt(values[row * n + (k % n)])], 4 * k);
  }
  sheet.getContext("2d").putImageData(pixels, 0, 0);
  const [left, top] = frame.to([extent.low[0], extent.low[1] + extent.side]);
  context.drawImage(sheet, left, top, extent.side * frame.scale, extent.side * frame.scale);
}

function drawCircles(context, plane, frame) {
  const [x, y] = frame.to(projected(plane, new Array(plane.origin.length).fill(0)));
  context.strokeStyle = context.fillStyle = colourOf("--faint");
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "center";
  context.setLineDash([4, 4]);
  for (const mass of CIRCLES) {
    const radius = Math.sqrt(-2 * Math.log(1 - mass)) * frame.scale;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
    context.fillText(`${Math.round(100 * mass)} %`, x, y - radius - 4);
  }
  context.setLineDash([]);
}

function drawPoints(context, points, tones, frame) {
  const order = points.map((_, k) => k), faint = colourOf("--line");
  order.sort((a, b) => (tones[b] === faint) - (tones[a] === faint)); // grey dots lie below
  context.globalAlpha = 0.8;
  for (const k of order) {
    const [x, y] = frame.to(points[k]);
    context.fillStyle = tones[k];
    context.beginPath();
    context.arc(x, y, 2.3, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

// The name of each class at the median of its points, where there are few classes and no other name stands there
function drawNames(context, colouring, points, frame) {
  const isTruth = colouring?.classes?.join() === "no,yes";
  if (!colouring?.classes || colouring.classes.length > 12 || isTruth) return;
  const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  context.font = "bold 17px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 4;
  context.strokeStyle = colourOf("--paper");
  context.fillStyle = colourOf("--ink");
  const written = [];
  colouring.classes.forEach((name, k) => {
    const own = points.filter((_, row) => colouring.values[row] === k);
    if (!own.length || name.length > 12) return;
    const place = frame.to([0, 1].map((axis) => median(own.map((point) => point[axis]))));
    if (written.some(([x, y]) => Math.hypot(x - place[0], y - place[1]) < 16)) return; // the legend names it
    written.push(place);
    context.strokeText(name, ...place);
    context.fillText(name, ...place);
  });
  context.textBaseline = "alphabetic";
}

function drawAxes(context, plane, width, height) {
  context.fillStyle = colourOf("--ink");
  context.font = "13px system-ui, sans-serif";
  context.textAlign = "right";
  context.fillText(`${plane.names[0]} \u2192`, width - 6, height - 7);
  context.save();
  context.rotate(-Math.PI / 2);
  context.fillText(plane.names[1] ? `${plane.names[1]} \u2192` : "", -6, 15);
  context.restore();
}

// A letter in a disc, for z and the anchors
function drawMarker(context, [x, y], letter, tone) {
  context.beginPath();
  context.arc(x, y, 9, 0, 2 * Math.PI);
  context.fillStyle = tone;
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = colourOf("--paper");
  context.stroke();
  context.fillStyle = colourOf("--paper");
  context.font = "bold 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(letter, x, y + 0.5);
  context.textBaseline = "alphabetic";
}

function drawPath(context, places) {
  context.strokeStyle = colourOf("--ink");
  context.lineWidth = 2;
  context.beginPath();
  places.forEach((place, k) => (k ? context.lineTo(...place) : context.moveTo(...place)));
  context.stroke();
}
