// What can be taken away: tables as CSV, charts as SVG, results as JSON, pictures; pictures that enlarge.

/** A button that saves what `make()` returns at the time. */
function saveButton(text, name, type, make) {
  return el("button", { type: "button", class: "save", "aria-label": `Download ${name}`, onclick: () => save(name, type, make()) }, text);
}

function save(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Rows as CSV; what a spreadsheet would take for a formula is a text. */
function csvOf(rows) {
  const cell = (text) => {
    const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return `${rows.map((row) => row.map((text) => cell(String(text))).join(",")).join("\n")}\n`;
}

const tableRows = (node) => [...node.rows].map((row) => [...row.cells].map((one) => one.textContent.trim().replaceAll("−", "-").replaceAll("–", "")));

const DRAWN = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linejoin", "opacity", "font-family", "font-size", "font-weight"];

/** A chart as a file of its own, in the colours it has on the page, with the map that lies over it. */
function svgText(svg, canvas) {
  const copy = svg.cloneNode(true), originals = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, i) => {
    const style = getComputedStyle(originals[i]);
    node.removeAttribute("class");
    node.removeAttribute("style");
    if (!/^(svg|g|defs|clipPath)$/.test(node.tagName)) for (const name of DRAWN) node.setAttribute(name, style.getPropertyValue(name));
  });
  const [, , width, height] = (svg.getAttribute("viewBox") ?? "0 0 800 400").split(" ");
  const paper = svgEl("rect", { width: "100%", height: "100%", fill: getComputedStyle(document.documentElement).getPropertyValue("--panel").trim() });
  copy.prepend(paper);
  if (canvas) {
    const [x, y, wide, tall] = ["left", "top", "width", "height"].map((side) => parseFloat(canvas.style[side]));
    copy.append(svgEl("image", { href: canvas.toDataURL(), x, y, width: wide, height: tall, style: "image-rendering: pixelated" }));
  }
  fill(copy, { width, height }, []);
  return new XMLSerializer().serializeToString(copy);
}

/** Buttons below every chart and table, and below pictures. */
function startDownloads() {
  document.querySelectorAll(".plot").forEach((plot) => {
    if (!plot.querySelector("svg") || plot.closest("#training")) return;
    plot.after(saveRow(saveButton("SVG", `${plot.id || nameOf(plot)}.svg`, "image/svg+xml", () => svgText(plot.querySelector("svg"), plot.querySelector("canvas")))));
  });
  document.querySelectorAll(".scroll").forEach((host) => {
    if (!host.querySelector("table")) return;
    const name = `${host.id || nameOf(host)}.csv`;
    host.after(saveRow(saveButton("CSV", name, "text/csv", () => csvOf(tableRows(host.querySelector("table"))))));
  });
  for (const [name, host] of [["dashboard", byId("dashboard-table")], ["scaling", byId("scaling-table")]]) {
    if (host && data[name]) host.nextElementSibling.append(saveButton("JSON", `${name}.json`, "application/json", () => JSON.stringify(data[name], null, 1)));
  }
  document.querySelectorAll("figure.paper").forEach(enlarging);
}

const saveRow = (...buttons) => el("div", { class: "saves" }, ...buttons);
const nameOf = (node) => node.closest("article, section")?.id || "page";

/** A picture opens in full size by click, Enter or Space; Escape and a click close it. */
function enlarging(figure) {
  const picture = figure.querySelector("img"), name = nameOf(figure);
  const open = () => {
    const big = el("dialog", { class: "enlarged", "aria-label": picture.alt, onclick: () => big.close(), onclose: () => { big.remove(); figure.focus(); } },
      el("img", { src: picture.src, alt: picture.alt }), el("button", { type: "button", class: "close", "aria-label": "Close" }, "Close"));
    document.body.append(big);
    big.showModal();
  };
  fill(figure, { role: "button", "aria-label": `Enlarge: ${picture.alt}`, onclick: open, onkeydown: (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    open();
  } }, []);
  const caption = figure.nextElementSibling?.matches(".caption") ? figure.nextElementSibling : figure;
  caption.after(el("div", { class: "saves" }, el("a", { class: "save", href: picture.src, download: `${name}.webp` }, "Picture")));
}
