/* One photograph: the picture with its boxes, and beside it EXIF by origin, predictions, filters and label history. */

import { edit, get } from "./api.js";
import { initBoxes, requireHovered, showBoxes } from "./boxes.js";
import { byId, create, percent, showMessage } from "./dom.js";
import { applyChanges, changed, current, moveTo, onChange, store, writeUrl } from "./store.js";

const MEASURES = 4;  // of a filter

let details = null;
let zoomed = false;
let boxKind = 0;
let shownTarget = null;  // whose patches are shown

export function initSingle() {
  initBoxes((photograph, box) => saveBoxes("box", photograph, box));
  onChange((what) => { if (what.has("cursor") || what.has("view") || what.has("labels")) show(what.has("labels")); });
}

export function openSingle(open = true) {
  if (open && !store.view?.total) return;
  store.single = open;
  byId("grid").hidden = open;
  byId("single").hidden = !open;
  changed("cursor");
}

export function toggleZoom() { zoomed = !zoomed; draw(); }

export function nextBoxKind() {
  boxKind = (boxKind + 1) % store.project.box_kinds.length;
  showMessage(`Boxes that you draw: ${boxKindText()}.`);
  draw();
}

function boxKindText() {
  return { inside: "area inside a border", face: "face" }[store.project.box_kinds[boxKind]] ?? store.project.box_kinds[boxKind];
}

export async function removeBox() {
  if (!store.single || !details) { showMessage("Open a photograph to remove its boxes."); return; }
  const box = requireHovered();
  if (box) await saveBoxes("remove-box", details, { kind: box.kind, box: box.id });
}

async function saveBoxes(path, photograph, message) {
  try {
    applyChanges(await edit(path, () => ({ ...message, image: photograph.id, view: store.view.view, since: store.version })));
  } catch (error) {
    showMessage(error.message, true);
  }
  await reload();
}

export async function reload() { details = null; await show(true); }

async function show(again = false) {
  writeUrl();
  if (!store.single) return;
  const photograph = current();
  if (!photograph) return;
  if (again || details?.id !== photograph.id) {
    const loaded = await get("photograph", { image: photograph.id, predictions: store.parameters.get("predictions") ?? "" });
    if (current()?.id !== photograph.id) return;
    details = loaded;
  }
  draw();
}

function draw() {
  if (!details || !store.single) return;
  const source = `photo/${details.sha256}`;
  if (byId("image").getAttribute("src") !== source) byId("image").src = source;
  byId("image").alt = nameOf(details);
  byId("viewport").className = zoomed ? "zoomed" : "";
  const prediction = details.predictions.find(({ target }) => target === (shownTarget ?? store.parameters.get("target"))) ?? details.predictions[0];
  showBoxes(details, prediction?.patches ?? [], store.project.box_kinds[boxKind]);
  byId("details").replaceChildren(...sections(details).flat());
}

function nameOf(photograph) { return photograph.sightings[0]?.file ?? photograph.sha256.slice(0, 12); }

function sections(photograph) {
  return [
    [create("p", { children: [
      button("← Grid", "Back to the grid (Escape)", () => openSingle(false)), " ",
      button("‹", "Previous photograph", () => moveTo(store.cursor - 1)), " ",
      button("›", "Next photograph", () => moveTo(store.cursor + 1)) ] }),
    create("h2", { text: nameOf(photograph) })],
    table("Camera", photograph.exif.map(exifRow)),
    predictionTable(photograph),
    ...photograph.sightings.map((sighting) => table("Source", Object.entries(sighting).filter(([name]) => name !== "file").map(sourceRow))),
    table("File", [row("size", `${photograph.size.width} × ${photograph.size.height}`), row("format", photograph.format),
      row("SHA-256", photograph.sha256.slice(0, 16))]),
    table("Filters", photograph.verdicts.map(verdictRow)),
    table("Label history", photograph.history.map(historyRow)),
    [create("p", { class: "note", text: `Drag to draw a box: ${boxKindText()} (b changes it).` })],
  ];
}

function button(text, title, click) { return create("button", { text, title, "aria-label": title, on: { click } }); }

function table(title, rows) {
  return rows.length ? [create("h3", { text: title }), create("table", { children: rows })] : [];
}

function row(name, ...cells) {
  return create("tr", { children: [create("td", { text: name.replaceAll("_", " ") }), create("td", { children: cells })] });
}

function exifRow({ title, text, origin, others }) {
  const differing = others.map((other) => create("div", { class: "differs", text: `${other.text} (${other.origin})` }));
  return row(title, text, " ", create("span", { class: "origin", text: origin }), ...differing);
}

function sourceRow([name, value]) {
  const isLink = name === "page_url" && /^https?:\/\//.test(value);
  if (!isLink) return row(name, value);
  return row("page", create("a", { text: new URL(value).hostname, href: value, target: "_blank", rel: "noopener noreferrer", title: value }));
}

function verdictRow({ filter, verdict, reason, measures }) {
  const shown = Object.entries(measures).slice(0, MEASURES).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
  return row(filter, reason ? `${verdict} (${reason})` : verdict, create("div", { class: "origin", text: shown.join(", ") }));
}

function historyRow({ target, value, origin, author, time, effective }) {
  const text = value === null ? "(removed)" : value.replaceAll("|", ", ");
  return row(target, `${text}${effective ? " ✓" : ""} `, create("div", { class: "origin", text: `${origin}, ${author}, ${time}` }));
}

function predictionTable(photograph) {
  return table("Prediction", photograph.predictions.map(({ target, predicted, truth, confidence, patches }) => {
    const cells = [predicted.replaceAll("|", ", ")];
    if (confidence !== null) cells.push(" ", create("meter", { value: confidence, min: 0, max: 1, title: percent(confidence) }), ` ${percent(confidence)}`);
    if (truth && truth !== predicted) cells.push(create("div", { class: "differs", text: `true class: ${truth}` }));
    if (patches.length) cells.push(create("div", { children: [button(`Show ${patches.length} patches`, `Show the patches that counted for ${target}`, () => { shownTarget = target; draw(); })] }));
    return row(target, ...cells);
  }));
}
