"use strict";

const PAGE = 48;
const KEYS = "123456789qwertasdfg";   // one a class; z, u and b do other things
const at = (id) => document.getElementById(id);
const state = { photographs: [], current: 0, single: false, real: false, classes: [], multiple: false, kinds: [], kind: 0, whole: false };
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
      at("sheet").append(card(photograph, state.photographs.length - 1));
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
  at("target").textContent = page.target;
  page.classes.slice(0, KEYS.length).forEach((name, index) => {
    const span = make("span");
    span.append(make("kbd", KEYS[index]), ` ${name}`);
    at("classes").append(span);
  });
}

function card(photograph, index) {
  const figure = make("figure");
  const picture = make("img");
  picture.loading = "lazy";
  picture.src = `/small/${photograph.sha256}`;
  figure.append(picture, make("figcaption"));
  figure.addEventListener("click", () => { state.current = index; state.single = true; draw(); });
  return figure;
}

function draw() {
  const photograph = state.photographs[state.current];
  if (!photograph) { tell("Nothing waits in this queue."); return; }
  [...at("sheet").children].forEach((figure, index) => {
    const shown = state.photographs[index];
    figure.className = `${index === state.current ? "current" : ""} ${shown.origin === "hand" ? "hand" : ""}`;
    figure.lastChild.textContent = shown.label ? `${shown.label.replaceAll("|", ", ")} (${shown.origin})` : "no label";
  });
  at("sheet").hidden = state.single;
  at("single").hidden = !state.single;
  tell(`${state.current + 1} of ${state.photographs.length}${state.whole ? "" : "+"} · box: ${state.kinds[state.kind]}`);
  if (state.single && !photograph.size) renew(photograph.id).then(draw);
  else if (state.single) drawSingle(photograph);
  else at("sheet").children[state.current].scrollIntoView({ block: "nearest" });
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
    row.append(make("td", name), make("td", value));
    return row;
  }));
  drawBoxes(photograph);
}

function scale(photograph) { return at("picture").clientWidth / photograph.size.width; }

function drawBoxes(photograph) {
  at("boxes").replaceChildren(...photograph.boxes.map((box) => outline(box, scale(photograph))));
}

function outline(box, factor) {
  const element = make("div", undefined, `box ${box.kind}`);
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
  if (index >= 0) state.photographs[index] = page;
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
    b: () => { state.kind = (state.kind + 1) % state.kinds.length; draw(); },
  };
  const act = place >= 0 && place < state.classes.length ? () => label(toggled(state.classes[place])) : keys[event.key];
  if (!act) return;
  event.preventDefault();
  queue = queue.then(act).catch(() => {});   // one after the other, however fast the keys come
});

let start = null;
function place(event) {
  const corner = at("picture").getBoundingClientRect();
  return { x: Math.max(0, Math.min(corner.width, event.clientX - corner.left)),
           y: Math.max(0, Math.min(corner.height, event.clientY - corner.top)) };
}
function drawn(event) {
  const end = place(event);
  const factor = scale(state.photographs[state.current]);
  const low = { x: Math.min(start.x, end.x) / factor, y: Math.min(start.y, end.y) / factor };
  return { kind: state.kinds[state.kind], x: Math.round(low.x), y: Math.round(low.y),
           width: Math.round(Math.abs(end.x - start.x) / factor), height: Math.round(Math.abs(end.y - start.y) / factor) };
}
at("canvas").addEventListener("mousedown", (event) => {
  if (!state.photographs[state.current].size) return;
  event.preventDefault(); start = place(event);
});
at("canvas").addEventListener("mousemove", (event) => {
  if (!start) return;
  const photograph = state.photographs[state.current];
  drawBoxes(photograph);
  at("boxes").append(outline(drawn(event), scale(photograph)));
});
document.addEventListener("mouseup", (event) => {
  if (!start) return;
  const box = drawn(event);
  start = null;
  const photograph = state.photographs[state.current];
  if (box.width < 4 || box.height < 4) { draw(); return; }
  box.width = Math.min(box.width, photograph.size.width - box.x);
  box.height = Math.min(box.height, photograph.size.height - box.y);
  queue = queue.then(async () => {
    await call("/api/box", { image: photograph.id, ...box });
    await renew(photograph.id);
    draw();
  }).catch(() => {});
});
at("picture").addEventListener("load", () => draw());
window.addEventListener("resize", () => draw());

load();
