// The patches a network reads, and its attention weights.

const looked = makeState({ network: 0, seen: 0, layer: 0, head: 0, by: "rollout", token: 0 });
const network = () => data.attention[looked.network];
const seenNow = () => network().seen[looked.seen];
const starsOf = (one) => data.explorers[one.explorer];
const sharesNow = () => (looked.by === "rollout" ? seenNow().rollout : seenNow().heads[looked.layer][looked.head]);

function describeSeen(one, seen) {
  const { stars, mags } = starsOf(one);
  return `${stars[seen.star].name}, magnitude ${fixed(mags[seen.mag], 1)}, SNR ${number(stars[seen.star].at[seen.mag].snr)}`;
}

/** The selects both sections share; each has its own, kept in step. */
function attentionFields(host, withRollout) {
  const fields = {
    network: selectField("Network", data.attention.map((one) => one.name), (i) =>
      looked.set({ network: i, seen: 0, token: 0, layer: 0, head: 0 })),
    seen: selectField("Spectrum", [], (i) => looked.set({ seen: i })),
    by: withRollout && selectField("Coloured by", ["attention rollout", "one head"], (i) =>
      looked.set({ by: i === 0 ? "rollout" : "head" })),
    layer: selectField("Layer", [], (i) => looked.set({ layer: i, by: withRollout ? "head" : looked.by })),
    head: selectField("Head", [], (i) => looked.set({ head: i, by: withRollout ? "head" : looked.by })),
  };
  if (data.attention.length > 1) host.append(fields.network.field);
  host.append(...["seen", "by", "layer", "head"].filter((name) => fields[name]).map((name) => fields[name].field));
  const fillIn = (select, texts, index) => {
    select.replaceChildren(...texts.map((text) => el("option", {}, text)));
    select.selectedIndex = index;
  };
  const show = () => {
    const one = network(), count = (n) => Array.from({ length: n }, (_, i) => String(i + 1));
    fields.network.select.selectedIndex = looked.network;
    fillIn(fields.seen.select, one.seen.map((seen) => describeSeen(one, seen)), looked.seen);
    fillIn(fields.layer.select, count(one.depth), looked.layer);
    fillIn(fields.head.select, count(one.num_heads), looked.head);
    if (withRollout) fields.by.select.selectedIndex = looked.by === "rollout" ? 0 : 1;
  };
  looked.listen(show);
  show();
}

function startTokens() {
  looked.token = seenNow().rollout.indexOf(Math.max(...seenNow().rollout));
  const host = byId("tokens-controls");
  attentionFields(host, true);
  const slider = sliderField("Token", network().wave.length, (i) => `${i + 1} of ${network().wave.length}`, (i) => looked.set({ token: i }));
  host.append(slider.field);
  const made = chart(byId("tokens-plot"), {
    height: (width) => (width < 560 ? 280 : 340),
    label: "Patches of the network over the spectrum, coloured by attention",
    margin: { top: 40 },
    draw: drawTokens,
  });
  made.svg.addEventListener("pointerdown", (event) => {
    const box = made.svg.getBoundingClientRect();
    const share = (event.clientX - box.left - 52) / (box.width - 66);
    const { wave } = starsOf(network()), at = wave[0] + share * (wave[wave.length - 1] - wave[0]);
    const away = network().wave.map(([first, last]) => Math.abs((first + last) / 2 - at));
    looked.set({ token: away.indexOf(Math.min(...away)) });
  });
  const show = () => {
    fill(slider.input, { max: network().wave.length - 1, value: looked.token }, []);
    slider.show();
    describeTokens();
    made.redraw();
  };
  looked.listen(show);
  show();
}

function drawTokens(frame) {
  const { wave, flux_step: step, stars } = starsOf(network()), seen = seenNow(), star = stars[seen.star];
  const noisy = star.at[seen.mag].noisy.map((value) => value * step);
  const sorted = [...noisy].sort((a, b) => a - b);
  const low = sorted[Math.floor(0.004 * sorted.length)], high = sorted[Math.floor(0.996 * sorted.length)];
  const x = linear([wave[0], wave[wave.length - 1]], [frame.left, frame.right]);
  const y = linear([low - 0.05 * (high - low), high + 0.05 * (high - low)], [frame.bottom, frame.top]);
  drawPatches(frame, x);
  axes(frame, x, y, { xTitle: "wavelength in vacuum (Å)", yTitle: "flux", xText: String, xGrid: false });
  const group = clipped(frame), last = wave.length - 1;
  group.append(svgEl("path", { class: "curve thin noisy", d: pathOf(spectrumPoints(wave, noisy, x, y, 0, last)) }));
  group.append(svgEl("path", { class: "curve thin clean", d: pathOf(spectrumPoints(wave, star.clean.map((value) => value * step), x, y, 0, last)) }));
}

