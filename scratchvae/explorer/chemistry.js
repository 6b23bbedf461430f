"use strict";
// SMILES -> atoms and bonds, or what is wrong with the string: the rules of scratchvae/chemistry, which a test compares
// string by string. `elements` is {symbols, valences, ions}, the tables of that package.

class Fault extends Error {
  constructor(place, expected, received) {
    super(`expected ${expected}, received ${received} at character ${place + 1}`);
  }
}

class Undecided extends Error {}

const LONGEST_SMILES = 4000, MOST_TRIES = 20000;
const TOKEN = /\[[^\[\]]*\]|Br|Cl|%\d\d|./gsu;
const ORGANIC = new Set("B C N O P S F Cl Br I b c n o p s".split(" "));
const AROMATIC = new Set("b c n o p s as se te".split(" "));
const BRACKET = new RegExp(
  "^\\[(?<isotope>\\d{1,3})?(?<symbol>[A-Z][a-z]?|as|se|te|[bcnops])" +
  "(?<chirality>@(?:@|TH[12]|AL[12]|SP[1-3]|TB(?:1\\d|20|[1-9])|OH(?:[12]\\d|30|[1-9]))?)?" +
  "(?<hydrogens>H\\d?)?(?<charge>\\+{1,4}|-{1,4}|[+-]\\d\\d?)?(?<map>:\\d{1,6})?\\]$",
);
const ORDERS = new Map(Object.entries({ "": 1, "-": 1, "=": 2, "#": 3, $: 4, ":": 1, "/": 1, "\\": 1 }));
const SLANTED = new Set(["/", "\\"]);
const OPPOSITE = new Map([["/", "\\"], ["\\", "/"]]);
const LEFT_OUT = -1; // hydrogens, until they are counted

const capital = (symbol) => symbol[0].toUpperCase() + symbol.slice(1);

function bracketed(token, place, elements) {
  const match = BRACKET.exec(token);
  const expected = token === "[" ? "a ] for this bracket" : "an atom such as [C@@H] or [NH3+]";
  if (!match) throw new Fault(place, expected, token);
  const { isotope, symbol, hydrogens, charge = "" } = match.groups, element = capital(symbol);
  if (!elements.symbols.includes(element)) throw new Fault(place, "the symbol of an element", symbol);
  const size = /\d/.test(charge) ? Number(charge.slice(1)) : charge.length;
  return {
    element, place, aromatic: AROMATIC.has(symbol), isotope: Number(isotope ?? 0),
    hydrogens: hydrogens ? (hydrogens.length > 1 ? Number(hydrogens[1]) : 1) : 0,
    charge: charge.startsWith("-") ? -size : size,
  };
}

