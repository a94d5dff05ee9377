"use strict";

const PAGE = 48;
const KEYS = "123456789qwertasdfgyhjklcvnmiopQWERTASDFGYHJKLCVNMIOP";   // one a class; 0, z, u, b and x do other things
const GRIP = 8;   // so near, in pixels, a corner is taken hold of
const at = (id) => document.getElementById(id);
const state = { photographs: [], cards: [], current: 0, marked: 0, single: false, real: false, classes: [], multiple: false,
  kinds: [], kind: 0, total: 0, whole: false, below: null };
let loading = null;

async function call(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options || {});
  const document_ = await answer.json();
  if (!answer.ok) { tell(document_.error); throw new Error(document_.error); }
  return document_;
}

function tell(text) { at("state").textContent = text; }

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

/* Pages follow by the last id, however long the queue is. */
function load() {
  if (state.whole) return Promise.resolve();
  loading = loading || (async () => {
    const last = state.photographs.at(-1);
    const page = await call(`/api/queue?after=${last ? last.id : 0}&limit=${PAGE}`);
    if (!state.classes.length) introduce(page);
    state.whole = page.photographs.length < PAGE;
    for (const photograph of page.photographs) {
      state.photographs.push(photograph);
      state.cards.push(card(state.photographs.length - 1));
      at("sheet").append(state.cards.at(-1));
      dress(state.cards.length - 1);
    }
    loading = null;
    draw();
  })();
  return loading;
}

function introduce(page) {
  state.classes = page.classes;
  state.multiple = page.multiple;
  state.kinds = page.boxes;
  state.total = page.total;
  at("target").textContent = page.target;
  page.classes.slice(0, KEYS.length).forEach((name, index) => {
    const span = make("span");
    span.append(make("kbd", KEYS[index]), ` ${name}`);
    at("classes").append(span);
  });
}

function card(index) {
  const figure = make("figure");
  const picture = make("img");
  picture.loading = "lazy";
  picture.alt = "";
  picture.src = `/small/${state.photographs[index].sha256}`;
  figure.append(picture, make("figcaption"));
  figure.addEventListener("click", () => { state.current = index; state.single = true; draw(); });
  return figure;
}

function dress(index) {
  const shown = state.photographs[index];
  const figure = state.cards[index];
  figure.className = `${index === state.current ? "current" : ""} ${shown.origin === "hand" ? "hand" : ""}`;
  figure.lastChild.textContent = shown.label ? `${shown.label.replaceAll("|", ", ")} (${shown.origin})` : "no label";
}

function draw() {
  const photograph = state.photographs[state.current];
  if (!photograph) { tell("Nothing waits in this queue."); return; }
  if (state.marked !== state.current) [start, hold, state.below] = [null, null, null];
  dress(state.marked);   // of thousands of cards only those that change
  dress(state.current);
  state.marked = state.current;
  at("sheet").hidden = state.single;
  at("single").hidden = !state.single;
  tell(`${state.current + 1} of ${state.total} · box: ${state.kinds[state.kind]}`);
  if (state.single && !photograph.size) renew(photograph.id).then(draw);
  else if (state.single) drawSingle(photograph);
  else state.cards[state.current].scrollIntoView({ block: "nearest" });
}

function drawSingle(photograph) {
  const source = `/photo/${photograph.sha256}`;
  if (at("picture").getAttribute("src") !== source) at("picture").src = source;
  at("frame").className = state.real ? "real" : "";
  at("name").textContent = photograph.seen.file || photograph.sha256.slice(0, 12);
  const facts = { label: photograph.label ? `${photograph.label} (${photograph.origin})` : "none", ...photograph.seen,
    ...photograph.exif, size: `${photograph.size.width} × ${photograph.size.height}` };
  at("exif").replaceChildren(...Object.entries(facts).filter(([, value]) => value !== null).map(([name, value]) => {
    const row = make("tr");
    row.append(make("td", name.replaceAll("_", " ").replace(/ (s|mm|35mm)\b/, "")), make("td", written(name, value)));
    return row;
  }));
  drawBoxes(photograph);
}

/* As photographers write it; unknown names and words stay as they are. */
function written(what, value) {
  if (typeof value !== "number") return value;
  const name = what.split(" ")[0];   // behind it stands who says so, where sources differ
  const short = Number(value.toPrecision(4));
  const forms = { f_number: `f/${short}`, exposure_time_s: value < 0.4 ? `1/${Math.round(1 / value)} s` : `${short} s`,
    focal_length_mm: `${short} mm`, focal_length_35mm: `${short} mm on 35-mm film` };
  return forms[name] || short;
}

function scale(photograph) { return at("picture").clientWidth / photograph.size.width; }

function drawBoxes(photograph, ...more) {
  const boxes = photograph.boxes.filter((box) => !hold || box.id !== hold.id);
  at("boxes").replaceChildren(...[...boxes, ...more].map((box) => outline(box, scale(photograph))));
}

function outline(box, factor) {
  const element = make("div", undefined, `box ${box.kind} ${box.id !== undefined && box.id === state.below?.id ? "below" : ""}`);
  for (const [side, value] of Object.entries({ left: box.x, top: box.y, width: box.width, height: box.height })) {
    element.style[side] = `${value * factor}px`;
  }
  return element;
}

async function move(step) {
  const wanted = state.current + step;
  if (wanted >= state.photographs.length - PAGE / 2) await load();
  state.current = Math.max(0, Math.min(state.photographs.length - 1, wanted));
  draw();
}

