"use strict";

const by = (id) => document.getElementById(id);
const NAMES = {
  aperture: "aperture",
  shutter: "shutter speed",
  iso: "ISO",
  "focal-length": "focal length",
  medium: "film or digital",
};
let picture = null;
let patches = [];
let asked = 0; // photographs; what comes in of one that is not the last is too late

function called(target) {
  const quantity = Object.keys(NAMES).find((name) => target === name || target.startsWith(`${name}-`));
  if (!quantity) return target;
  const variant = target.slice(quantity.length + 1); // "binary" of "shutter-binary"
  return NAMES[quantity] + (variant ? ` (${variant})` : "");
}

function cell(row, text, kind) {
  const made = row.insertCell();
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function item(text) {
  const made = document.createElement("li");
  made.textContent = text;
  return made;
}

function tell(text, wrong = false) {
  by("state").textContent = text;
  by("state").classList.toggle("wrong", wrong);
}

function clear() {
  by("reading").hidden = by("legend").hidden = true;
  by("reading").tBodies[0].replaceChildren();
  by("warnings").replaceChildren();
  by("shown").replaceChildren();
  patches = [];
}

async function load(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return image;
  } catch {
    return null; // a format that the browser does not know; the model may
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

function show(image) {
  picture = image;
  by("picture").hidden = image === null;
  by("hint").hidden = image !== null;
  draw();
}

function draw() {
  if (!picture) return;
  const canvas = by("picture");
  const scale = Math.min(1, 1200 / picture.naturalWidth);
  canvas.width = Math.round(picture.naturalWidth * scale);
  canvas.height = Math.round(picture.naturalHeight * scale);
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const target = by("shown").value;
  const most = Math.max(...patches.map((patch) => Math.abs(patch.counts[target] ?? 0)), 1e-9);
  const style = getComputedStyle(document.documentElement);
  const pixel = canvas.width / (canvas.clientWidth || canvas.width); // on a narrow screen the picture is squeezed
  for (const { box, counts } of patches) {
    if (!(target in counts)) continue;
    pen.strokeStyle = style.getPropertyValue(counts[target] >= 0 ? "--for" : "--against");
    pen.lineWidth = pixel * (1 + 3 * Math.abs(counts[target]) / most);
    pen.strokeRect(box.x * scale, box.y * scale, box.width * scale, box.height * scale);
  }
}

function certainty(probability, label) {
  const made = document.createElement("div");
  const meter = document.createElement("meter");
  meter.value = probability;
  made.append(meter, `${Math.round(100 * probability)}\u00a0% ${label}`.trim());
  return made;
}

function report(answer) {
  const warnings = new Set();
  for (const reading of answer.readings) {
    const whose = answer.readings.length > 1 ? ` (${reading.model})` : "";
    const name = (target) => called(target) + whose;
    for (const [target, found] of Object.entries(reading.predictions)) {
      const row = by("reading").tBodies[0].insertRow();
      const labels = found.classes ?? [found.class];
      cell(row, name(target));
      const average = found.average ? ` (on average ${found.average})` : "";
      cell(row, (labels.join(", ") || "none") + average, "class");
      const sure = labels.map((label) => certainty(found.probabilities[label], labels.length > 1 ? label : ""));
      cell(row, "", "certainty").append(...sure);
      cell(row, found.exif ?? "–");
    }
    for (const { reason } of reading.warnings ?? []) warnings.add(reason);
    const looked = reading.explanation?.patches ?? [];
    for (const target of Object.keys(looked[0]?.counts ?? {})) by("shown").add(new Option(name(target)));
    const named = (counts) => Object.fromEntries(Object.entries(counts).map(([target, count]) => [name(target), count]));
    patches.push(...looked.map(({ box, counts }) => ({ box, counts: named(counts) })));
  }
  by("warnings").append(...[...warnings].map(item));
  by("reading").hidden = false;
  by("legend").hidden = patches.length === 0;
  draw();
}

async function ask(file) {
  try {
    const answer = await fetch("read", { method: "POST", body: file, headers: { "X-Lightmeter": "page" } });
    return await answer.json();
  } catch {
    return { error: { reason: "The page's server does not answer; is it still running?" } };
  }
}

async function read(file) {
  const mine = ++asked;
  clear();
  tell("Reading …");
  const image = await load(file);
  if (mine !== asked) return;
  show(image);
  const answer = await ask(file);
  if (mine !== asked) return;
  if (answer.error) {
    tell(answer.error.reason, true);
    return;
  }
  report(answer);
  tell(`${file.name}: read by ${answer.readings.map((each) => `${each.model} ${each.version}`).join(", ")}.`);
}

by("file").addEventListener("change", (event) => {
  if (event.target.files[0]) read(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
by("shown").addEventListener("change", draw);
window.addEventListener("resize", draw);
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => { // wherever it lands, or the browser would show it instead of the page
    event.preventDefault();
    by("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
  });
}
