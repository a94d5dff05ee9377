/* The keyboard: one table of commands, from which the help is made. */

import { isBlocked } from "./api.js";
import { byId, create, showMessage } from "./dom.js";
import { columns, rangeTo, resize, select, toggle } from "./grid.js";
import { CLASS_KEYS, labelClass, nextUnlabelled, redo, removeLabel, typeLabel, undo } from "./labelling.js";
import { nextBoxKind, openSingle, removeBox, toggleZoom } from "./single.js";
import { moveTo, store } from "./store.js";

const HELP = {
  Label: { "class key": "label, and go to the next photograph; of a selection, label all", 0: "remove your label",
    l: "type a label", n: "next unlabelled photograph", u: "undo", U: "redo" },
  Navigate: { "← → ↑ ↓": "go to another photograph", "Home End": "first, last photograph", "Page Up, Page Down": "one screen",
    Enter: "open the photograph, or back to the grid", Escape: "back, or select nothing", "/": "search", "+ -": "larger, smaller thumbnails" },
  "Select several": { "Shift + click, arrow": "select up to there", "Ctrl + click, Space": "add or remove one", drag: "select by a rectangle",
    "Ctrl + A": "select all of the view" },
  "In a photograph": { z: "zoom to 100 %", drag: "draw a box, or move a corner of one", b: "kind of box: area inside a border, or face",
    x: "remove the box under the pointer" },
};

const move = (step) => (event) => {
  const target = Math.max(0, Math.min(store.view.total - 1, store.cursor + step()));
  if (!event.shiftKey || store.single) { store.selection.clear(); return moveTo(target); }
  select([store.cursor, ...rangeTo(target)], true);
  return moveTo(target);
};
const vertical = () => (store.single ? 1 : columns());
const screen = () => vertical() * Math.max(1, Math.floor(byId("grid").clientHeight / 180));

const COMMANDS = {
  ArrowRight: move(() => 1), ArrowLeft: move(() => -1), ArrowDown: move(() => vertical()), ArrowUp: move(() => -vertical()),
  PageDown: move(() => screen()), PageUp: move(() => -screen()), Home: move(() => -store.cursor), End: move(() => store.view.total),
  Enter: () => openSingle(!store.single),
  Escape: () => { if (store.single) openSingle(false); else { document.body.classList.remove("filters"); select([]); } },
  " ": () => toggle(store.cursor), "/": () => byId("query").focus(), "+": () => resize(1), "=": () => resize(1), "-": () => resize(-1),
  0: removeLabel, l: typeLabel, n: nextUnlabelled, u: undo, U: redo, z: toggleZoom, b: nextBoxKind, x: removeBox, "?": showHelp,
};
const WITH_CONTROL = { a: () => select(Array.from({ length: store.view.total }, (_, index) => index)), z: undo, y: redo, Z: redo };

/* Returns the key as on a Latin keyboard: the letter or digit in its place if the layout has another character there. */
function keyName(event) {
  if (event.key.length !== 1 || /^[a-z0-9]$/i.test(event.key)) return event.key;
  const [, letter, digit] = /^(?:Key([A-Z])|(?:Digit|Numpad)([0-9]))$/.exec(event.code) || [];
  if (letter) return event.shiftKey ? letter : letter.toLowerCase();
  return digit && !event.shiftKey ? digit : event.key;
}

function commandOf(event) {
  const key = keyName(event);
  if (event.ctrlKey || event.metaKey) return WITH_CONTROL[key];
  const index = key.length === 1 ? CLASS_KEYS.indexOf(key) : -1;
  const name = store.view.classes[index];
  return name === undefined ? COMMANDS[key] : () => labelClass(name);
}

let pending = Promise.resolve();  // commands run one after the other

export function run(command, event) {
  pending = pending.then(() => command(event)).catch((error) => { if (!error.status) throw error; });
}

export function initKeys() {
  byId("keys").addEventListener("click", showHelp);
  document.addEventListener("keydown", (event) => {
    if (event.altKey || !event.key || !store.view || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (["Enter", " "].includes(event.key) && event.target.closest?.("button, summary, a")) return;
    const command = commandOf(event);
    if (!command) return;
    event.preventDefault();
    if (isBlocked()) return;
    if (event.repeat && !event.key.startsWith("Arrow")) return;  // a key held down only moves
    run(command, event);
  });
}

function showHelp() {
  const lists = Object.entries(HELP).flatMap(([title, keys]) => [create("h3", { text: title }), create("dl", {
    children: Object.entries(keys).flatMap(([key, text]) => [create("dt", { children: [create("kbd", { text: key })] }), create("dd", { text })]) })]);
  byId("help-keys").replaceChildren(...lists);
  byId("help").showModal();
  showMessage("");
}
