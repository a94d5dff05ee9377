/* Boxes on a photograph: drawn from corner to corner, resized by a corner, removed under the pointer. */

import { byId, create, place, showMessage } from "./dom.js";

const CORNER_PX = 8;  // distance from which a corner can be dragged
const MIN_BOX_PX = 4;  // smaller boxes are clicks

let photograph = null;
let patches = [];
let kind = "inside";
let hovered = null;
let fixed = null;    // the corner that stays while dragging
let resized = null;  // the box that is being resized

export function showBoxes(details, shownPatches, boxKind) {
  if (details?.id !== photograph?.id) [hovered, fixed, resized] = [null, null, null];
  [photograph, patches, kind] = [details, shownPatches, boxKind];
  draw();
}

function factor() { return byId("image").clientWidth / photograph.size.width; }

function draw(...more) {
  const boxes = photograph.boxes.filter((box) => !resized || box.id !== resized.id);
  byId("boxes").replaceChildren(...patches.map(patchNode), ...[...boxes, ...more].map(boxNode));
}

function scaled(box) {
  const scale = factor();
  return { left: box.x * scale, top: box.y * scale, width: box.width * scale, height: box.height * scale };
}

function boxNode(box) {
  const isHovered = box.id !== undefined && box.id === hovered?.id;
  const node = create("div", { class: `box ${box.kind} ${isHovered ? "hovered" : ""}` });
  place(node, scaled(box));
  return node;
}

function patchNode(patch) {
  const node = create("div", { class: `box patch ${patch.contribution < 0 ? "against" : ""}` });
  place(node, scaled(patch));
  return node;
}

function pointOf(event) {
  const image = byId("image").getBoundingClientRect();
  return { x: Math.max(0, Math.min(image.width, event.clientX - image.left)),
           y: Math.max(0, Math.min(image.height, event.clientY - image.top)) };
}

function oppositeEdge(position, low, high) {
  if (Math.abs(position - low) < CORNER_PX) return high;
  return Math.abs(position - high) < CORNER_PX ? low : null;
}

/* Returns the box with a corner at a point, and its opposite corner, which stays fixed. */
function cornerAt(point) {
  for (const box of photograph.boxes) {
    const { left, top, width, height } = scaled(box);
    const x = oppositeEdge(point.x, left, left + width);
    const y = oppositeEdge(point.y, top, top + height);
    if (x !== null && y !== null) return { box, fixed: { x, y } };
  }
  return null;
}

function smallestBoxAt(point) {
  const boxes = photograph.boxes.filter((box) => {
    const { left, top, width, height } = scaled(box);
    return point.x >= left && point.x <= left + width && point.y >= top && point.y <= top + height;
  });
  return boxes.sort((a, b) => a.width * a.height - b.width * b.height)[0] || null;
}

function draggedBox(event) {
  const end = pointOf(event);
  const scale = factor();
  const box = { x: Math.round(Math.min(fixed.x, end.x) / scale), y: Math.round(Math.min(fixed.y, end.y) / scale),
                width: Math.round(Math.abs(end.x - fixed.x) / scale), height: Math.round(Math.abs(end.y - fixed.y) / scale) };
  box.width = Math.min(box.width, photograph.size.width - box.x);
  box.height = Math.min(box.height, photograph.size.height - box.y);
  return { ...box, kind: resized ? resized.kind : kind };
}

export function initBoxes(save) {
  byId("canvas").addEventListener("mousedown", (event) => {
    if (!photograph || event.button !== 0) return;
    event.preventDefault();
    const corner = cornerAt(pointOf(event));
    fixed = corner ? corner.fixed : pointOf(event);
    resized = corner ? corner.box : null;
  });
  byId("canvas").addEventListener("mousemove", (event) => {
    if (!photograph) return;
    if (fixed) { draw(draggedBox(event)); return; }
    hovered = smallestBoxAt(pointOf(event));
    byId("canvas").style.cursor = cornerAt(pointOf(event)) ? "move" : "crosshair";
    draw();
  });
  document.addEventListener("mouseup", (event) => {
    if (!fixed) return;
    const box = draggedBox(event);
    const replaced = resized;
    [fixed, resized] = [null, null];
    if (box.width < MIN_BOX_PX || box.height < MIN_BOX_PX) { draw(); return; }
    save(photograph, replaced ? { ...box, replaces: replaced.id } : box);
  });
  byId("image").addEventListener("load", () => { if (photograph) draw(); });
  window.addEventListener("resize", () => { if (photograph) draw(); });
}

export function requireHovered() {
  if (!hovered) showMessage("Point at a box to remove it.");
  return hovered;
}
