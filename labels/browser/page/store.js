/* What the page shows: the parameters of its URL, the view, its photographs, the cursor and the selection. */

import { RequestError, get } from "./api.js";
import { showMessage } from "./dom.js";

const CHUNK = 120;
const LOCAL = new Set(["photo"]);  // parameters that the server does not need

export const store = {
  project: null,
  parameters: new URLSearchParams(),
  view: null,
  photographs: new Map(),  // by position
  chunks: new Map(),       // requests by their first position
  version: 0,
  labelled: 0,
  cursor: 0,
  selection: new Set(),
  single: false,
};

const listeners = [];
let calls = 0;  // of openView

/* Registers a function that draws after a change: of the "view", the "photographs", the "cursor" or the "labels". */
export function onChange(listener) { listeners.push(listener); }

export function changed(...what) { for (const listener of listeners) listener(new Set(what)); }

export function viewParameters() {
  return new URLSearchParams([...store.parameters].filter(([name]) => !LOCAL.has(name)));
}

/* Opens the view of the current parameters, and returns whether it is shown; undefined if it was called again meanwhile:
   answers may come in another order. `fresh`: evaluate the query and the queue again. */
export async function openView({ fresh = false } = {}) {
  const call = ++calls;
  const parameters = viewParameters();
  if (fresh) parameters.set("fresh", "1");
  const previous = store.photographs.get(store.cursor)?.id;
  let view;
  let cursor = 0;
  try {
    view = await get("view", parameters);
    if (previous !== undefined) cursor = (await get("position", { view: view.view, image: previous })).position ?? 0;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    if (call !== calls) return undefined;
    showMessage(error.message, true);
    return false;
  }
  if (call !== calls) return undefined;
  store.view = view;
  store.photographs.clear();
  store.chunks.clear();
  store.selection.clear();
  store.version = view.version;
  take(view);
  store.chunks.set(0, Promise.resolve());
  store.cursor = cursor;
  await load(cursor, cursor);
  if (call !== calls) return undefined;
  showMessage(view.search ? "Taken as words to search for, as it is no query." : "");
  changed("view", "photographs", "cursor", "labels");
  return true;
}

function take(page) {
  page.photographs.forEach((photograph, index) => {
    store.photographs.set(page.start + index, photograph);
  });
  store.labelled = page.labelled;
}

/* Loads the photographs at positions that are not loaded yet. */
export async function load(first, last) {
  const requests = [];
  for (let start = first - (first % CHUNK); start <= Math.min(last, store.view.total - 1); start += CHUNK) {
    if (!store.chunks.has(start)) store.chunks.set(start, loadChunk(store.view, start));
    requests.push(store.chunks.get(start));
  }
  await Promise.all(requests);
}

async function loadChunk(view, start) {
  try {
    const page = await get("photographs", { view: view.view, start, limit: CHUNK });
    if (view !== store.view) return;
    take(page);  // the version stays: photographs that were loaded before may show older labels
    changed("photographs", "labels");
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    if (view === store.view) await openView();  // the server was started again
  }
}

/* Takes over the labels that changed, as an answer lists them. */
export function applyChanges(answer) {
  store.version = answer.version;
  store.labelled = answer.labelled;
  if (answer.changes === null) {
    store.photographs.clear();
    store.chunks.clear();
  } else if (answer.changes.length) {
    const byId = new Map(answer.changes.map((photograph) => [photograph.id, photograph]));
    for (const [position, photograph] of store.photographs) {
      if (byId.has(photograph.id)) store.photographs.set(position, { ...photograph, ...byId.get(photograph.id) });
    }
  }
  changed("photographs", "labels");
}

export function current() { return store.photographs.get(store.cursor); }

export async function moveTo(position) {
  if (!store.view.total) return;
  store.cursor = Math.max(0, Math.min(store.view.total - 1, position));
  await load(store.cursor, store.cursor);
  changed("cursor");
}

/* Changes parameters of the URL and opens the view; a null removes one, an array sets several values. */
export async function navigate(changes) {
  for (const [name, value] of Object.entries(changes)) {
    store.parameters.delete(name);
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined) store.parameters.append(name, item);
    }
  }
  writeUrl(true);
  await openView();
}

export function writeUrl(push = false) {
  store.parameters.delete("photo");
  if (store.single && current()) store.parameters.set("photo", current().id);
  const text = store.parameters.toString();
  const search = text ? `?${text}` : "";
  if (push || search !== location.search) history[push ? "pushState" : "replaceState"](null, "", search || location.pathname);
}
