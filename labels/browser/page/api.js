/* Requests to the server. While it does not answer, a banner is shown and requests are repeated until it does. */

import { byId, plural, showMessage } from "./dom.js";

const RETRY_MS = 1500;

let unsaved = 0;       // edits that the server has not confirmed
let unreachable = 0;   // requests that are being repeated
let edits = Promise.resolve();

export class RequestError extends Error {
  constructor(status, reason) { super(reason); this.status = status; }
}

/* Whether keys must wait, because the server does not answer. */
export function isBlocked() { return unreachable > 0; }

export function get(path, parameters = {}) {
  return request(`api/${path}?${new URLSearchParams(parameters)}`);
}

/* Sends an edit after those before it. Its identifier lets the server recognise it if it is sent again. */
export function edit(path, message) {
  unsaved += 1;
  const identifier = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-");
  const result = edits.then(() => request(`api/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...message(), edit: identifier }),
  })).finally(() => { unsaved -= 1; showBanner(); });
  edits = result.catch(() => {});
  return result;
}

async function request(path, options) {
  let failed = false;
  try {
    for (;;) {
      const answer = await attempt(path, options);
      if (answer.reason === undefined) {
        if (answer.ok) return answer.content;
        throw new RequestError(answer.status, answer.content.error.reason);
      }
      if (!failed) { failed = true; unreachable += 1; }
      showBanner(answer.reason);
      await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
    }
  } finally {
    if (failed) { unreachable -= 1; showBanner(); }
  }
}

/* Returns the answer, or the reason why the request must be repeated. */
async function attempt(path, options) {
  let response;
  let content;
  try {
    response = await fetch(path, options);
    content = await response.json();
  } catch {
    return { reason: "The server does not answer. Start it again with the same --port." };
  }
  if (response.status === 403) return { reason: "The server was started again. Open the URL that it printed in another tab." };
  if (response.status >= 502 || (response.status === 503 && options)) return { reason: content.error?.reason ?? "The server does not answer." };
  return { ok: response.ok, status: response.status, content };
}

function showBanner(reason) {
  const banner = byId("banner");
  if (unreachable === 0) {
    if (!banner.hidden) showMessage("Connected again; everything is saved.");
    banner.hidden = true;
    return;
  }
  if (reason === undefined) return;
  const lost = unsaved ? `Not saved: ${plural(unsaved, "change")}. ` : "";
  banner.textContent = `${lost}${reason} Keys are blocked until it answers${unsaved ? " and everything is saved" : ""}.`;
  banner.hidden = false;
}

window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