async function label(value) {
  const photograph = state.photographs[state.current];
  await call("/api/label", { image: photograph.id, value });
  await renew(photograph.id);
  if (value !== null && !state.multiple) await move(1);
  else draw();
}

/* Where a photograph can have several classes, a key adds its class or takes it away. */
function toggled(name) {
  if (!state.multiple) return name;
  const { label: now } = state.photographs[state.current];
  const names = new Set(now ? now.split("|") : []);
  if (!names.delete(name)) names.add(name);
  return [...names].join("|") || null;
}

async function undo() {
  const { image } = await call("/api/undo", {});
  if (image === null) { tell("There is nothing to undo."); return; }
  await renew(image);
  const index = state.photographs.findIndex((photograph) => photograph.id === image);
  if (index >= 0) state.current = index;
  draw();
}

async function renew(image) {
  const page = await call(`/api/photograph?image=${image}`);
  const index = state.photographs.findIndex((photograph) => photograph.id === image);
  if (index < 0) return;
  state.photographs[index] = page;
  dress(index);
}

function columns() {
  return getComputedStyle(at("sheet")).gridTemplateColumns.split(" ").length;
}

let queue = Promise.resolve();
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const place = KEYS.indexOf(event.key);
  const keys = {
    ArrowRight: () => move(1), ArrowLeft: () => move(-1),
    ArrowDown: () => move(state.single ? 1 : columns()), ArrowUp: () => move(state.single ? -1 : -columns()),
    Enter: () => { state.single = !state.single; draw(); }, Escape: () => { state.single = false; draw(); },
    z: () => { state.real = !state.real; draw(); }, u: undo, 0: () => label(null),
    b: () => { state.kind = (state.kind + 1) % state.kinds.length; draw(); }, x: removeBox,
  };
  const act = place >= 0 && place < state.classes.length ? () => label(toggled(state.classes[place])) : keys[event.key];
  if (!act) return;
  event.preventDefault();
  queue = queue.then(act).catch(() => {});   // one after the other, however fast the keys come
});

/* A box is drawn from one corner to the other, and corrected by dragging one of its corners. */
let start = null;   // where the fixed corner is, while a box is drawn
let hold = null;    // the box that is corrected meanwhile
function place(event) {
  const corner = at("picture").getBoundingClientRect();
  return { x: Math.max(0, Math.min(corner.width, event.clientX - corner.left)),
           y: Math.max(0, Math.min(corner.height, event.clientY - corner.top)) };
}
function grip(point, photograph) {
  const factor = scale(photograph);
  for (const box of photograph.boxes) {
    const [left, top, right, bottom] = [box.x, box.y, box.x + box.width, box.y + box.height].map((side) => side * factor);
    const x = Math.abs(point.x - left) < GRIP ? right : Math.abs(point.x - right) < GRIP ? left : null;
    const y = Math.abs(point.y - top) < GRIP ? bottom : Math.abs(point.y - bottom) < GRIP ? top : null;
    if (x !== null && y !== null) return { box, fixed: { x, y } };
  }
  return null;
}
function smallestBelow(point, photograph) {
  const factor = scale(photograph);
  const within = (position, from, length) => position >= from * factor && position <= (from + length) * factor;
  const below = photograph.boxes.filter((box) => within(point.x, box.x, box.width) && within(point.y, box.y, box.height));
  return below.sort((one, other) => one.width * one.height - other.width * other.height)[0] || null;
}
function drawn(event) {
  const end = place(event);
  const factor = scale(state.photographs[state.current]);
  const low = { x: Math.min(start.x, end.x) / factor, y: Math.min(start.y, end.y) / factor };
  return { kind: hold ? hold.kind : state.kinds[state.kind], x: Math.round(low.x), y: Math.round(low.y),
           width: Math.round(Math.abs(end.x - start.x) / factor), height: Math.round(Math.abs(end.y - start.y) / factor) };
}
async function changeBoxes(path, photograph, asked) {
  await call(path, { image: photograph.id, ...asked });
  state.below = null;
  await renew(photograph.id);
  draw();
}
async function removeBox() {
  if (!state.single || !state.below) { tell("Point at a box to remove it."); return; }
  await changeBoxes("/api/unbox", state.photographs[state.current], { kind: state.below.kind, box: state.below.id });
}
at("canvas").addEventListener("mousedown", (event) => {
  const photograph = state.photographs[state.current];
  if (!photograph.size) return;
  event.preventDefault();
  const held = grip(place(event), photograph);
  start = held ? held.fixed : place(event);
  hold = held ? held.box : null;
});
at("canvas").addEventListener("mousemove", (event) => {
  const photograph = state.photographs[state.current];
  if (!photograph.size) return;
  if (start) { drawBoxes(photograph, drawn(event)); return; }
  state.below = smallestBelow(place(event), photograph);
  at("canvas").style.cursor = grip(place(event), photograph) ? "move" : "crosshair";
  drawBoxes(photograph);
});
document.addEventListener("mouseup", (event) => {
  if (!start) return;
  const box = drawn(event);
  const corrected = hold;
  [start, hold] = [null, null];
  const photograph = state.photographs[state.current];
  if (box.width < 4 || box.height < 4) { draw(); return; }
  box.width = Math.min(box.width, photograph.size.width - box.x);
  box.height = Math.min(box.height, photograph.size.height - box.y);
  const asked = corrected ? { ...box, instead_of: corrected.id } : box;
  queue = queue.then(() => changeBoxes("/api/box", photograph, asked)).catch(() => {});
});
at("picture").addEventListener("load", () => draw());
window.addEventListener("resize", () => draw());

load();
