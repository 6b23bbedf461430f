"use strict";
// The positions of the atoms of a molecule on paper, and its structural formula. Bonds have about the length 1.

const LAYOUT_TRIES = 6, MOST_DRAWN = 120;

// The length of the shortest path between any two atoms, Infinity where there is none.   (n, n)
function pathLengths(n, neighbours) {
  return Array.from({ length: n }, (_, start) => {
    const lengths = new Array(n).fill(Infinity), queue = [start];
    lengths[start] = 0;
    for (const atom of queue) {
      for (const { other } of neighbours[atom]) {
        if (lengths[other] === Infinity) {
          lengths[other] = lengths[atom] + 1;
          queue.push(other);
        }
      }
    }
    return lengths;
  });
}

// The shortest rings through all bonds, each once
function ringsOf(bonds, neighbours) {
  const rings = new Map();
  for (const bond of bonds) {
    const ring = shortestRing(bond, neighbours);
    if (ring) rings.set([...ring].sort((a, b) => a - b).join(" "), ring);
  }
  return [...rings.values()];
}

// The distances that pairs of atoms should have, with weights: 1 along a bond; sqrt(3) beside an angle of 120 degrees;
// in rings those of a regular polygon; for all others 0.87 for each bond of the way, which matters less the farther
function targets({ atoms, bonds }, neighbours, rings) {
  const lengths = pathLengths(atoms.length, neighbours), pairs = new Map();
  const ask = (i, j, distance, weight) => {
    pairs.set(Math.min(i, j) * atoms.length + Math.max(i, j), { i, j, distance, weight });
  };
  for (let i = 0; i < atoms.length; i++) {
    for (let j = i + 1; j < atoms.length; j++) {
      if (lengths[i][j] < Infinity) ask(i, j, 0.87 * lengths[i][j], 0.3 / lengths[i][j] ** 2);
    }
  }
  neighbours.forEach((around) => {
    const orders = around.map(({ bond }) => bond.order);
    const straight = around.length === 2 && (orders.includes(3) || orders.every((order) => order === 2));
    for (const { other } of around) {
      for (const { other: third } of around) {
        if (other < third && around.length <= 3) ask(other, third, straight ? 2 : Math.sqrt(3), 1);
      }
    }
  });
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i++) {
      for (let j = 0; j < i; j++) {
        const size = ring.length;
        ask(ring[i], ring[j], Math.sin((Math.PI * (i - j)) / size) / Math.sin(Math.PI / size), 3);
      }
    }
  }
  for (const { i, j } of bonds) ask(i, j, 1, 4);
  return [...pairs.values()];
}

// The sum of weight (|x_i - x_j| - distance)^2, and its minimum by majorisation: every step solves a weighted mean. All
// weights are 1 / distance^2 first, which unfolds the molecule, and then those of the targets.
// Source: Gansner, Koren & North, "Graph drawing by stress majorization" (2004), in the localised form of section 2.4
function stressLayout(n, pairs, uniform, steps = 150) {
  const around = Array.from({ length: n }, () => []);
  for (const { i, j, distance, weight } of pairs) {
    around[i].push([j, distance, weight]);
    around[j].push([i, distance, weight]);
  }
  const xy = Array.from({ length: n }, () => [uniform() * n, uniform() * n]);
  for (let step = 0; step < 2 * steps; step++) {
    for (let i = 0; i < n; i++) {
      let x = 0, y = 0, sum = 0;
      for (const [j, distance, last] of around[i]) {
        const weight = step < steps ? 1 / distance ** 2 : last;
        const dx = xy[i][0] - xy[j][0], dy = xy[i][1] - xy[j][1], length = Math.hypot(dx, dy) || 1e-9;
        x += weight * (xy[j][0] + (distance * dx) / length);
        y += weight * (xy[j][1] + (distance * dy) / length);
        sum += weight;
      }
      if (sum) xy[i] = [x / sum, y / sum];
    }
  }
  const stress = pairs.reduce((sum, { i, j, distance, weight }) =>
    sum + weight * (Math.hypot(xy[i][0] - xy[j][0], xy[i][1] - xy[j][1]) - distance) ** 2, 0);
  return { xy, stress };
}

