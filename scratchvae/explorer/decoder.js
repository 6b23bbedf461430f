"use strict";
// The decoder p(x | z), from weights that Python has written: one function for each layer, its equation above it.
// Numbers are float32 arrays; a matrix (D, H) lies row by row. This file needs no browser.

// ---- numbers

// A float16 number of 5 bits of exponent e and 10 bits of fraction m: (1 + m / 1024) 2^(e - 15), or m 2^-24 if e = 0
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// {type: "float16" or "float32", base64: their bytes, the lower ones first} -> float32
function numbersOf({ type, base64 }) {
  const text = atob(base64), bytes = new DataView(new ArrayBuffer(text.length));
  for (let i = 0; i < text.length; i++) bytes.setUint8(i, text.charCodeAt(i));
  const size = type === "float16" ? 2 : 4, numbers = new Float32Array(text.length / size);
  for (let i = 0; i < numbers.length; i++) {
    numbers[i] = size === 2 ? half(bytes.getUint16(2 * i, true)) : bytes.getFloat32(4 * i, true);
  }
  return numbers;
}

// A description with its places {start, shape} replaced by the float32 numbers that lie there.
function withWeights(description, numbers) {
  if (description === null || typeof description !== "object") return description;
  if (Array.isArray(description)) return description.map((part) => withWeights(part, numbers));
  if ("start" in description && "shape" in description) {
    const size = description.shape.reduce((a, b) => a * b, 1);
    return numbers.subarray(description.start, description.start + size);
  }
  return Object.fromEntries(Object.entries(description).map(([name, part]) => [name, withWeights(part, numbers)]));
}

// ---- layers

const sigmoidOf = (x) => 0.5 + 0.5 * Math.tanh(0.5 * x);
const softplusOf = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

// y = x W + y0.   x (D,), W (D, H) -> y (H,), which begins as y0
function addProduct(y, x, weight) {
  const width = y.length;
  for (let i = 0; i < x.length; i++) {
    const factor = x[i];
    if (factor === 0) continue;
    for (let j = 0, k = i * width; j < width; j++, k++) y[j] += factor * weight[k];
  }
  return y;
}

const LAYERS = {
  // y = x W + b
  affine: (x, layer) => addProduct(Float32Array.from(layer.bias), x, layer.weight),

  // y = max(x, 0)
  relu: (x) => x.map((value) => Math.max(value, 0)),

  // y = x where x > 0, else x / 100
  leaky_relu: (x) => x.map((value) => (value > 0 ? value : 0.01 * value)),

  // y = tanh x
  tanh: (x) => x.map(Math.tanh),

  // y = 1 / (1 + exp(-x))
  sigmoid: (x) => x.map(sigmoidOf),

  // y = log(1 + exp x)
  softplus: (x) => x.map(softplusOf),

  // r = exp(f - log(1 + exp(f - log s))),   the mean of a Poisson likelihood, below s
  rate: (x, layer) => x.map((f) => Math.exp(f - softplusOf(f - layer["log largest"]))),

  // y[p, o] = b[o] + sum of kernel[p - s q + padding, o, i] x[q, i] over pixels q and channels i; s is the stride
  "convolution transposed": (x, layer) => {
    const [height, width, inputs] = layer.from, [rows, columns, outputs] = layer.to;
    const { kernel, bias, stride, padding } = layer, side = Math.round(Math.sqrt(kernel.length / (inputs * outputs)));
    const y = new Float32Array(rows * columns * outputs);
    for (let k = 0; k < y.length; k++) y[k] = bias[k % outputs];
    for (let q = 0; q < height * width; q++) {
      const top = stride * Math.floor(q / width) - padding, left = stride * (q % width) - padding;
      const pixel = x.subarray(q * inputs, (q + 1) * inputs);
      for (let i = Math.max(0, -top); i < side && top + i < rows; i++) {
        for (let j = Math.max(0, -left); j < side && left + j < columns; j++) {
          const place = ((top + i) * columns + left + j) * outputs, corner = (i * side + j) * outputs * inputs;
          for (let o = 0, k = corner; o < outputs; o++) {
            let sum = 0;
            for (let c = 0; c < inputs; c++, k++) sum += kernel[k] * pixel[c];
            y[place + o] += sum;
          }
        }
      }
    }
    return y;
  },

  // The means, where the network gives mean and log std side by side on the last axis.   (..., 2 C) -> (..., C)
  "first half": (x, layer) => {
    const n = layer.channels;
    return Float32Array.from({ length: x.length / 2 }, (_, k) => x[2 * n * Math.floor(k / n) + (k % n)]);
  },

  // z1: zero but for the units that M2 models
  scatter: (x, layer) => {
    const z = new Float32Array(layer.size);
    layer.units.forEach((unit, k) => { z[unit] = x[k]; });
    return z;
  },
};

