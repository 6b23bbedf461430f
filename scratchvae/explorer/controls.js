"use strict";
// The controls by which a reader changes the state, and the parts of the page that depend on the model. Values from the
// data are only ever set as text.

// ---- the reader's hands

function placeOf(event) {
  const box = map.getBoundingClientRect();
  return [event.clientX - box.left - map.clientLeft, event.clientY - box.top - map.clientTop];
}

function rowAt([x, y], within = 10) {
  let found = null, least = within;
  points.forEach((point, row) => {
    const place = frame.to(point), far = Math.hypot(place[0] - x, place[1] - y);
    if (far < least) [found, least] = [row, far];
  });
  return found;
}

function listenToMap() {
  const drag = (event) => move(movedTo(plane, state.z, frame.from(placeOf(event))));
  map.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    map.setPointerCapture(event.pointerId);
    pointed = null;
    drag(event);
  });
  map.addEventListener("pointermove", (event) => {
    if (map.hasPointerCapture(event.pointerId)) {
      drag(event);
      return;
    }
    const row = rowAt(placeOf(event));
    if (row !== pointed) {
      pointed = row;
      drawMap();
      showNearest();
    }
  });
  map.addEventListener("pointerleave", () => {
    pointed = null;
    drawMap();
    showNearest();
  });
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = event.shiftKey ? 0.5 : 0.1, [u, v] = projected(plane, state.z), row = nearestRow(state.z);
    const actions = {
      ArrowLeft: () => move(movedTo(plane, state.z, [u - step, v])),
      ArrowRight: () => move(movedTo(plane, state.z, [u + step, v])),
      ArrowDown: () => move(movedTo(plane, state.z, [u, v - step])),
      ArrowUp: () => move(movedTo(plane, state.z, [u, v + step])),
      Enter: () => moveToRow(row),
      ",": () => moveToRow((row + N - 1) % N),
      ".": () => moveToRow((row + 1) % N),
      Home: () => move(new Array(K).fill(0)),
      a: () => setAnchor("a"),
      b: () => setAnchor("b"),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function listenToControls() {
  const click = (id, action) => by(id).addEventListener("click", action);
  click("to-row", () => moveToRow(pointed ?? nearestRow(state.z)));
  click("set-a", () => setAnchor("a"));
  click("set-b", () => setAnchor("b"));
  click("play", play);
  click("origin", () => move(new Array(K).fill(0)));
  click("draw", () => move(Array.from({ length: K }, () => normalPair(Math.random)[0])));
  click("again", () => {
    state.seed = (state.seed + 1) % 2 ** 32;
    changed();
  });
  by("t").addEventListener("input", (event) => moveAlong(Number(event.target.value)));
  by("temperature").addEventListener("input", (event) => {
    state.temperature = Number(event.target.value);
    changed();
  });
  for (const way of ["line", "arc"]) {
    by(`way-${way}`).addEventListener("change", () => {
      state.way = way;
      changed();
    });
  }
  by("colour").addEventListener("change", (event) => {
    [state.colour, alone] = [Number(event.target.value), null];
    changed({ map: true, legend: true });
  });
  const setPlane = (plane) => {
    state.plane = plane;
    changed({ plane: true });
  };
  by("plane").addEventListener("change", (event) => setPlane(event.target.value === "pca" ? "pca" : chosenUnits()));
  for (const id of ["unit-across", "unit-up"]) {
    by(id).addEventListener("change", () => {
      const other = by(id === "unit-up" ? "unit-across" : "unit-up");
      if (other.value === by(id).value) other.value = String((Number(other.value) % K) + 1);
      setPlane(`${by("unit-across").value},${by("unit-up").value}`);
    });
  }
}

// The two units whose means vary most
function chosenUnits() {
  const order = content.variances.map((_, unit) => unit).sort((a, b) => content.variances[b] - content.variances[a]);
  return [order[0] + 1, (order[1] ?? 1) + 1].sort((a, b) => a - b).join(",");
}

// ---- the parts of the page that depend on the model

function buildMenus() {
  const option = (value, text) => element("option", { value, textContent: text });
  if (K > 2) by("plane").append(option("pca", "PCA of the codes"));
  by("plane").append(option("units", K > 2 ? "two units" : K === 2 ? "the two units" : "the one unit"));
  for (const id of ["unit-across", "unit-up"]) {
    for (let unit = 1; unit <= Math.max(K, 2); unit++) by(id).append(option(String(unit), `z${unit}`));
  }
  content.colourings.forEach(({ name }, k) => by("colour").append(option(String(k), name)));
  by("colour-label").hidden = content.colourings.length === 0;
}

function buildUnits() {
  const varied = [...content.active].sort((a, b) => content.variances[b] - content.variances[a]);
  const others = content.variances.map((_, unit) => unit).filter((unit) => !content.active.includes(unit));
  const collapsed = varied.length ? "the decoder almost ignores them." : "the posterior has collapsed.";
  by("units-caption").textContent = `${varied.length} of ${K} units are active: the variance of the means of ` +
    `q(z | x) is above 0.01. ${others.length ? `The others are listed below and change little: ${collapsed}` : ""}`;
  for (const unit of [...varied, ...others]) {
    const slider = element("input", { type: "range", min: -4, max: 4, step: 0.05 });
    slider.dataset.unit = unit;
    slider.addEventListener("input", () => {
      move(state.z.map((value, k) => (k === unit ? Number(slider.value) : value)));
    });
    const title = `variance of the means ${content.variances[unit].toPrecision(2)}`;
    by("units").append(element("li", {}, element("label", { title }, `z${unit + 1}`, slider, element("output"))));
  }
}

function buildClasses() {
  by("classes").hidden = !C;
  for (let y = 0; y < C; y++) {
    const input = element("input", { type: "radio", name: "y", value: String(y) });
    input.addEventListener("change", () => {
      state.y = y;
      changed();
    });
    const canvas = element("canvas");
    canvas.dataset.y = y;
    const picture = kind === "image" && C <= 20 ? [canvas] : [];
    by("classes").append(element("label", {}, ...picture, element("span", {}, input, ` ${y}`)));
  }
}

function buildDirections() {
  by("directions-section").hidden = content.directions.length === 0;
  for (const { name, vector } of content.directions) {
    const button = (sign, text) => {
      const made = element("button", { type: "button", textContent: text });
      made.setAttribute("aria-label", `${sign > 0 ? "more" : "less"} ${name}`);
      made.addEventListener("click", () => move(state.z.map((value, k) => value + 0.5 * sign * vector[k])));
      return made;
    };
    by("directions").append(element("li", {}, button(-1, "\u2212"), button(1, "+"), name));
  }
}

function buildTexts() {
  by("title").textContent = content.title;
  document.body.classList.add(kind);
  const rows = { image: "images", vector: "rows", sketch: "sketches", molecule: "molecules" }[kind];
  const units = K === 1 ? "1 unit" : `${K} units`;
  by("summary").textContent = `${N} ${rows} and a latent space of ${units}. ` +
    "Drag z over the map: the decoder runs in this page.";
  by("decoded-heading").textContent = C ? "What the decoder makes of z and y" : "What the decoder makes of z";
  by("map-caption").textContent = "Each dot is the mean of q(z | x) of one row. The shading is their density: where " +
    "the ground is plain, no data lie." +
    (content["standard prior"] ? " The circles hold 50, 90 and 99 % of the prior on this plane." : "");
  by("draw").hidden = !content["standard prior"];
  by("map").setAttribute("aria-label", "Map of the latent space");
  by("thumbnail").hidden = !hasRows;
  by("random").hidden = kind !== "sketch" && kind !== "molecule";
  by("written").hidden = kind !== "molecule";
  by("predictions").hidden = !content.decoder.properties;
  if (content.images?.thumbnails) sheet.src = content.images.thumbnails.address;
}

function start() {
  buildTexts();
  buildMenus();
  buildUnits();
  buildClasses();
  buildDirections();
  const everything = { plane: true, map: true, legend: true };
  const readAddress = () => {
    state = readFragment(location.hash);
    changed(everything);
  };
  listenToMap();
  listenToControls();
  window.addEventListener("hashchange", readAddress);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => changed(everything));
  new ResizeObserver(() => changed({ map: true })).observe(map);
  readAddress();
}

start();
