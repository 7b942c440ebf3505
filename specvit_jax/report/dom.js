"use strict";
// Elements, numbers and colours: what every part of the page uses.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/** An HTML element with attributes (on… are listeners) and children. */
function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
function svgEl(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "value") node.value = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

let lastId = 0;
const newId = () => `part-${++lastId}`;

/** A labelled select; `options` are texts, `change` gets the index. */
function selectField(label, options, change, start = 0) {
  const id = newId();
  const select = el("select", { id, onchange: () => change(select.selectedIndex) },
    ...options.map((text) => el("option", {}, text)));
  select.selectedIndex = start;
  const field = el("div", { class: "field" }, el("label", { for: id }, label), select);
  return { field, select };
}

/** A labelled slider over 0..n-1; `text(i)` is read out and shown beside the label. */
function sliderField(label, n, text, change, start = 0) {
  const id = newId();
  const output = el("output", { for: id });
  const input = el("input", { id, type: "range", min: 0, max: n - 1, step: 1, value: start });
  const show = () => {
    output.textContent = text(+input.value);
    input.setAttribute("aria-valuetext", text(+input.value));
  };
  input.addEventListener("input", () => { show(); change(+input.value); });
  show();
  const field = el("div", { class: "field wide" }, el("label", { for: id }, `${label} `, output), input);
  return { field, input, show };
}

/** A chip that is a checkbox, with a swatch in the colour of what it shows. */
function chip(text, colour, dashed, change, checked = true) {
  const input = el("input", { type: "checkbox", checked, onchange: () => change(input.checked) });
  return el("label", { class: "chip", style: `--c:${colour}` }, input, el("i", { class: dashed ? "dash" : null }), text);
}

/** A row of buttons: [text, spoken name, action]. */
function buttonField(label, buttons) {
  const row = el("div", { class: "buttons" },
    ...buttons.map(([text, name, action]) => el("button", { type: "button", "aria-label": name, onclick: action }, text)));
  return el("div", { class: "field", role: "group", "aria-label": label }, el("span", { class: "label" }, label), row);
}

/** A table; the first cell of a row is its head and may be a node. */
function table(head, rows) {
  const cells = (row) => row.slice(1).map((cell) => el("td", {}, cell));
  return el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row[0]), ...cells(row)))));
}

/** The name of a method with its dot. */
function named(name) {
  return el("span", { style: `--c:${colourOf(name)}` }, el("i"), name);
}

/** Big numbers: [name, value, unit]. */
function readings(host, rows) {
  host.replaceChildren(...rows.map(([name, value, unit]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value, unit ? el("small", {}, ` ${unit}`) : ""))));
}

// Colours as in the figures (crlb/palette.py): a network without a name of its own is a SpecViT, the next ones others.
const OTHERS = 4;
const taken = new Map();
const isNamed = (data.explorers ?? []).some((one) => "SpecViT" in one.methods);
const methodOf = (name) => data.methods.find((start) => name.startsWith(start));

function colourOf(name) {
  if (name === "posterior mean") return "var(--limit)";
  const known = methodOf(name);
  if (known !== undefined) return `var(--method-${data.methods.indexOf(known)})`;
  if (!taken.has(name)) taken.set(name, taken.size === 0 && !isNamed ? colourOf("SpecViT") : `var(--other-${taken.size % OTHERS})`);
  return taken.get(name);
}

/** `digits` significant digits, as people write them: no exponents between 1e-4 and 1e6, a real minus. */
function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? value.toExponential(digits - 1)
    : String(+value.toPrecision(digits));
  return text.replace("-", "−");
}

/** A fixed number of decimals. */
const fixed = (value, decimals) =>
  value === null || value === undefined ? "–" : value.toFixed(decimals).replace("-", "−");
const plusMinus = (bias, scatter, decimals) => `${signed(bias, decimals)} ± ${fixed(scatter, decimals)}`;
const signed = (value, decimals) => (value > 0 ? "+" : "") + fixed(value, decimals);
const thousands = (value) => value.toLocaleString("en-US");
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Tells listeners that something was chosen: star and magnitude, layer and head. */
function makeState(start) {
  const listeners = [];
  return {
    ...start,
    set(change) { Object.assign(this, change); listeners.forEach((listener) => listener()); },
    listen(listener) { listeners.push(listener); },
  };
}
