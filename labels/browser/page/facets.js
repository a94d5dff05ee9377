/* The filters beside the grid: values with counts, and histograms of camera settings in which a range is brushed. */

import { byId, create, createSvg } from "./dom.js";
import { navigate, onChange, store } from "./store.js";

const FEW = 8;  // values shown at first
const WIDTH = 240;
const HEIGHT = 54;
const MAX_STEP = 40;  // width of a bar and the gap beside it
const OPEN = new Set(["camera", "f", "shutter", "iso", "mm", "label", "predicted"]);

const expanded = new Set();

export function initFacets() {
  onChange((what) => { if (what.has("view")) { drawFacets(); drawChips(); } });
}

function drawFacets() {
  const open = new Map([...byId("facets").querySelectorAll("details")].map((node) => [node.dataset.name, node.open]));
  const { scrollTop } = byId("facets");
  const nodes = store.view.facets
    .filter((facet) => facet.values.length || facet.selected.length)
    .map((facet) => create("details", { data: { name: facet.name },
      open: open.get(facet.name) ?? (OPEN.has(facet.name) || facet.selected.length > 0),
      children: [create("summary", { text: facet.title }), ...(facet.kind === "range" ? histogram(facet) : [list(facet)])] }));
  byId("facets").replaceChildren(...nodes);
  byId("facets").scrollTop = scrollTop;
}

function setFacet(name, values) { navigate({ [name]: values }); }

function list(facet) {
  const values = [...facet.values];
  if (facet.missing || facet.selected.includes("")) values.push(["", "unknown", facet.missing]);
  const shown = expanded.has(facet.name) ? values : values.slice(0, FEW);
  const rows = shown.map(([value, text, count]) => {
    const selected = facet.selected.includes(value);
    const others = facet.selected.filter((other) => other !== value);
    return create("li", { children: [create("button", { "aria-pressed": String(selected), title: text,
      on: { click: () => setFacet(facet.name, selected ? others : [...facet.selected, value]) },
      children: [create("span", { class: "name", text }), create("span", { class: "count", text: count.toLocaleString("en") })] })] });
  });
  if (values.length > FEW || facet.more) {
    const hidden = values.length - shown.length + (expanded.has(facet.name) ? facet.more ?? 0 : 0);
    const text = !expanded.has(facet.name) ? `${hidden + (facet.more ?? 0)} more` : facet.more ? `Fewer (${facet.more} more; search for them)` : "Fewer";
    rows.push(create("li", { children: [create("button", { class: "more", text, on: { click: () => {
      if (!expanded.delete(facet.name)) expanded.add(facet.name);
      drawFacets();
    } } })] }));
  }
  return create("ul", { children: rows });
}

/* Bars of the nominal settings. Dragging across them, or the arrow keys, select a range. */
function histogram(facet) {
  const bins = facet.values;
  if (!bins.length) return [];
  const step = Math.min(WIDTH / bins.length, MAX_STEP);
  const highest = Math.max(1, ...bins.map(([, , count]) => count));
  const bars = bins.map(([, text, count], index) => {
    const height = count ? Math.max(2, (count / highest) * (HEIGHT - 4)) : 0;
    return createSvg("rect", { x: index * step + 0.5, y: HEIGHT - height, width: Math.max(1, step - 1), height });
  });
  const hits = bins.map(([, text, count], index) => {
    const title = createSvg("title");
    title.textContent = `${text}: ${count.toLocaleString("en")}`;
    return createSvg("rect", { class: "hit", x: index * step, y: 0, width: step, height: HEIGHT, children: [title] });
  });
  let range = selectedRange(facet, bins);
  const scale = create("div", { class: "scale" });
  scale.style.minWidth = `${(100 * step * bins.length) / WIDTH}%`;
  const show = () => {
    bars.forEach((bar, index) => bar.classList.toggle("selected", !range || (index >= range[0] && index <= range[1])));
    const [first, last] = range ?? [0, bins.length - 1];
    const number = bins.slice(first, last + 1).reduce((sum, [, , count]) => sum + count, 0);
    const middle = range ? number.toLocaleString("en") : "";
    scale.replaceChildren(...[bins[first][1], middle, first === last ? "" : bins[last][1]].map((text) => create("span", { text })));
  };
  const commit = () => setFacet(facet.name, range ? [range[0] === range[1] ? bins[range[0]][0] : `${bins[range[0]][0]}-${bins[range[1]][0]}`] : []);
  const svg = createSvg("svg", { class: "histogram", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
    tabindex: 0, role: "slider", "aria-label": `${facet.title}: drag to select a range`,
    "aria-valuetext": range ? `${bins[range[0]][1]} to ${bins[range[1]][1]}` : "all", children: [...bars, ...hits] });
  let start = null;
  const binAt = (event) => {
    const { left, width } = svg.getBoundingClientRect();
    return Math.max(0, Math.min(bins.length - 1, Math.floor(((event.clientX - left) / width) * (WIDTH / step))));
  };
  const before = JSON.stringify(range);
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    start = binAt(event);
    range = [start, start];
    show();
  });
  svg.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const end = binAt(event);
    range = [Math.min(start, end), Math.max(start, end)];
    show();
  });
  svg.addEventListener("pointerup", () => {
    if (start === null) return;
    start = null;
    if (JSON.stringify(range) === before) range = null;  // a second click on the same bar removes the range
    commit();
  });
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (!(event.key in steps) && event.key !== "Escape" && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Enter") { commit(); return; }
    if (event.key === "Escape") { range = null; commit(); return; }
    const [first, last] = range ?? [0, -1];
    const end = Math.max(0, Math.min(bins.length - 1, last + steps[event.key]));
    range = event.shiftKey ? [Math.min(first, end), Math.max(first, end)] : [end, end];
    show();
  });
  show();
  const nodes = [svg, scale];
  if (facet.missing || facet.selected.includes("")) nodes.push(list({ ...facet, values: [], more: 0 }));
  return nodes;
}

function selectedRange(facet, bins) {
  const text = facet.selected.find((value) => value !== "");
  if (text === undefined) return null;
  const [low, high = low] = text.split("-");
  const ends = [low, high].map((value) => bins.findIndex(([other]) => other === value));
  return ends.includes(-1) ? null : [Math.min(...ends), Math.max(...ends)];
}

/* One button for each active filter, which removes it. */
function drawChips() {
  const chips = [];
  const add = (text, changes) => chips.push(create("button", { class: "chip", text: `${text} ×`,
    "aria-label": `Remove the filter ${text}`, on: { click: () => navigate(changes) } }));
  const parameters = store.parameters;
  if (parameters.get("q")) add(parameters.get("q"), { q: null });
  if (parameters.get("sample")) add(`sample of ${parameters.get("sample")}`, { sample: null, seed: null });
  if (parameters.get("predictions")) add(`predictions of ${parameters.get("predictions")}`, { predictions: null });
  for (const facet of store.view.facets) {
    for (const value of facet.selected) {
      const text = facet.values.find(([other]) => other === value)?.[1] ?? (value || "unknown");
      add(`${facet.title}: ${facet.kind === "range" ? text.replace("-", " to ") : text}`, { [facet.name]: facet.selected.filter((other) => other !== value) });
    }
  }
  if (chips.length > 1) {
    const names = ["q", "sample", "seed", "predictions", ...store.view.facets.map((facet) => facet.name)];
    chips.push(create("button", { class: "chip", text: "Remove all", on: { click: () => navigate(Object.fromEntries(names.map((name) => [name, null]))) } }));
  }
  byId("chips").replaceChildren(...chips);
}
