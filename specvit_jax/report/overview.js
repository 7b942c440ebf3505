// What stands first: numbers, findings, the network's diagram, costs, how to cite.

function startOverview() {
  const found = data.overview ?? {};
  const link = (source) => placeOf(`#result-${source}`) ?? placeOf(source === "r2_vs_snr" ? "#dashboard" : `#${source}`);
  const more = (source) => { const place = link(source); return place ? el("a", { href: `#${place.id}` }, "how it was measured") : ""; };
  if (found.numbers) byId("overview-numbers").replaceChildren(...found.numbers.map((one) =>
    el("div", {}, el("dt", {}, one.name), el("dd", {}, one.value, one.unit ? el("small", {}, ` ${one.unit}`) : ""))));
  if (found.findings?.length) {
    byId("overview-findings").replaceChildren(...found.findings.map((one) => el("li", {}, `${one.text} `, more(one.source))));
  } else byId("overview-findings").remove();
  if (found.seconds) byId("overview-time").textContent = `${thousands(found.experiments)} studies on this page took ${duration(found.seconds)} of computing in all.`;
  if (data.networks) startDiagram(); else byId("overview-diagram").remove();
  const rows = costRows(found.costs ?? []);
  if (rows.length) byId("overview-costs").append(table(["Method", "training spectra", "parameters", "training time", "per spectrum", "R² of log g"], rows));
  else byId("costs").remove();
}

const duration = (seconds) => (seconds < 90 ? `${number(seconds, 2)} s` : seconds < 5400 ? `${fixed(seconds / 60, 0)} min` : `${fixed(seconds / 3600, 1)} h`);

/** Networks on this page with their measured speed, then every method at every budget. */
function costRows(costs) {
  const own = (data.networks ?? []).map((one) => [el("span", {}, one.name), "–", thousands(one.parameters), "–", `${number(one.ms, 2)} ms`, fixed(scoreOf(one.name), 3)]);
  return [...own, ...costs.map((row) => [named(row.method), thousands(row.spectra), row.parameters === null ? "–" : thousands(row.parameters), row.seconds === null ? "–" : duration(row.seconds), "–", fixed(row.r2, 3)])];
}

/** R² of log g of a network by name, of all test stars, where a result has it. */
const scoreOf = (name) => data.overview?.scores?.[name];

function startDiagram() {
  const state = { network: 0 };
  const made = chart(byId("diagram-plot"), {
    height: (width) => (width < 640 ? 640 : 212), label: "The network: from a spectrum through patches and blocks to the labels",
    margin: { left: 4, right: 4, top: 4, bottom: 4 }, draw: (frame) => drawDiagram(frame, data.networks[state.network]),
  });
  const show = () => {
    const one = data.networks[state.network];
    made.redraw();
    byId("diagram-caption").textContent = `${one.name}: ${thousands(one.parameters)} parameters; ${number(one.ms, 2)} ms for a spectrum in a batch, measured on ${one.device} when this page was made.`;
  };
  if (data.networks.length > 1) byId("diagram-controls").append(selectField("Network", data.networks.map((one) => one.name), (i) => { state.network = i; show(); }).field);
  show();
}

/** The stages of a network, each a title and lines of text. */
function stagesOf(one) {
  const white = { zca: `whitened by ${one.components} components`, pca: `${one.components} components`, none: "scaled pixel by pixel" }[one.preprocess];
  const place = { learned: "learned", sinusoidal: "sinusoidal", rotary: "rotary", wavelength: "by wavelength", none: "none" }[one.pos_embed];
  const overlap = one.stride < one.patch_size ? `one every ${one.stride}` : "side by side";
  const pool = { cls: "class token", mean: "mean of the tokens", attention: "tokens weighted", flat: "all tokens by place" }[one.pool];
  return [
    ["Spectrum", [`${thousands(one.n_pix)} pixels`, white]],
    ["Tokens", [`${one.num_patches} patches of ${one.patch_size} px`, overlap, `${one.embed_dim} wide`, `position: ${place}`]],
    [`${one.depth} × block`, [`attention, ${one.num_heads} heads`, `perceptron, ${Math.floor(one.mlp_ratio * one.embed_dim)} wide`, "each after a layer norm,", "added to its input"]],
    ["Head", ["layer norm", pool, "linear map"]],
    ["Labels", [one.label_names.map(symbol).join(", "), one.predict_sigma ? "each with its sigma" : "without sigma"]],
  ];
}

function drawDiagram(frame, one) {
  const stages = stagesOf(one), tall = frame.width < 640, n = stages.length, gap = tall ? 26 : 30;
  const size = ((tall ? frame.bottom - frame.top : frame.right - frame.left) - (n - 1) * gap) / n;
  stages.forEach(([title, lines], i) => {
    const start = (tall ? frame.top : frame.left) + i * (size + gap);
    const box = tall ? { x: frame.left, y: start, width: frame.right - frame.left, height: size } : { x: start, y: 20, width: size, height: 180 };
    if (i === 2) for (const shift of [8, 4]) frame.svg.append(svgEl("rect", { class: "box", ...box, x: box.x + shift, y: box.y - shift, rx: 10 }));
    frame.svg.append(svgEl("rect", { class: i === 2 ? "box main" : "box", ...box, rx: 10 }));
    const middle = box.x + box.width / 2, first = box.y + (tall ? 24 : 40);
    frame.svg.append(svgEl("text", { class: "stage", x: middle, y: first, "text-anchor": "middle" }, title));
    lines.forEach((line, k) => frame.svg.append(svgEl("text", { x: middle, y: first + 20 + (tall ? 15 : 20) * k, "text-anchor": "middle" }, line)));
    if (i < n - 1) frame.svg.append(arrow(tall ? [middle, start + size + 3] : [start + size + (i === 2 ? 11 : 3), 110], tall ? [middle, start + size + gap - (i === 1 ? 11 : 4)] : [start + size + gap - 4, 110]));
  });
}

function arrow([x1, y1], [x2, y2]) {
  const down = x1 === x2, head = down ? `M${x2 - 5} ${y2 - 7}L${x2} ${y2}L${x2 + 5} ${y2 - 7}` : `M${x2 - 7} ${y2 - 5}L${x2} ${y2}L${x2 - 7} ${y2 + 5}`;
  return svgEl("path", { class: "arrow", d: `M${x1} ${y1}L${x2} ${y2}${head}` });
}

/** The text of the citation goes to the clipboard, where the browser allows it; else it is selected. */
function startCitation() {
  const text = byId("citation-text"), button = byId("citation-copy");
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text.textContent); button.textContent = "Copied"; }
    catch { window.getSelection().selectAllChildren(text); button.textContent = "Selected"; }
  });
}