const forward = (steps, x) => steps.reduce((h, step) => LAYERS[step.step](h, step), x);

// The mean of p(x | z), or of p(x | y, z): the indicator of the class y and z side by side
function meanOf(decoder, z, y) {
  const indicator = Array.from({ length: decoder.classes }, (_, k) => (k === y ? 1 : 0));
  return forward(decoder.steps, Float32Array.from([...indicator, ...z]));
}

// ---- recurrent layers

// (x - mean) / sqrt(variance + 1e-5) over the entries from start to end, in place
function normalize(x, start, end) {
  let mean = 0, variance = 0;
  for (let k = start; k < end; k++) mean += x[k] / (end - start);
  for (let k = start; k < end; k++) variance += (x[k] - mean) ** 2 / (end - start);
  for (let k = start; k < end; k++) x[k] = (x[k] - mean) / Math.sqrt(variance + 1e-5);
}

// c' = f c + i g,   h' = o tanh c',   i, f, o = sigmoid and g = tanh of the blocks of a = x W + b + h U + constant;
// with a layer norm, b and the scales come behind the normalisation of each block, and c' is normalised inside tanh
function lstmStep(lstm, x, state, constant) {
  const size = state.h.length, normed = "gate_scale" in lstm;
  const a = Float32Array.from(constant);
  addProduct(addProduct(a, x, lstm.weight), state.h, lstm.recurrent);
  for (let block = 0; normed && block < 4; block++) normalize(a, block * size, (block + 1) * size);
  for (let k = 0; k < a.length; k++) a[k] = (normed ? a[k] * lstm.gate_scale[k] : a[k]) + lstm.bias[k];
  const c = new Float32Array(size), h = new Float32Array(size);
  for (let k = 0; k < size; k++) {
    c[k] = sigmoidOf(a[size + k]) * state.c[k] + sigmoidOf(a[k]) * Math.tanh(a[3 * size + k]);
  }
  const inside = Float32Array.from(c);
  if (normed) {
    normalize(inside, 0, size);
    for (let k = 0; k < size; k++) inside[k] = inside[k] * lstm.cell_scale[k] + lstm.cell_shift[k];
  }
  for (let k = 0; k < size; k++) h[k] = sigmoidOf(a[2 * size + k]) * Math.tanh(inside[k]);
  return { h, c };
}

// h' = (1 - u) n + u h,   r, u = sigmoid(x W + b + constant + h U),   n = tanh(x W + b + constant + r (h U + b_n));
// x is the indicator of a symbol: x W is a row of W
function gruStep(gru, symbol, h, constant) {
  const size = h.length, x = Float32Array.from(constant), product = new Float32Array(3 * size);
  for (let k = 0; k < x.length; k++) x[k] += gru.weight[symbol * 3 * size + k] + gru.bias[k];
  addProduct(product, h, gru.recurrent);
  return h.map((before, k) => {
    const r = sigmoidOf(x[k] + product[k]), u = sigmoidOf(x[size + k] + product[size + k]);
    const n = Math.tanh(x[2 * size + k] + r * (product[2 * size + k] + gru.recurrent_bias[k]));
    return (1 - u) * n + u * before;
  });
}

// ---- random choices

// Uniform numbers in [0, 1): the same seed gives the same ones. Mulberry32, by Tommy Ettinger (2017).
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Two normal numbers of two uniform ones: Box & Muller (1958)
function normalPair(uniform) {
  const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

// pi = softmax(logits / temperature), in place
function softmax(logits, temperature) {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let k = 0; k < logits.length; k++) sum += logits[k] = Math.exp((logits[k] - largest) / temperature);
  for (let k = 0; k < logits.length; k++) logits[k] /= sum;
  return logits;
}

// The first entry whose cumulated probability exceeds the uniform number
function choose(probabilities, uniform) {
  let sum = 0, k = 0;
  for (; k < probabilities.length - 1; k++) if (uniform < (sum += probabilities[k])) break;
  return k;
}