// Atoms and bonds as they are written, in one pass over the tokens
function readTokens(smiles, elements) {
  const atoms = [], bonds = [], branches = [], open = new Map();
  let last = null, symbol = "", expects = "an atom", beginsBranch = false, place = 0;

  const bind = (i, j, bond) => {
    const aromatic = atoms[i].aromatic && atoms[j].aromatic && (bond === "" || bond === ":");
    if (bond === ":" && !aromatic) throw new Fault(place, "aromatic atoms at both ends of the bond :", "others");
    bonds.push({ i, j, order: ORDERS.get(bond), aromatic });
  };
  const add = (atom) => {
    atoms.push(atom);
    if (last !== null) bind(last, atoms.length - 1, symbol);
    [last, symbol, expects, beginsBranch] = [atoms.length - 1, "", "", false];
  };
  const ring = (number) => {
    const misplaced = last === null || expects || beginsBranch;
    if (misplaced) throw new Fault(place, expects || "an atom", `the ring number ${number}`);
    const bond = symbol;
    symbol = "";
    if (!open.has(number)) {
      open.set(number, { atom: last, bond, place });
      return;
    }
    const begun = open.get(number), ends = [begun.atom, last];
    open.delete(number);
    if (begun.atom === last || bonds.some(({ i, j }) => ends.includes(i) && ends.includes(j))) {
      throw new Fault(place, "a ring between two atoms without a bond", "another");
    }
    if (begun.bond && bond && begun.bond !== bond && !(SLANTED.has(begun.bond) && SLANTED.has(bond))) {
      throw new Fault(place, `the bond ${begun.bond} at both ends of ring ${number}`, bond);
    }
    bind(begun.atom, last, begun.bond || OPPOSITE.get(bond) || bond);
  };

  for (const token of smiles.match(TOKEN) ?? []) {
    if (ORGANIC.has(token)) {
      const element = capital(token), aromatic = AROMATIC.has(token);
      add({ element, place, aromatic, isotope: 0, hydrogens: LEFT_OUT, charge: 0 });
    } else if (token[0] === "[") add(bracketed(token, place, elements));
    else if (/^%?\d+$/.test(token)) ring(Number(token.replace("%", "")));
    else if (ORDERS.has(token)) {
      if (last === null || symbol) throw new Fault(place, "an atom", `the bond ${token}`);
      [beginsBranch, symbol, expects] = [Boolean(expects), token, ""];
    } else if (symbol || expects) throw new Fault(place, expects || `an atom behind the bond ${symbol}`, token);
    else if (token === "(" && last !== null) {
      branches.push(last);
      expects = "an atom or a bond";
    } else if (token === ")" && branches.length) last = branches.pop();
    else if (token === ".") [last, expects] = [null, "an atom"];
    else throw new Fault(place, token === ")" ? "a ( before it" : "an atom, a bond, a branch or a ring number", token);
    place += token.length;
  }
  if (!atoms.length) throw new Fault(0, "an atom", "an empty string");
  if (expects || symbol) throw new Fault(place, expects || "an atom", "the end");
  if (branches.length) throw new Fault(place, "a ) for each (", "the end");
  if (open.size) throw new Fault(place, `the other end of ring ${open.keys().next().value}`, "the end");
  return { atoms, bonds };
}

// ---- valences

// In ascending order; an ion has those of the element with as many electrons, null stands for any number
function valencesOf({ element, charge }, elements) {
  const own = elements.valences[element];
  if (charge === 0 || !own) return own ?? [Infinity];
  const electrons = elements.symbols.indexOf(element) + 1 - charge;
  if (electrons <= 0 || electrons > elements.symbols.length) return [0];
  const same = elements.symbols[electrons - 1];
  return elements.ions[same] ?? elements.valences[same] ?? [Infinity];
}

// Nitrogen of five bonds becomes N+ with O- or N-: CN(=O)=O is C[N+](=O)[O-], and CN=N#N is CN=[N+]=[N-]
function separateCharges(atoms, bonds) {
  const several = bonds.filter((bond) => bond.order > 1), total = atoms.map(() => 0), multiple = atoms.map(() => 0);
  for (const { i, j, order } of bonds) for (const number of [i, j]) total[number] += order;
  for (const { i, j } of several) for (const number of [i, j]) multiple[number] += 1;
  for (const bond of several) {
    for (const [nitrogen, beside] of [[bond.i, bond.j], [bond.j, bond.i]]) {
      const atom = atoms[nitrogen], other = atoms[beside], five = atom.aromatic ? 4 : 5;
      if (atom.element !== "N" || total[nitrogen] !== five || atom.charge || atom.hydrogens > 0) continue;
      const oxide = other.element === "O" && bond.order === 2 && multiple[beside] === 1;
      const azide = other.element === "N" && bond.order === 3;
      if (other.charge || other.aromatic || !(oxide || azide)) continue;
      [atom.charge, other.charge, atom.hydrogens] = [1, -1, 0];
      other.hydrogens = Math.max(other.hydrogens, 0);
      bond.order -= 1;
    }
  }
}

function neighboursOf(atoms, bonds) {
  const neighbours = atoms.map(() => []);
  for (const bond of bonds) {
    neighbours[bond.i].push({ other: bond.j, bond });
    neighbours[bond.j].push({ other: bond.i, bond });
  }
  return neighbours;
}