// How many pairs of bonds cross each other
function crossings(bonds, xy) {
  const side = (a, b, c) => Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
  let n = 0;
  bonds.forEach((first, k) => {
    for (const second of bonds.slice(k + 1)) {
      if (new Set([first.i, first.j, second.i, second.j]).size < 4) continue;
      const [a, b, c, d] = [first.i, first.j, second.i, second.j].map((atom) => xy[atom]);
      if (side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b)) n += 1;
    }
  });
  return n;
}

// A place [x, y] for each atom; parts of the molecule without a bond between them stand side by side
function coordinates(molecule) {
  const { atoms, bonds } = molecule, neighbours = neighboursOf(atoms, bonds), rings = ringsOf(bonds, neighbours);
  const pairs = targets(molecule, neighbours, rings), uniform = generator(1);
  const layouts = Array.from({ length: LAYOUT_TRIES }, () => stressLayout(atoms.length, pairs, uniform));
  for (const layout of layouts) layout.stress += 10 * crossings(bonds, layout.xy);
  const { xy } = layouts.reduce((best, each) => (each.stress < best.stress ? each : best));
  const lengths = pathLengths(atoms.length, neighbours), places = new Array(atoms.length);
  let right = 0;
  for (let start = 0; start < atoms.length; start++) {
    if (places[start]) continue;
    const part = atoms.map((_, k) => k).filter((k) => lengths[start][k] < Infinity);
    const turned = lying(part.map((k) => xy[k])), left = Math.min(...turned.map(([x]) => x));
    part.forEach((atom, k) => { places[atom] = [turned[k][0] - left + right, turned[k][1]]; });
    right = Math.max(...part.map((atom) => places[atom][0])) + 1.5;
  }
  return { places, rings, neighbours };
}

// Turned in steps of 15 degrees, so that it is as little high as it can be, around its middle
function lying(xy) {
  let best = null, least = Infinity;
  for (let k = 0; k < 12; k++) {
    const [c, s] = [Math.cos((Math.PI * k) / 12), Math.sin((Math.PI * k) / 12)];
    const turned = xy.map(([x, y]) => [c * x - s * y, s * x + c * y]), ys = turned.map(([, y]) => y);
    const low = Math.min(...ys), high = Math.max(...ys);
    if (high - low < least) [best, least] = [turned.map(([x, y]) => [x, y - (low + high) / 2]), high - low];
  }
  return best;
}

// ---- the formula

const ELEMENT_COLOURS = new Map(Object.entries(
  { N: "--nitrogen", O: "--oxygen", S: "--sulphur", P: "--phosphorus" },
).concat(["F", "Cl", "Br", "I"].map((element) => [element, "--halogen"])));

// Carbons are corners; other atoms have their symbols, hydrogens and charges, in a colour
function drawMolecule(canvas, molecule) {
  const { context, width, height } = fitted(canvas), { atoms, bonds } = molecule;
  const { places, rings, neighbours } = coordinates(molecule), box = boxOf(places);
  const span = (k) => Math.max(...places.map((xy) => xy[k])) - Math.min(...places.map((xy) => xy[k])) + 1.4;
  const scale = Math.min(width / Math.max(span(0), 7), height / Math.max(span(1), 4));
  const [x0, y0] = box.middle;
  const at = places.map(([x, y]) => [width / 2 + scale * (x - x0), height / 2 - scale * (y - y0)]);
  const labelled = atoms.map((atom, k) => atom.element !== "C" || atom.charge || atom.isotope || !neighbours[k].length);
  const colour = (k) => colourOf(ELEMENT_COLOURS.get(atoms[k].element) ?? "--ink");
  context.clearRect(0, 0, width, height);
  context.lineWidth = Math.max(1, scale / 16);
  context.lineCap = "round";
  for (const bond of bonds) {
    for (const [from, to] of bondLines(bond, at, labelled, rings, neighbours, scale)) {
      const middle = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
      for (const [start, end, atom] of [[from, middle, bond.i], [middle, to, bond.j]]) {
        context.strokeStyle = colour(atom);
        context.beginPath();
        context.moveTo(...start);
        context.lineTo(...end);
        context.stroke();
      }
    }
  }
  const size = Math.max(9, 0.44 * scale);
  context.textAlign = "center";
  context.textBaseline = "middle";
  atoms.forEach((atom, k) => {
    if (!labelled[k]) return;
    context.fillStyle = colour(k);
    writeLabel(context, atom, at[k], neighbours[k].map(({ other }) => at[other]), size);
  });
}