/** A column for each patch; where patches overlap a column is as wide as the step from one to the next. */
function drawPatches(frame, x) {
  const shares = sharesNow(), most = Math.max(...shares), windows = network().wave;
  windows.forEach(([first, last], i) => {
    const next = windows[i + 1] ? Math.min(windows[i + 1][0], last) : last;
    const from = x(first), width = Math.max(0.5, x(next) - from);
    frame.svg.append(svgEl("rect", { x: from, width, y: frame.top, height: frame.bottom - frame.top, fill: "var(--heat)", "fill-opacity": (0.45 * shares[i]) / most, class: "patch" }));
  });
  const [first, last] = windows[looked.token];
  frame.svg.append(svgEl("rect", { x: x(first), width: Math.max(2, x(last) - x(first)), y: frame.top - 8, height: frame.bottom - frame.top + 8, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 }));
  const middle = (x(first) + x(last)) / 2;
  frame.svg.append(svgEl("text", { class: "name", x: clamp(middle, frame.left + 60, frame.right - 60), y: frame.top - 16, "text-anchor": "middle" }, `token ${looked.token + 1}: ${fixed(100 * shares[looked.token], 1)} %`));
}

function describeTokens() {
  const one = network(), [first, last] = one.wave[looked.token];
  const overlap = one.stride < one.patch_size ? `, one every ${one.stride} pixels, overlapping` : ", side by side";
  const white = one.whitened
    ? " The network sees whitened spectra: the pixels of a patch then carry something of the whole spectrum, so a token is not that window alone." : "";
  byId("tokens-about").textContent = `${one.name} cuts a spectrum into ${one.wave.length} patches of ${one.patch_size} pixels${overlap}; each becomes one token. The stronger its colour, the larger a patch’s share of the attention.${white}`;
  const near = data.features.filter(([, wave]) => wave >= first && wave <= last).map(([name]) => name);
  const what = looked.by === "rollout" ? "of the rollout over all layers" : `of head ${looked.head + 1} in layer ${looked.layer + 1}`;
  byId("tokens-readout").textContent = `Token ${looked.token + 1}: ${fixed(first, 1)} to ${fixed(last, 1)} Å, ${fixed(100 * sharesNow()[looked.token], 2)} % ${what}${near.length ? `; in it ${near.join(", ")}` : "; no known line in it"}.`;
}

function startAttention() {
  attentionFields(byId("attention-controls"), false);
  let place = null;
  const host = byId("attention-map"), canvas = el("canvas", { "aria-hidden": true });
  const made = chart(host, {
    height: (width) => Math.min(width - 86, 500) + 128,
    label: "Attention weights, token by token, under the names of strong lines",
    margin: { left: 58, right: 28, top: 80, bottom: 48 },
    draw(frame) { place = drawMap(frame, canvas); },
  });
  host.append(canvas);
  const thumbs = byId("attention-thumbs");
  const show = () => { made.redraw(); drawThumbs(thumbs); describeMap(); };
  tips(host, made.svg, (x, y) => place && mapTip(place, x, y));
  looked.listen(show);
  document.addEventListener("themechange", show);
  show();
}

