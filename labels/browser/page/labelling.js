/* Labels: classes and their keys, labelling of one or many photographs, undo and redo, progress. */

import { RequestError, edit, get } from "./api.js";
import { byId, create, plural, showMessage } from "./dom.js";
import { labelText, selectedRanges } from "./grid.js";
import { reload } from "./single.js";
import { applyChanges, current, load, moveTo, onChange, store } from "./store.js";

export const CLASS_KEYS = "123456789qwertasdfgyhjkcvmiopQWERTASDFGYHJKCVMIOP";  // the other letters are commands

export function initLabelling() {
  for (const [name, command] of Object.entries({ next: nextUnlabelled, undo, redo })) byId(name).addEventListener("click", () => command().catch(() => {}));
  onChange((what) => {
    if (what.has("view")) drawClasses();
    if (what.has("labels") || what.has("cursor") || what.has("photographs")) drawProgress();
  });
}

function drawClasses() {
  const { classes } = store.view;
  byId("labelling").hidden = !store.parameters.get("target");
  const buttons = classes.slice(0, CLASS_KEYS.length).map((name, index) => create("button", { data: { name }, "aria-pressed": "false",
    on: { click: () => labelClass(name).catch(() => {}) }, children: [create("kbd", { text: CLASS_KEYS[index] }), ` ${name}`] }));
  if (store.view.open_classes || classes.length > CLASS_KEYS.length) {
    buttons.push(create("button", { on: { click: () => typeLabel().catch(() => {}) }, children: [create("kbd", { text: "l" }), " other …"] }));
  }
  byId("classes").replaceChildren(...buttons);
}

function drawProgress() {
  const { total } = store.view;
  byId("labelled").textContent = `${store.labelled.toLocaleString("en")} of ${total.toLocaleString("en")} labelled`;
  byId("bar").max = Math.max(1, total);
  byId("bar").value = store.labelled;
  const names = new Set(current()?.label?.split("|") ?? []);
  for (const button of byId("classes").children) button.setAttribute("aria-pressed", String(names.has(button.dataset.name)));
}

/* The class of a key sets the label; for multilabel targets it adds or removes the class. */
export async function labelClass(name) { await label(name, store.view.multilabel); }

export async function removeLabel() { await label(null, false); }

async function label(value, toggle) {
  if (!store.parameters.get("target")) { showMessage("Select a target to label photographs.", true); return; }
  if (!store.view.total) return;
  const ranges = selectedRanges();
  const bulk = store.selection.size > 0;
  const answer = await send("label", () => ({ ranges, value, toggle }));
  if (bulk) showMessage(value === null ? `Label of ${plural(answer.count, "photograph")} removed.` : `${plural(answer.count, "photograph")}: ${toggle ? "±" : ""}${value}.`);
  else if (value !== null && !toggle) await moveTo(store.cursor + 1);
}

/* Sends an edit, and shows what it changed. After a change elsewhere the photographs are shown as they are now. */
async function send(path, message) {
  try {
    const answer = await edit(path, () => ({ ...message?.(), view: store.view.view, since: store.version }));
    await takeAnswer(answer);
    return answer;
  } catch (error) {
    if (error instanceof RequestError && error.status === 409) {
      await takeAnswer(await get("changes", { view: store.view.view, since: store.version }));
    }
    showMessage(error.message, true);
    throw error;
  }
}

async function takeAnswer(answer) {
  applyChanges(answer);
  await load(store.cursor, store.cursor);
}

export function undo() { return goThrough("undo", "undone"); }

export function redo() { return goThrough("redo", "redone"); }

async function goThrough(path, word) {
  const answer = await send(path);
  if (answer.image === null) { showMessage(`Nothing to ${path}.`); return; }
  const { position } = await get("position", { view: store.view.view, image: answer.image });
  if (position === null) { showMessage(`${word[0].toUpperCase()}${word.slice(1)} on a photograph that is not in this view.`); return; }
  await moveTo(position);
  if (store.single) await reload();
  const what = answer.boxes ? "boxes" : answer.count > 1 ? plural(answer.count, "label") : labelText(current());
  showMessage(`${word}: ${what}`);
}

export async function nextUnlabelled() {
  if (!store.parameters.get("target")) { showMessage("Select a target first.", true); return; }
  const { position } = await get("next", { view: store.view.view, after: store.cursor });
  if (position === null) { showMessage(store.view.total ? "All photographs of this view are labelled." : "No photograph matches."); return; }
  store.selection.clear();
  await moveTo(position);
}

/* Asks for a label that has no key. */
export async function typeLabel() {
  if (!store.parameters.get("target")) { showMessage("Select a target to label photographs.", true); return; }
  byId("typed").value = "";
  byId("typed-classes").replaceChildren(...store.view.classes.map((name) => create("option", { value: name })));
  byId("typing-title").textContent = `Label: ${store.parameters.get("target")}`;
  byId("typing").returnValue = "";
  byId("typing").showModal();
  await new Promise((resolve) => { byId("typing").addEventListener("close", resolve, { once: true }); });
  const value = byId("typed").value.trim();
  if (byId("typing").returnValue === "save" && value) await label(value, store.view.multilabel);
}

/* Shows labels that others have set meanwhile. */
export async function poll() {
  const { view } = store.view;
  const answer = await get("changes", { view, since: store.version });
  if (view === store.view.view && answer.version > store.version) await takeAnswer(answer);
}