// The lines of a bond, shorter where its atoms have labels; the second line of a double bond lies inside its ring
function bondLines(bond, at, labelled, rings, neighbours, scale) {
  const [a, b] = [at[bond.i], at[bond.j]], length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1e-9;
  const along = [(b[0] - a[0]) / length, (b[1] - a[1]) / length], across = [-along[1], along[0]];
  const moved = (point, forth, aside) => [0, 1].map((k) => point[k] + forth * along[k] + aside * across[k]);
  const gaps = [bond.i, bond.j].map((atom) => (labelled[atom] ? 0.3 * scale : 0)), apart = 0.15 * scale;
  const line = (aside, cut = 0) => [moved(a, gaps[0] || cut, aside), moved(b, -(gaps[1] || cut), aside)];
  if (bond.order === 1) return [line(0)];
  if (bond.order > 2) return [line(-apart), line(0), line(apart)];
  const inside = rings.filter((each) => each.includes(bond.i) && each.includes(bond.j));
  const [ring] = inside.sort((x, y) => x.length - y.length);
  const around = ring ?? [bond.i, bond.j].flatMap((atom) => neighbours[atom].map(({ other }) => other));
  const atEnd = Math.min(neighbours[bond.i].length, neighbours[bond.j].length) === 1;
  if (!ring && atEnd) return [line(-apart / 2), line(apart / 2)];
  const centre = [0, 1].map((k) => around.reduce((sum, atom) => sum + at[atom][k], 0) / around.length);
  const side = across[0] * (centre[0] - a[0]) + across[1] * (centre[1] - a[1]) > 0 ? apart : -apart;
  return [line(0), line(side, 0.14 * scale)];
}

// The symbol at its place, the hydrogens on its freest side, the charge above them
function writeLabel(context, atom, [x, y], others, size) {
  context.font = `${size}px system-ui, sans-serif`;
  const width = context.measureText(atom.element).width;
  context.fillText(atom.element, x, y);
  const small = `${0.7 * size}px system-ui, sans-serif`;
  const crowd = others.reduce((sum, [other]) => sum + Math.sign(other - x), 0);
  let edge = x + width / 2;
  if (atom.hydrogens) {
    const count = atom.hydrogens > 1 ? String(atom.hydrogens) : "", h = context.measureText("H").width;
    context.font = small;
    const c = context.measureText(count).width, left = crowd > 0 ? x - width / 2 - h - c : edge;
    context.fillText(count, left + h + c / 2, y + 0.25 * size);
    context.font = `${size}px system-ui, sans-serif`;
    context.fillText("H", left + h / 2, y);
    edge = crowd > 0 ? edge : left + h + c;
  }
  context.font = small;
  if (atom.charge) {
    const n = Math.abs(atom.charge), text = (n > 1 ? String(n) : "") + (atom.charge > 0 ? "+" : "\u2212");
    context.fillText(text, edge + context.measureText(text).width / 2, y - 0.4 * size);
  }
  if (atom.isotope) context.fillText(atom.isotope, x - width / 2 - 0.3 * size, y - 0.4 * size);
}
