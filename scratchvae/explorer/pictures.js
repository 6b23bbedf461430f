"use strict";
// The picture of one row on a canvas: an image, numbers, a drawing or a structural formula.

// The pixels of a canvas for its size on the screen, and the size in units of CSS
function fitted(canvas) {
  const density = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.max(1, Math.round(width * density));
  canvas.height = Math.max(1, Math.round(height * density));
  const context = canvas.getContext("2d");
  context.setTransform(density, 0, 0, density, 0, 0);
  return { context, width, height };
}

const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// shade = (x - low) / (high - low), and 1 - shade for ink on paper.   x: (H, W, C), C = 1 or 3
function drawImage(canvas, x, { shape, shades }) {
  const [height, width, channels] = shape, picture = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < 3; c++) {
      const value = x[pixel * channels + (channels === 3 ? c : 0)];
      const shade = Math.min(Math.max((value - shades.low) / (shades.high - shades.low), 0), 1);
      picture.data[4 * pixel + c] = Math.round(255 * (channels === 1 && shades.ink ? 1 - shade : shade));
    }
    picture.data[4 * pixel + 3] = 255;
  }
  canvas.classList.add("pixels");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// One image of the sheet of thumbnails, which lie row by row
function drawThumbnail(canvas, sheet, number, { columns, width, height }) {
  const x = (number % columns) * width, y = Math.floor(number / columns) * height;
  canvas.classList.add("pixels");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").drawImage(sheet, x, y, width, height, 0, 0, width, height);
}

// A bar for each number of x, from 0
function drawVector(canvas, x, { range }) {
  const { context, width, height } = fitted(canvas), [low, high] = range, step = width / x.length;
  const level = (value) => height * (1 - (Math.min(Math.max(value, low), high) - low) / (high - low));
  context.clearRect(0, 0, width, height);
  context.fillStyle = colourOf("--accent");
  x.forEach((value, k) => {
    const top = Math.min(level(value), level(0)), bottom = Math.max(level(value), level(0));
    context.fillRect(k * step + 0.1 * step, top, 0.8 * step, Math.max(bottom - top, 1));
  });
}

// ---- sketches: rows (dx, dy, lifted), every one a point

// The corners of a sketch, which begins at (0, 0): [x, y, whether the pen came here on the paper]
function pointsOf(rows) {
  const points = [[0, 0, false]];
  let x = 0, y = 0, down = true;
  for (const [dx, dy, lifted] of rows) {
    x += dx;
    y += dy;
    points.push([x, y, down]);
    down = !lifted;
  }
  return points;
}

function boxOf(points) {
  const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
  const [left, top, right, bottom] = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  return { middle: [(left + right) / 2, (top + bottom) / 2], side: Math.max(right - left, bottom - top) };
}

// The first n points; `usual` is the side of a sketch that fills the canvas, and larger ones are made smaller
function drawStrokes(canvas, rows, usual, n = Infinity) {
  const { context, width, height } = fitted(canvas), points = pointsOf(rows), box = boxOf(points);
  const scale = (0.86 * Math.min(width, height)) / Math.max(box.side, usual, 1e-9);
  const place = ([x, y]) => [width / 2 + scale * (x - box.middle[0]), height / 2 + scale * (y - box.middle[1])];
  context.clearRect(0, 0, width, height);
  context.strokeStyle = colourOf("--ink");
  context.lineWidth = Math.max(1, Math.min(width, height) / 110);
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  for (const point of points.slice(0, n + 1)) {
    if (point[2]) context.lineTo(...place(point));
    else context.moveTo(...place(point));
  }
  context.stroke();
}
