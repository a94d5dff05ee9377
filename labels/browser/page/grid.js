/* The grid of thumbnails, of which only those near the visible part exist, and the selection of photographs. */

import { byId, create, percent, place, plural } from "./dom.js";
import { changed, load, moveTo, onChange, store } from "./store.js";

const SIZES = [110, 160, 230, 320];
const PADDING = 8;
const GAP = 8;
const HEADING = 36;
const NO_MATCH = "No photograph matches.";
const EMPTY = "The catalogue has no photographs yet: add some with 'lightmeter harvest run'.";
const DRAG_PX = 6;  // shorter movements are clicks

let size = 1;
let layout = { columns: 1, width: 160, height: 180, groups: [], total: 0 };
const cards = new Map();  // by position
const headings = new Map();
let openSingle = () => {};

export function initGrid(open) {
  openSingle = open;
  byId("grid").addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(() => { clear(); measure(); draw(); }).observe(byId("grid"));
  onChange((what) => {
    if (what.has("view")) { clear(); measure(); }
    if (what.has("photographs") || what.has("labels")) for (const [position, card] of cards) update(card, position);
    if (what.has("cursor") || what.has("view")) scrollToCursor();
    draw();
  });
}

export function columns() { return layout.columns; }

export function resize(step) {
  size = Math.max(0, Math.min(SIZES.length - 1, size + step));
  clear();
  measure();
  scrollToCursor();
  draw();
}

/* Positions to label: the selection, or else the photograph at the cursor. As ranges of first and last position. */
export function selectedRanges() {
  if (!store.selection.size) return [[store.cursor, store.cursor]];
  const positions = [...store.selection].sort((a, b) => a - b);
  const ranges = [];
  for (const position of positions) {
    if (ranges.length && ranges.at(-1)[1] === position - 1) ranges.at(-1)[1] = position;
    else ranges.push([position, position]);
  }
  return ranges;
}

export function select(positions, keep = false) {
  if (!keep) store.selection.clear();
  for (const position of positions) store.selection.add(position);
  changed("cursor");
}

export function toggle(position) {
  if (!store.view.total) return;
  if (!store.selection.delete(position)) store.selection.add(position);
  changed("cursor");
}