// ---- sketches

// h_0, c_0 = tanh(z W_0 + b_0), and z V, which every step adds
function sketchStart(decoder, z) {
  const state = LAYERS.affine(z, decoder.initial).map(Math.tanh), size = state.length / 2;
  const constant = addProduct(new Float32Array(4 * size), z, decoder.constant);
  return { state: { h: state.slice(0, size), c: state.slice(size) }, constant };
}

// The density of the next row after h: logits of the pen, and of each Gaussian its logit, means, log stds and r,
// log s = log s_min + log(1 + exp(raw - log s_min)),   r = 4 tanh(raw / 4),   rho = tanh r
function sketchStep(decoder, h) {
  const outputs = LAYERS.affine(h, decoder.head), least = decoder["log smallest"], most = decoder["largest r"];
  const gaussians = Array.from({ length: decoder.mixtures }, (_, k) => {
    const [logit, x, y, rawX, rawY, rawR] = outputs.subarray(3 + 6 * k, 9 + 6 * k);
    const logStds = [rawX, rawY].map((raw) => least + softplusOf(raw - least));
    return { logit, mean: [x, y], logStds, r: most * Math.tanh(rawR / most) };
  });
  return { pen: outputs.slice(0, 3), gaussians };
}

// A row (dx, dy, pen) of that density: logits divided by the temperature, variances multiplied by it.
// x = m + (s_1 a, s_2 (rho a + b sqrt(1 - rho^2))) for two normal numbers a and b
function sampleRow({ pen, gaussians }, temperature, uniformPen, uniformGaussian, [a, b]) {
  const state = choose(softmax(pen, temperature), uniformPen);
  if (state === 2) return [0, 0, 2];
  const logits = Float64Array.from(gaussians, (gaussian) => gaussian.logit);
  const { mean, logStds, r } = gaussians[choose(softmax(logits, temperature), uniformGaussian)];
  const [s1, s2] = logStds.map((logStd) => Math.exp(logStd) * Math.sqrt(temperature)), rho = Math.tanh(r);
  return [mean[0] + s1 * a, mean[1] + s2 * (rho * a + Math.sqrt(1 - rho * rho) * b), state];
}

// Rows (dx, dy, pen) of a sketch x ~ p(x | z), pen 0 down, 1 up; noise(t) gives the random numbers of step t
function drawSketch(decoder, z, temperature, noise) {
  const rows = [];
  let { state, constant } = sketchStart(decoder, z), row = [0, 0, 0];
  for (let t = 0; t < decoder.longest; t++) {
    const input = Float32Array.from([row[0], row[1], +(row[2] === 0), +(row[2] === 1), +(row[2] === 2)]);
    state = lstmStep(decoder.lstm, input, state, constant);
    row = sampleRow(sketchStep(decoder, state.h), temperature, ...noise(t));
    if (row[2] === 2) break;
    rows.push([row[0] * decoder.scale, row[1] * decoder.scale, row[2]]);
  }
  return rows;
}

// Noise for drawSketch, the same for the same seed, so that a drawing changes smoothly with z
function sketchNoise(seed) {
  const uniform = generator(seed);
  return () => [uniform(), uniform(), normalPair(uniform)];
}

// ---- molecules

// The symbols of a string x ~ p(x | z), the most probable one at each step where the temperature is 0;
// uniform(t) gives the random number of step t
function writeMolecule(decoder, z, temperature, uniform) {
  let h = LAYERS.affine(z, decoder.initial).map(Math.tanh), symbol = 0, text = "";
  const constant = addProduct(new Float32Array(3 * h.length), z, decoder.constant);
  for (let t = 0; t < decoder.longest; t++) {
    h = gruStep(decoder.gru, symbol, h, constant);
    const logits = Float64Array.from(LAYERS.affine(h, decoder.head));
    symbol = temperature > 0
      ? choose(softmax(logits, temperature), uniform(t))
      : logits.reduce((best, logit, k) => (logit > logits[best] ? k : best), 0);
    if (symbol === 0) break;
    text += decoder.symbols[symbol];
  }
  return text;
}

// E[t | z] of every property: m + u f(z)
function predictedProperties(decoder, z) {
  if (!decoder.properties) return [];
  const { names, steps, centre, unit } = decoder.properties;
  return Array.from(forward(steps, Float32Array.from(z)), (f, k) => [names[k], centre[k] + unit[k] * f]);
}
