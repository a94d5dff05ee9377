/* The browser: starts the parts of the page, and connects the controls at its top. */

import { get, isBlocked } from "./api.js";
import { byId, create, plural, showMessage } from "./dom.js";
import { initFacets } from "./facets.js";
import { initGrid } from "./grid.js";
import { initKeys, run } from "./keys.js";
import { initLabelling, poll } from "./labelling.js";
import { initSingle, openSingle } from "./single.js";
import { moveTo, navigate, onChange, openView, store } from "./store.js";

const POLL_MS = 5000;
const QUEUES = { all: "All", unjudged: "Unlabelled", "no-face": "No face", disagreements: "EXIF differs", "label-issues": "Label issues" };
const UNGROUPED = ["", "None"];

function options(node, entries) { node.replaceChildren(...entries.map(([value, text]) => create("option", { value, text }))); }

function drawControls() {
  const { parameters, view } = store;
  const sort = parameters.get("sort") || "file";
  options(byId("group"), [UNGROUPED, ...view.facets.map(({ name, title }) => [name, title])]);
  byId("query").value = parameters.get("q") ?? "";
  byId("target").value = parameters.get("target") ?? "";
  byId("queue").value = parameters.get("queue") || "all";
  byId("sort").value = sort.replace(/^-/, "");
  byId("direction").textContent = sort.startsWith("-") ? "↓" : "↑";
  byId("direction").setAttribute("aria-pressed", String(sort.startsWith("-")));
  byId("group").value = parameters.get("group") ?? "";
}

function drawStatus() {
  const { view, cursor, selection } = store;
  const selected = selection.size ? ` · ${selection.size.toLocaleString("en")} selected` : "";
  const position = view.total ? `${(cursor + 1).toLocaleString("en")} of ${view.total.toLocaleString("en")}` : "0 photographs";
  const all = store.project.photographs;
  byId("position").textContent = `${position}${view.total < all ? ` (${all.toLocaleString("en")} in the catalogue)` : ""}${selected}`;
  document.title = `${plural(view.total, "photograph")} – ${store.project.name || "Lightmeter"}`;
}

function initControls() {
  const { targets, sorts } = store.project;
  options(byId("target"), [UNGROUPED, ...targets.map((name) => [name, name])]);
  options(byId("queue"), Object.entries(QUEUES));
  options(byId("sort"), Object.entries(sorts));
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    navigate({ q: byId("query").value.trim() || null }).then(() => byId("query").blur());
  });
  byId("target").addEventListener("change", (event) => navigate({ target: event.target.value || null, label: null, predicted: null, truth: null, split: null }));
  byId("queue").addEventListener("change", (event) => navigate({ queue: event.target.value === "all" ? null : event.target.value }));
  byId("group").addEventListener("change", (event) => navigate({ group: event.target.value || null }));
  byId("sort").addEventListener("change", (event) => navigate({ sort: event.target.value === "file" ? null : event.target.value }));
  byId("direction").addEventListener("click", () => {
    const sort = store.parameters.get("sort") || "file";
    navigate({ sort: sort.startsWith("-") ? sort.slice(1) : `-${sort}` });
  });
  byId("filters").addEventListener("click", () => {
    byId("filters").setAttribute("aria-expanded", String(document.body.classList.toggle("filters")));
  });
  for (const select of document.querySelectorAll(".bar select")) select.addEventListener("change", () => select.blur());
}

/* Shows what the URL says. */
async function readUrl(fresh) {
  store.parameters = new URLSearchParams(location.search);
  const image = store.parameters.get("photo");
  const opened = await openView({ fresh });
  if (opened === undefined) return;
  if (!opened && !store.view) {
    store.parameters = new URLSearchParams();  // the message stays: what the URL asks for is not possible
    const { textContent } = byId("message");
    await openView();
    byId("message").textContent = textContent;
    byId("status").classList.add("alert");
  }
  if (image !== null && /^\d+$/.test(image)) {
    const { position } = await get("position", { view: store.view.view, image });
    if (position !== null) { await moveTo(position); openSingle(); return; }
    showMessage(`Photograph ${image} is not in this view.`, true);
  }
  openSingle(false);
}

async function start() {
  store.project = await get("project");
  initControls();
  initGrid(openSingle);
  initFacets();
  initSingle();
  initLabelling();
  initKeys();
  onChange((what) => { if (what.has("view")) drawControls(); drawStatus(); });
  await readUrl(true);
  window.addEventListener("popstate", () => readUrl(false));
  setInterval(() => { if (!document.hidden && !isBlocked()) run(poll); }, POLL_MS);
}

start();
