"use strict";

const PAGE_SIZE = 48;
const CLASS_KEYS = "123456789qwertasdfgyhjklcvnmiopQWERTASDFGYHJKLCVNMIOP";  // 0, z, u, b and x are commands
const CORNER_PX = 8;  // distance from which a corner can be dragged
const MIN_BOX_PX = 4;  // smaller boxes are clicks
const FIELD_NAMES = { f_number: "f-number", exposure_time_s: "exposure time", iso: "sensitivity",
  focal_length_mm: "focal length", focal_length_35mm: "35-mm equivalent" };

const element = (id) => document.getElementById(id);
const state = { photographs: [], cards: [], current: 0, highlighted: 0, single: false, zoomed: false, classes: [],
  multilabel: false, boxKinds: [], boxKind: 0, total: 0, complete: false, hovered: null };
let loading = null;

async function request(path, message) {
  const options = message && { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify(message) };
  const response = await fetch(path, options || {});
  const content = await response.json();
  if (!response.ok) {
    showStatus(content.error.reason);
    throw Object.assign(new Error(content.error.reason), { status: response.status });
  }
  return content;
}

function showStatus(text) { element("status").textContent = text; }

function create(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

/* Loads the next page of the queue, after the last id. */
function loadPage() {
  if (state.complete) return Promise.resolve();
  loading = loading || (async () => {
    const last = state.photographs.at(-1);
    const page = await request(`/api/queue?after=${last ? last.id : 0}&limit=${PAGE_SIZE}`);
    if (!state.classes.length) showTarget(page);
    state.complete = page.photographs.length < PAGE_SIZE;
    for (const photograph of page.photographs) {
      state.photographs.push(photograph);
      state.cards.push(createCard(state.photographs.length - 1));
      element("grid").append(state.cards.at(-1));
      updateCard(state.cards.length - 1);
    }
    draw();
  })().finally(() => { loading = null; });
  return loading;
}

function showTarget(page) {
  state.classes = page.classes;
  state.multilabel = page.multilabel;
  state.boxKinds = page.box_kinds;
  state.total = page.total;
  element("target").textContent = page.target;
  page.classes.slice(0, CLASS_KEYS.length).forEach((name, index) => {
    const span = create("span");
    span.append(create("kbd", CLASS_KEYS[index]), ` ${name}`);
    element("classes").append(span);
  });
}

function createCard(index) {
  const figure = create("figure");
  const image = create("img");
  image.loading = "lazy";
  image.alt = "";
  image.src = `/thumbnail/${state.photographs[index].sha256}`;
  figure.append(image, create("figcaption"));
  figure.addEventListener("click", () => { state.current = index; state.single = true; draw(); });
  return figure;
}

function labelText(photograph) {
  return photograph.label ? `${photograph.label.replaceAll("|", ", ")} (${photograph.origin})` : "no label";
}

function updateCard(index) {
  const photograph = state.photographs[index];
  const figure = state.cards[index];
  const manual = photograph.origin === "manual";
  figure.className = `${index === state.current ? "current" : ""} ${manual ? "manual" : ""}`;
  figure.lastChild.textContent = labelText(photograph);
}

function draw() {
  const photograph = state.photographs[state.current];
  if (!photograph) { showStatus("The queue is empty."); return; }
  if (state.highlighted !== state.current) [dragStart, resizedBox, state.hovered] = [null, null, null];
  updateCard(state.highlighted);
  updateCard(state.current);
  state.highlighted = state.current;
  element("grid").hidden = state.single;
  element("single").hidden = !state.single;
  showStatus(`${state.current + 1} of ${state.total} · box kind: ${state.boxKinds[state.boxKind]}`);
  if (state.single && !photograph.size) reload(photograph.id).then(draw);
  else if (state.single) drawSingle(photograph);
  else state.cards[state.current].scrollIntoView({ block: "nearest" });
}

function drawSingle(photograph) {
  const source = `/photo/${photograph.sha256}`;
  if (element("image").getAttribute("src") !== source) element("image").src = source;
  element("viewport").className = state.zoomed ? "zoomed" : "";
  element("name").textContent = photograph.sighting.file || photograph.sha256.slice(0, 12);
  const fields = { label: labelText(photograph), ...photograph.sighting, ...photograph.exif,
    size: `${photograph.size.width} × ${photograph.size.height}` };
  element("details").replaceChildren(...Object.entries(fields).filter(([, value]) => value !== null).map(fieldRow));
  drawBoxes(photograph);
}

function fieldRow([name, value]) {
  const [column, ...origin] = name.split(" ");  // "iso (api)": the value of a source that differs
  const title = [FIELD_NAMES[column] || column.replaceAll("_", " "), ...origin].join(" ");
  const row = create("tr");
  row.append(create("td", title), create("td", value));
  return row;
}

function scale(photograph) { return element("image").clientWidth / photograph.size.width; }

function drawBoxes(photograph, ...more) {
  const boxes = photograph.boxes.filter((box) => !resizedBox || box.id !== resizedBox.id);
  element("boxes").replaceChildren(...[...boxes, ...more].map((box) => createBox(box, scale(photograph))));
}

function createBox(box, factor) {
  const hovered = box.id !== undefined && box.id === state.hovered?.id;
  const node = create("div", undefined, `box ${box.kind} ${hovered ? "hovered" : ""}`);
  for (const [property, value] of Object.entries({ left: box.x, top: box.y, width: box.width, height: box.height })) {
    node.style[property] = `${value * factor}px`;
  }
  return node;
}

async function move(step) {
  const index = state.current + step;
  if (index >= state.photographs.length - PAGE_SIZE / 2) await loadPage();
  state.current = Math.max(0, Math.min(state.photographs.length - 1, index));
  draw();
}

async function label(value) {
  const photograph = state.photographs[state.current];
  try {
    await request("/api/label", { image: photograph.id, value, seen: photograph.label });
  } catch (error) {
    if (error.status === 409) await showAgain(photograph.id, error.message);
    throw error;
  }
  await reload(photograph.id);
  if (value !== null && !state.multilabel) await move(1);
  else draw();
}

/* For multilabel targets a class key adds or removes its class. */
function toggleClass(name) {
  if (!state.multilabel) return name;
  const { label: current } = state.photographs[state.current];
  const names = new Set(current ? current.split("|") : []);
  if (!names.delete(name)) names.add(name);
  return [...names].join("|") || null;
}

/* Shows a photograph as it is by now, with a message. */
async function showAgain(image, message) {
  await reload(image);
  draw();
  showStatus(message);
}

async function undo() {
  const { image } = await request("/api/undo", {});
  if (image === null) { showStatus("Nothing to undo."); return; }
  const index = await findPhotograph(image);
  if (index < 0) { showStatus("Undone on a photograph that is not in this queue."); return; }
  state.current = index;
  await reload(image);
  draw();
  showStatus(`${element("status").textContent} · undone: ${labelText(state.photographs[index])}`);
}

/* Returns the index of a photograph of the queue, -1 for others; loads the pages up to it. */
async function findPhotograph(image) {
  const isThere = () => state.complete || state.photographs.at(-1)?.id >= image;
  while (!isThere()) await loadPage();
  return state.photographs.findIndex((photograph) => photograph.id === image);
}

async function reload(image) {
  const photograph = await request(`/api/photograph?image=${image}`);
  const index = state.photographs.findIndex((other) => other.id === image);
  if (index < 0) return;
  state.photographs[index] = photograph;
  updateCard(index);
}

function columns() {
  return getComputedStyle(element("grid")).gridTemplateColumns.split(" ").length;
}

/* Returns the key as on a Latin keyboard: the letter or digit in its place if the layout has another character there. */
function keyName(event) {
  if (event.key.length !== 1 || /^[a-z0-9]$/i.test(event.key)) return event.key;
  const [, letter, digit] = /^(?:Key([A-Z])|Digit([0-9]))$/.exec(event.code) || [];
  if (letter) return event.shiftKey ? letter : letter.toLowerCase();
  return digit && !event.shiftKey ? digit : event.key;
}

let pending = Promise.resolve();  // edits run one after the other
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !event.key) return;
  const key = keyName(event);
  const index = key.length === 1 ? CLASS_KEYS.indexOf(key) : -1;
  const commands = {
    ArrowRight: () => move(1), ArrowLeft: () => move(-1),
    ArrowDown: () => move(state.single ? 1 : columns()), ArrowUp: () => move(state.single ? -1 : -columns()),
    Enter: () => { state.single = !state.single; draw(); }, Escape: () => { state.single = false; draw(); },
    z: () => { state.zoomed = !state.zoomed; draw(); }, u: undo, 0: () => label(null),
    b: () => { state.boxKind = (state.boxKind + 1) % state.boxKinds.length; draw(); }, x: removeBox,
  };
  const isClass = index >= 0 && index < state.classes.length;
  const command = isClass ? () => label(toggleClass(state.classes[index])) : commands[key];
  if (!command) return;
  event.preventDefault();
  if (event.repeat && !key.startsWith("Arrow")) return;  // a key held down only moves
  pending = pending.then(command).catch(() => {});
});

