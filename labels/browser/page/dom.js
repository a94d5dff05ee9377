/* Small helpers for elements. All text becomes text nodes, never HTML. */

export const byId = (id) => document.getElementById(id);

export function create(tag, { text, children = [], on = {}, data = {}, ...attributes } = {}) {
  const node = document.createElement(tag);
  return fill(node, { text, children, on, data, attributes });
}

export function createSvg(tag, { children = [], on = {}, ...attributes } = {}) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), { children, on, attributes });
}

function fill(node, { text, children = [], on = {}, data = {}, attributes = {} }) {
  if (text !== undefined && text !== null) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, value] of Object.entries(data)) node.dataset[name] = value;
  for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function place(node, { left, top, width, height }) {
  for (const [name, value] of Object.entries({ left, top, width, height })) node.style[name] = `${value}px`;
}

export function plural(count, noun) { return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`; }

export function percent(share) { return `${Math.round(100 * share)} %`; }

export function showMessage(text, alert = false) {
  byId("message").textContent = text;
  byId("status").classList.toggle("alert", alert);
}