export function rangeTo(position) {
  const [first, last] = [Math.min(store.cursor, position), Math.max(store.cursor, position)];
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function clear() {
  for (const node of [...cards.values(), ...headings.values()]) node.remove();
  cards.clear();
  headings.clear();
}

function measure() {
  if (!store.view) return;
  const available = byId("grid").clientWidth - 2 * PADDING;
  const minimum = Math.min(SIZES[size], available);
  const number = Math.max(1, Math.floor((available + GAP) / (minimum + GAP)));
  const width = (available - GAP * (number - 1)) / number;
  const height = Math.round(width * 0.78) + 48;
  let top = PADDING;
  const groups = store.view.groups.map((group) => {
    const heading = group.text === "" ? 0 : HEADING;
    const placed = { ...group, top, heading };
    top += heading + Math.ceil(group.count / number) * (height + GAP);
    return placed;
  });
  layout = { columns: number, width, height, groups, total: top + PADDING };
  byId("canvas-grid").style.height = `${layout.total}px`;
}

function groupAt(position) {
  let [low, high] = [0, layout.groups.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (layout.groups[middle].start <= position) low = middle; else high = middle - 1;
  }
  return layout.groups[low];
}

function boundsOf(position) {
  const group = groupAt(position);
  const index = position - group.start;
  return { left: PADDING + (index % layout.columns) * (layout.width + GAP),
           top: group.top + group.heading + Math.floor(index / layout.columns) * (layout.height + GAP),
           width: layout.width, height: layout.height };
}

/* Returns the positions whose cards touch a rectangle of the canvas. */
function positionsIn({ left = 0, right = Infinity, top, bottom }) {
  const positions = [];
  for (const group of layout.groups) {
    const start = group.top + group.heading;
    const rows = Math.ceil(group.count / layout.columns);
    if (start > bottom || start + rows * (layout.height + GAP) < top) continue;
    const first = Math.max(0, Math.floor((top - start) / (layout.height + GAP)));
    const last = Math.min(rows - 1, Math.floor((bottom - start) / (layout.height + GAP)));
    for (let index = first * layout.columns; index < Math.min(group.count, (last + 1) * layout.columns); index += 1) {
      const x = PADDING + (index % layout.columns) * (layout.width + GAP);
      if (x + layout.width > left && x < right) positions.push(group.start + index);
    }
  }
  return positions;
}

function draw() {
  if (!store.view || byId("grid").hidden) return;
  const { scrollTop, clientHeight } = byId("grid");
  const canvas = byId("canvas-grid");
  const near = { top: scrollTop - clientHeight, bottom: scrollTop + 2.5 * clientHeight };  // not only what is visible
  const wanted = new Set(positionsIn(near));
  for (const [position, card] of cards) {
    if (!wanted.has(position)) { card.remove(); cards.delete(position); }
  }
  for (const position of wanted) {
    if (!cards.has(position)) {
      const card = createCard(position);
      cards.set(position, card);
      canvas.append(card);
      update(card, position);
    }
    const card = cards.get(position);
    card.classList.toggle("current", position === store.cursor);
    card.classList.toggle("selected", store.selection.has(position));
  }
  drawHeadings(near);
  canvas.querySelector(".empty")?.remove();
  if (!store.view.total) canvas.append(create("p", { class: "empty", text: store.project.photographs ? NO_MATCH : EMPTY }));
  if (wanted.size) load(Math.min(...wanted), Math.max(...wanted));
}

function drawHeadings({ top, bottom }) {
  for (const group of layout.groups) {
    const visible = group.heading && group.top < bottom && group.top + group.heading > top;
    if (visible && !headings.has(group.start)) {
      const heading = create("h2", { text: `${group.text} `,
        children: [create("span", { text: plural(group.count, "photograph") })] });
      heading.style.top = `${group.top}px`;
      headings.set(group.start, heading);
      byId("canvas-grid").append(heading);
    } else if (!visible && headings.has(group.start)) {
      headings.get(group.start).remove();
      headings.delete(group.start);
    }
  }
}

function createCard(position) {
  const card = create("figure", { data: { position }, children: [
    create("img", { alt: "", loading: "lazy", draggable: "false" }),
    create("figcaption", { children: [create("div"), create("div", { class: "label" })] }) ] });
  place(card, boundsOf(position));
  return card;
}

function update(card, position) {
  const photograph = store.photographs.get(position);
  if (!photograph) return;
  const image = card.querySelector("img");
  const source = `thumbnail/${photograph.sha256}`;
  if (image.getAttribute("src") !== source) image.src = source;
  image.alt = photograph.file;
  const [name, label] = card.querySelectorAll("figcaption > div");
  name.textContent = photograph.file;
  card.title = photograph.file;
  label.textContent = captionOf(photograph);
  card.classList.toggle("manual", photograph.origin === "manual");
  card.classList.toggle("wrong", Boolean(photograph.predicted && photograph.label && photograph.predicted !== photograph.label));
}

export function labelText(photograph) {
  return photograph.label ? `${photograph.label.replaceAll("|", ", ")} (${photograph.origin})` : "no label";
}

function captionOf(photograph) {
  const parts = photograph.label === undefined ? [] : [labelText(photograph)];
  if (photograph.predicted) {
    const confidence = photograph.confidence === null ? "" : ` ${percent(photograph.confidence)}`;
    parts.push(`model: ${photograph.predicted.replaceAll("|", ", ")}${confidence}`);
  }
  return parts.join(" · ");
}

function scrollToCursor() {
  if (!store.view?.total || byId("grid").hidden) return;
  const { top, height } = boundsOf(store.cursor);
  const grid = byId("grid");
  if (top < grid.scrollTop) grid.scrollTop = Math.max(0, top - HEADING - PADDING);
  if (top + height > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + height + PADDING - grid.clientHeight;
}

/* Click: go there, or open the photograph that is current. Shift: select up to it. Ctrl: add or remove it. Drag: select. */

let drag = null;

function pointOf(event) {
  const canvas = byId("canvas-grid").getBoundingClientRect();
  return { x: event.clientX - canvas.left, y: event.clientY - canvas.top };
}

byId("grid").addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || event.pointerType === "touch" || event.offsetX > byId("grid").clientWidth && event.target === byId("grid")) return;
  drag = { start: pointOf(event), marquee: null, before: event.ctrlKey || event.metaKey ? new Set(store.selection) : new Set() };
});

document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const end = pointOf(event);
  const box = { left: Math.min(drag.start.x, end.x), right: Math.max(drag.start.x, end.x),
                top: Math.min(drag.start.y, end.y), bottom: Math.max(drag.start.y, end.y) };
  if (!drag.marquee && box.right - box.left < DRAG_PX && box.bottom - box.top < DRAG_PX) return;
  if (!drag.marquee) {
    drag.marquee = create("div", { id: "marquee" });
    byId("canvas-grid").append(drag.marquee);
  }
  place(drag.marquee, { left: box.left, top: box.top, width: box.right - box.left, height: box.bottom - box.top });
  select([...drag.before, ...positionsIn(box)]);
});

let dragged = false;  // the click that follows a drag selects nothing

document.addEventListener("pointerup", () => {
  dragged = Boolean(drag?.marquee);
  drag?.marquee?.remove();
  drag = null;
});

byId("grid").addEventListener("click", (event) => {
  const card = event.target.closest("figure");
  if (dragged) { dragged = false; return; }
  if (!card) { select([]); return; }
  const position = Number(card.dataset.position);
  if (event.shiftKey) { select(rangeTo(position)); return; }
  if (event.ctrlKey || event.metaKey) {
    if (!store.selection.size) store.selection.add(store.cursor);
    toggle(position);
    store.cursor = position;
    changed("cursor");
    return;
  }
  const again = position === store.cursor && !store.selection.size;
  store.selection.clear();
  moveTo(position).then(() => { if (again) openSingle(); });
});