/** The bytes of a text in base64. */
function bytesOf(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** A map painted from the paper's colour to full heat; the root brings out small weights. */
function paint(canvas, text, size) { paintValues(canvas, [...bytesOf(text)], size); }

/** The same of values from 0 to 255. */
function paintValues(canvas, values, size) {
  const style = getComputedStyle(document.documentElement);
  const [from, to] = ["--panel", "--heat"].map((name) => style.getPropertyValue(name).trim()).map(rgb);
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d"), image = context.createImageData(size, size);
  values.forEach((value, i) => {
    const share = Math.sqrt(value / 255);
    for (let k = 0; k < 3; k++) image.data[4 * i + k] = from[k] + share * (to[k] - from[k]);
    image.data[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

function drawMap(frame, canvas) {
  const one = network(), size = one.map_tokens;
  const side = Math.min(frame.right - frame.left, frame.bottom - frame.top);
  const square = { ...frame, right: frame.left + side, bottom: frame.top + side };
  const ends = [one.wave[0][0], one.wave[one.wave.length - 1][1]];
  const x = linear(ends, [square.left, square.right]), y = linear(ends, [square.top, square.bottom]);
  axes(square, x, y, { xTitle: "token read, wavelength (Å)", yTitle: "token that reads (Å)", xText: String, yText: String, xTicks: x.ticks(4), yTicks: y.ticks(5), xGrid: false });
  mapLines(square, x, y);
  paint(canvas, seenNow().maps[looked.layer][looked.head], size);
  Object.assign(canvas.style, { left: `${square.left}px`, top: `${square.top}px`, width: `${side}px`, height: `${side}px`, pointerEvents: "none" });
  return { left: square.left, top: square.top, side, size };
}

/** Names of the strong lines above the map and ticks beside it, where there is room. */
function mapLines(square, x, y) {
  const used = [];
  for (const [name, wave] of strongLines()) {
    if (wave < x.low || wave > x.high) continue;
    square.svg.append(svgEl("line", { class: "line", x1: x(wave), x2: x(wave), y1: square.top - 5, y2: square.top }));
    square.svg.append(svgEl("line", { class: "line", x1: square.left - 5, x2: square.left, y1: y(wave), y2: y(wave) }));
    if (used.some((at) => Math.abs(at - x(wave)) < 13)) continue;
    used.push(x(wave));
    square.svg.append(svgEl("text", { class: "feature", x: x(wave) + 3, y: square.top - 8, transform: `rotate(-58 ${x(wave) + 3} ${square.top - 8})` }, name.replace(" head", "")));
  }
}

const STRONG = ["Ca II", "Na I", "K I", "Mg I", "TiO"];
const strongLines = () => STRONG.flatMap((start) => data.features.filter(([name]) => name.startsWith(start)));

function mapTip({ left, top, side, size }, x, y) {
  const column = Math.floor(((x - left) / side) * size), row = Math.floor(((y - top) / side) * size);
  if (column < 0 || row < 0 || column >= size || row >= size) return null;
  const one = network(), seen = seenNow(), cell = one.tokens_per_cell;
  const weight = (bytesOf(seen.maps[looked.layer][looked.head])[row * size + column] / 255) * seen.largest[looked.layer][looked.head];
  const linesIn = (i) => strongLines().filter(([, wave]) => wave >= one.wave[i * cell][0] && wave <= one.wave[Math.min((i + 1) * cell, one.wave.length) - 1][1]).map(([name]) => name).join(", ");
  const range = (i) => `${fixed(one.wave[i * cell][0], 0)}–${fixed(one.wave[Math.min((i + 1) * cell, one.wave.length) - 1][1], 0)} Å`;
  return [`${range(row)} reads`, el("br"), `${range(column)}: ${number(weight, 2)}`, linesIn(column) ? el("br") : "", linesIn(column)];
}

function drawThumbs(host) {
  const one = network(), seen = seenNow();
  host.style.gridTemplateColumns = `repeat(${one.num_heads}, minmax(0, 1fr))`;
  if (host.childElementCount !== one.depth * one.num_heads) {
    host.replaceChildren(...Array.from({ length: one.depth * one.num_heads }, (_, i) => {
      const layer = Math.floor(i / one.num_heads), head = i % one.num_heads;
      return el("button", { type: "button", "aria-label": `Layer ${layer + 1}, head ${head + 1}`, onclick: () => looked.set({ layer, head }) }, el("canvas"));
    }));
  }
  [...host.children].forEach((button, i) => {
    const layer = Math.floor(i / one.num_heads), head = i % one.num_heads;
    button.setAttribute("aria-pressed", String(layer === looked.layer && head === looked.head));
    paint(button.firstChild, seen.maps[layer][head], one.map_tokens);
  });
}

function describeMap() {
  const one = network(), seen = seenNow();
  const cell = one.tokens_per_cell > 1 ? ` A cell is the mean of ${one.tokens_per_cell} by ${one.tokens_per_cell} tokens.` : "";
  const cls = one.pool === "cls" ? " The class token’s row is what the section above shows." : "";
  byId("attention-readout").textContent = `Layer ${looked.layer + 1}, head ${looked.head + 1}: the largest weight is ${number(seen.largest[looked.layer][looked.head])}, an even one would be ${number(1 / one.wave.length)}.${cell}${cls}`;
}