/* Boxes are drawn from corner to corner, and resized by dragging a corner. */
let dragStart = null;   // the fixed corner while dragging
let resizedBox = null;  // the box that is being resized

function pointerPosition(event) {
  const image = element("image").getBoundingClientRect();
  return { x: Math.max(0, Math.min(image.width, event.clientX - image.left)),
           y: Math.max(0, Math.min(image.height, event.clientY - image.top)) };
}

function oppositeEdge(position, low, high) {
  if (Math.abs(position - low) < CORNER_PX) return high;
  return Math.abs(position - high) < CORNER_PX ? low : null;
}

/* Returns the box with a corner at a point, and its opposite corner, which stays fixed. */
function cornerAt(point, photograph) {
  const factor = scale(photograph);
  for (const box of photograph.boxes) {
    const x = oppositeEdge(point.x, box.x * factor, (box.x + box.width) * factor);
    const y = oppositeEdge(point.y, box.y * factor, (box.y + box.height) * factor);
    if (x !== null && y !== null) return { box, fixed: { x, y } };
  }
  return null;
}

function smallestBoxAt(point, photograph) {
  const factor = scale(photograph);
  const isInside = (position, low, length) => position >= low * factor && position <= (low + length) * factor;
  const boxes = photograph.boxes.filter(
    (box) => isInside(point.x, box.x, box.width) && isInside(point.y, box.y, box.height));
  return boxes.sort((a, b) => a.width * a.height - b.width * b.height)[0] || null;
}