// The atoms of a shortest ring through a bond, in their order around it; null if it lies in none
function shortestRing(bond, neighbours) {
  const before = new Map([[bond.i, null]]), queue = [bond.i];
  for (const atom of queue) {
    for (const { other, bond: way } of neighbours[atom]) {
      if (way === bond || before.has(other)) continue;
      before.set(other, atom);
      queue.push(other);
    }
    if (before.has(bond.j)) break;
  }
  if (!before.has(bond.j)) return null;
  const ring = [];
  for (let atom = bond.j; atom !== null; atom = before.get(atom)) ring.push(atom);
  return ring;
}

// Every vertex with a partner beside it: Map vertex -> partner, or null. Those with fewest free neighbours come first.
function perfectMatching(beside) {
  const partner = new Map();
  let tries = 0;
  const free = (vertex) => beside.get(vertex).filter((other) => !partner.has(other));
  const extend = () => {
    if (++tries > MOST_TRIES) throw new Undecided("aromatic rings too entangled to be checked here");
    let tightest = null, options = null;
    for (const vertex of beside.keys()) {
      if (partner.has(vertex)) continue;
      const others = free(vertex);
      if (options === null || others.length < options.length) [tightest, options] = [vertex, others];
      if (options.length < 2) break;
    }
    if (tightest === null) return true;
    for (const other of options) {
      partner.set(tightest, other).set(other, tightest);
      if (extend()) return true;
      partner.delete(tightest);
      partner.delete(other);
    }
    return false;
  };
  return extend() ? partner : null;
}

// Counts the hydrogens that were left out, and sets the double bonds of aromatic rings
function complete(atoms, bonds, elements) {
  separateCharges(atoms, bonds);
  const bonded = atoms.map(() => 0), neighbours = neighboursOf(atoms, bonds), ringed = new Set();
  for (const { i, j, order } of bonds) for (const number of [i, j]) bonded[number] += order;
  if (atoms.some((atom) => atom.aromatic)) {
    for (const bond of bonds) {
      const inside = shortestRing(bond, neighbours) !== null;
      if (inside) ringed.add(bond.i).add(bond.j);
      bond.aromatic = bond.aromatic && inside;
    }
  }
  const beside = new Map();
  atoms.forEach((atom, number) => {
    if (!atom.aromatic || ringed.has(number)) return;
    throw new Fault(atom.place, "an aromatic atom in a ring", "one outside of rings");
  });
  atoms.forEach((atom, number) => {
    const explicit = atom.hydrogens !== LEFT_OUT, total = bonded[number] + (explicit ? atom.hydrogens : 0);
    const allowed = valencesOf(atom, elements), valence = allowed.find((each) => each >= total);
    if (valence === undefined) throw new Fault(atom.place, `at most ${allowed.at(-1)} bonds at ${atom.element}`, total);
    const left = valence === Infinity ? 0 : valence - total;
    if (atom.aromatic && (left === 1 || (explicit && left === 2) || (!explicit && left > 0))) beside.set(number, []);
    if (!explicit) atom.hydrogens = atom.aromatic ? Math.max(left - 1, 0) : left;
  });
  for (const { i, j, aromatic } of bonds) {
    if (aromatic && beside.has(i) && beside.has(j)) {
      beside.get(i).push(j);
      beside.get(j).push(i);
    }
  }
  const partner = perfectMatching(beside);
  if (!partner) {
    const [first] = beside.keys();
    throw new Fault(atoms[first].place, "aromatic rings with a Kekule structure", "others");
  }
  for (const bond of bonds) if (bond.aromatic && partner.get(bond.i) === bond.j) bond.order = 2;
}

// {atoms, bonds} of a string. Throws a Fault that says what is wrong with it, or Undecided.
function readSmiles(smiles, elements) {
  if (smiles.length > LONGEST_SMILES) {
    throw new Fault(LONGEST_SMILES, `at most ${LONGEST_SMILES} characters`, smiles.length);
  }
  const { atoms, bonds } = readTokens(smiles, elements);
  complete(atoms, bonds, elements);
  return { atoms, bonds };
}
