"use strict";

const byId = (id) => document.getElementById(id);
let photo = null; // Image of the current photograph, null if the browser cannot decode it
let patches = []; // { box, contribution: { row title: number } }
let requests = 0; // responses to all but the latest request are ignored

function addCell(row, text, className) {
  const cell = row.insertCell();
  cell.textContent = text;
  if (className) cell.className = className;
  return cell;
}

function listItem(text) {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}

function showStatus(text, isError = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("error", isError);
}

function clear() {
  byId("results").hidden = byId("legend").hidden = true;
  byId("results").tBodies[0].replaceChildren();
  byId("warnings").replaceChildren();
  byId("target").replaceChildren();
  patches = [];
}

async function decode(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return image;
  } catch {
    return null; // the model may support formats that the browser does not
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

function showPhoto(image) {
  photo = image;
  byId("photo").hidden = image === null;
  byId("hint").hidden = image !== null;
  draw();
}

function draw() {
  if (!photo) return;
  const canvas = byId("photo");
  const scale = Math.min(1, 1200 / photo.naturalWidth);
  canvas.width = Math.round(photo.naturalWidth * scale);
  canvas.height = Math.round(photo.naturalHeight * scale);
  const context = canvas.getContext("2d");
  context.drawImage(photo, 0, 0, canvas.width, canvas.height);
  const target = byId("target").value;
  const largest = Math.max(...patches.map((patch) => Math.abs(patch.contribution[target] ?? 0)), 1e-9);
  const [supports, contradicts] = [".supports", ".contradicts"].map(
    (name) => getComputedStyle(document.querySelector(name), "::before").borderTopColor);
  const pixel = canvas.width / (canvas.clientWidth || canvas.width); // the canvas is scaled down on narrow screens
  for (const { box, contribution } of patches) {
    if (!(target in contribution)) continue;
    context.strokeStyle = contribution[target] >= 0 ? supports : contradicts;
    context.lineWidth = pixel * (1 + 3 * Math.abs(contribution[target]) / largest);
    context.strokeRect(box.x * scale, box.y * scale, box.width * scale, box.height * scale);
  }
}

function probabilityMeter(probability, label) {
  const element = document.createElement("div");
  const meter = document.createElement("meter");
  meter.value = probability;
  element.append(meter, `${Math.round(100 * probability)}\u00a0% ${label}`.trim());
  return element;
}

function addRow(title, { class: label, classes, probabilities, average, exif }) {
  const row = byId("results").tBodies[0].insertRow();
  const labels = classes ?? [label];
  addCell(row, title);
  addCell(row, (labels.join(", ") || "none") + (average ? ` (mean ${average})` : ""), "class");
  const meters = labels.map((name) => probabilityMeter(probabilities[name], labels.length > 1 ? name : ""));
  addCell(row, "", "probability").append(...meters);
  addCell(row, exif ?? "–");
}

function addPatches(explanation, titles) {
  for (const { box, contribution } of explanation.patches) {
    const entries = Object.entries(contribution).map(([target, value]) => [titles[target], value]);
    patches.push({ box, contribution: Object.fromEntries(entries) });
  }
  for (const title of Object.keys(patches.at(-1)?.contribution ?? {})) byId("target").add(new Option(title));
}

function showResults(models) {
  const warnings = new Set();
  for (const { model, predictions, warnings: modelWarnings = [], explanation } of models) {
    const suffix = models.length > 1 ? ` (${model})` : "";
    const titles = {};
    for (const [target, prediction] of Object.entries(predictions)) {
      titles[target] = prediction.title + suffix;
      addRow(titles[target], prediction);
    }
    for (const { reason } of modelWarnings) warnings.add(reason);
    if (explanation) addPatches(explanation, titles);
  }
  byId("warnings").append(...[...warnings].map(listItem));
  byId("results").hidden = false;
  byId("legend").hidden = patches.length === 0;
  draw();
}

async function requestPrediction(file) {
  try {
    const response = await fetch("predict", { method: "POST", body: file, headers: { "X-Lightmeter": "page" } });
    return await response.json();
  } catch {
    return { error: { reason: "The demo page's server does not respond; is it still running?" } };
  }
}

async function predict(file) {
  const request = ++requests;
  clear();
  showStatus("Predicting …");
  const image = await decode(file);
  if (request !== requests) return;
  showPhoto(image);
  const response = await requestPrediction(file);
  if (request !== requests) return;
  if (response.error) {
    showStatus(response.error.reason, true);
    return;
  }
  showResults(response.models);
  const names = response.models.map(({ model, version }) => `${model} ${version}`);
  showStatus(`${file.name}: predicted by ${names.join(", ")}.`);
}

byId("file").addEventListener("change", (event) => {
  if (event.target.files[0]) predict(event.target.files[0]);
  event.target.value = ""; // so that the same file can be selected again
});
byId("target").addEventListener("change", draw);
window.addEventListener("resize", draw);
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => { // anywhere, otherwise the browser would open the file
    event.preventDefault();
    byId("drop").classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files[0]) predict(event.dataTransfer.files[0]);
  });
}