function draggedBox(event) {
  const end = pointerPosition(event);
  const factor = scale(state.photographs[state.current]);
  return { kind: resizedBox ? resizedBox.kind : state.boxKinds[state.boxKind],
           x: Math.round(Math.min(dragStart.x, end.x) / factor), y: Math.round(Math.min(dragStart.y, end.y) / factor),
           width: Math.round(Math.abs(end.x - dragStart.x) / factor),
           height: Math.round(Math.abs(end.y - dragStart.y) / factor) };
}

async function editBoxes(path, photograph, message) {
  await request(path, { image: photograph.id, ...message });
  state.hovered = null;
  await reload(photograph.id);
  draw();
}

async function removeBox() {
  if (!state.single || !state.hovered) { showStatus("Point at a box to remove it."); return; }
  const message = { kind: state.hovered.kind, box: state.hovered.id };
  await editBoxes("/api/remove-box", state.photographs[state.current], message);
}

element("canvas").addEventListener("mousedown", (event) => {
  const photograph = state.photographs[state.current];
  if (!photograph.size) return;
  event.preventDefault();
  const corner = cornerAt(pointerPosition(event), photograph);
  dragStart = corner ? corner.fixed : pointerPosition(event);
  resizedBox = corner ? corner.box : null;
});

element("canvas").addEventListener("mousemove", (event) => {
  const photograph = state.photographs[state.current];
  if (!photograph.size) return;
  if (dragStart) { drawBoxes(photograph, draggedBox(event)); return; }
  state.hovered = smallestBoxAt(pointerPosition(event), photograph);
  element("canvas").style.cursor = cornerAt(pointerPosition(event), photograph) ? "move" : "crosshair";
  drawBoxes(photograph);
});

document.addEventListener("mouseup", (event) => {
  if (!dragStart) return;
  const photograph = state.photographs[state.current];
  const box = draggedBox(event);
  const previous = resizedBox;
  [dragStart, resizedBox] = [null, null];
  if (box.width < MIN_BOX_PX || box.height < MIN_BOX_PX) { draw(); return; }
  box.width = Math.min(box.width, photograph.size.width - box.x);
  box.height = Math.min(box.height, photograph.size.height - box.y);
  const message = previous ? { ...box, replaces: previous.id } : box;
  pending = pending.then(() => editBoxes("/api/box", photograph, message)).catch(() => {});
});

element("image").addEventListener("load", () => draw());
window.addEventListener("resize", () => draw());

loadPage();
