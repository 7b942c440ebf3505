// Scores against SNR and against the number of training spectra, with their tables.

const QUANTITIES = [
  { key: "r2", text: "R²", unit: "", decimals: 3 },
  { key: "mae", text: "mean absolute error", unit: " (dex)", decimals: 3 },
  { key: "rmse", text: "root-mean-square error", unit: " (dex)", decimals: 3 },
  { key: "bias", text: "bias", unit: " (dex)", decimals: 3 },
];
const SHARE = { key: "efficiency", text: "share of the exact limit, R² / R²_Bayes", unit: "", decimals: 3 };

/** A curve is {name, colour, dash, only, points: [{x, y, low, high}]}; `only`: the quantity it has. */
function curvesOf(board, quantity) {
  const { key } = quantity, curves = [];
  for (const [name, found] of Object.entries(board.estimators)) {
    const rows = key === "efficiency" ? found.efficiency ?? [] : found.by_snr;
    curves.push({ name, colour: colourOf(name), points: rows.map((row) => pointOf(row, key)).filter(Boolean) });
  }
  if (key !== "r2") return curves;
  const bins = board.ceiling?.bins ?? [], exact = bins.filter((row) => row.r2_bayes);
  if (board.limit) curves.push({ name: "Exact limit of the test stars", colour: "var(--limit)", dash: true, points: board.limit.by_snr.map((row) => pointOf(row, "r2_bayes")).filter(Boolean) });
  if (exact.length) curves.push({ name: "Exact limit, all stars", colour: "var(--limit)", points: exact.map((row) => ({ x: row.snr_median, y: row.r2_bayes.value, low: row.r2_bayes.low, high: row.r2_bayes.high })) });
  if (bins.length) curves.push({ name: "Cramér-Rao, median star", colour: "var(--bound)", dash: true, wide: true, points: bins.map((row) => ({ x: row.snr_median, y: row.r2_max.median, low: row.r2_max.p10, high: row.r2_max.p90 })) });
  for (const [name, curve] of Object.entries(board.published?.curves ?? {})) {
    curves.push({ name: `published ${name.replace("Cramer-Rao", "Cramér-Rao")}`, group: "published", colour: data.methods.includes(name) ? colourOf(name) : "var(--published)", thin: true, points: curve.snr.map((snr, i) => ({ x: snr, y: curve.r2[i] })) });
  }
  return curves;
}

function pointOf(row, key) {
  if (row[key] === null || row[key] === undefined || row.snr_median === null) return null;
  return { x: row.snr_median, y: row[key], low: row[`${key}_low`] ?? null, high: row[`${key}_high`] ?? null };
}

function startDashboard() {
  const board = data.dashboard, hidden = new Set(["published"]);
  const withShare = Object.values(board.estimators).some((found) => found.efficiency?.length);
  const quantities = withShare ? [QUANTITIES[0], SHARE, ...QUANTITIES.slice(1)] : QUANTITIES;
  let quantity = quantities[0];
  const shown = () => curvesOf(board, quantity).filter((curve) => !hidden.has(curve.group ?? curve.name));
  const made = curveChart(byId("dashboard-plot"), {
    label: "Scores against signal-to-noise ratio", curves: shown, xTitle: "median SNR per pixel",
    yTitle: () => `${quantity.text} of log g${quantity.unit}`, ends: () => (quantity.key === "r2" ? [-0.05, 1.03] : null),
    text: (curve, point) => `SNR ${number(point.x)}: ${fixed(point.y, 3)}${point.low === null || point.low === undefined ? "" : ` (${fixed(point.low, 3)} to ${fixed(point.high, 3)})`}`,
  });
  const show = () => {
    made.redraw();
    for (const { button, isMethod } of buttons) button.hidden = !isMethod && quantity.key !== "r2";
    byId("dashboard-table").replaceChildren(scoreTable(board, quantity, hidden));
    if (Object.values(board.estimators).some((found) => found.by_type?.length)) showTypes(board, hidden);
  };
  const chips = new Map(curvesOf(board, QUANTITIES[0]).map((curve) => [curve.group ?? curve.name, curve]));
  const buttons = [...chips].map(([name, curve]) => {
    const published = name === "published";
    const button = chip(published ? "as published, on another grid" : name, published ? "var(--published)" : curve.colour, curve.dash,
      (on) => { hidden[on ? "delete" : "add"](name); show(); }, !hidden.has(name));
    return { button, isMethod: name in board.estimators };
  });
  byId("dashboard-methods").append(...buttons.map(({ button }) => button));
  byId("dashboard-controls").append(selectField("Quantity", quantities.map((one) => one.text), (i) => { quantity = quantities[i]; show(); }).field);
  const { test, grid } = board;
  byId("dashboard-about").textContent = `${thousands(test.n)} test spectra of magnitude ${number(test.mag[0])} to ${number(test.mag[1])}, the same for every method; bands: 95 % intervals, for Cramér-Rao 10 to 90 % of the stars. Grid: ${grid.title}. SNR: ${board.snr_definition}.`;
  show();
}

/** Curves with bands over a logarithmic axis. */
function curveChart(host, { label, curves, xTitle, yTitle, ends, text, xTicks, xText = number, dots = () => [] }) {
  let points = [];
  const made = chart(host, {
    height: (width) => (width < 560 ? 340 : 440),
    label,
    margin: { right: 24 },
    draw(frame) {
      const all = curves(), values = all.flatMap((curve) => curve.points);
      if (!values.length) return;
      const reach = (key, pick) => pick(...values.map((point) => point[key]));
      const x = logarithmic([reach("x", Math.min) / 1.12, reach("x", Math.max) * 1.12], [frame.left, frame.right]);
      const y = linear(ends(values) ?? paddedRange(values), [frame.bottom, frame.top]);
      axes(frame, x, y, { xTitle, yTitle: yTitle(), xTicks: xTicks?.(), xText });
      const group = clipped(frame);
      for (const curve of all) drawBand(group, curve, x, y);
      points = all.flatMap((curve) => drawCurve(group, curve, x, y));
      for (const { colour, point } of dots()) group.append(svgEl("circle", { class: "dot", style: `--c:${colour}`, "fill-opacity": 0.5, cx: x(point.x), cy: y(point.y), r: 2.5 }));
    },
  });
  tips(host, made.svg, (x, y) => {
    const found = nearest(points, x, y);
    return found && [el("strong", {}, found.curve.name), el("br"), text(found.curve, found.point)];
  });
  return made;
}

function paddedRange(values) {
  const all = values.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]);
  const low = Math.min(...all), high = Math.max(...all), pad = 0.06 * (high - low) || 0.1;
  return [low - pad, high + pad];
}

function drawBand(group, curve, x, y) {
  const points = curve.points.filter((point) => point.low !== null && point.low !== undefined);
  if (points.length < 2) return;
  const side = (key) => points.map((point) => [x(point.x), y(point[key])]);
  group.append(svgEl("path", { class: curve.wide ? "area wide" : "area", style: `--c:${curve.colour}`, d: bandOf(side("low"), side("high")) }));
}

function drawCurve(group, curve, x, y) {
  const style = `--c:${curve.colour}`;
  const points = curve.points.map((point) => ({ x: x(point.x), y: y(point.y), curve, point }));
  group.append(svgEl("path", { class: `curve${curve.dash ? " dash" : ""}${curve.thin ? " thin" : ""}`, style, d: pathOf(points.map((point) => [point.x, point.y])) }));
  if (!curve.thin) points.forEach((point) => group.append(mark(curve.name, point.x, point.y, style)));
  if (curve.label) group.append(svgEl("text", { x: points[0].x + 4, y: points[0].y - 7 }, curve.name));
  return points;
}

function scoreTable(board, quantity, hidden) {
  const names = Object.keys(board.estimators).filter((name) => !hidden.has(name));
  const rowsOf = (name) => (quantity.key === "efficiency" ? board.estimators[name].efficiency ?? [] : board.estimators[name].by_snr);
  const bins = new Map(names.flatMap((name) => rowsOf(name)).filter((row) => row[quantity.key] !== null && row[quantity.key] !== undefined).map((row) => [`${number(row.snr_low)}–${number(row.snr_high)}`, row.snr_low]));
  const head = [...bins].sort((a, b) => a[1] - b[1]);
  const cell = (name, low) => fixed(rowsOf(name).find((row) => row.snr_low === low)?.[quantity.key], quantity.decimals);
  const overall = (name) => fixed(board.estimators[name].overall[quantity.key], quantity.decimals);
  const rows = names.map((name) => [named(name), overall(name), ...head.map(([, low]) => cell(name, low))]);
  if (quantity.key === "r2") rows.sort((a, b) => b[1].localeCompare(a[1]));
  return table([`${quantity.text}${quantity.unit} at SNR`, "all", ...head.map(([text]) => text)], rows);
}

/** Residuals by stellar type: bias as a mark, plus and minus one rms as a bar. */
function showTypes(board, hidden) {
  const host = byId("dashboard-types");
  const methods = Object.entries(board.estimators).filter(([name, found]) => found.by_type?.length && !hidden.has(name));
  host.replaceChildren();
  if (!methods.length) return;
  const types = methods[0][1].by_type, plot = el("div", { class: "plot" });
  host.append(el("h4", {}, "Residuals by stellar type"), el("p", { class: "note" }, "Bars: bias ± scatter, the mean and standard deviation of the errors; rms² = bias² + scatter²."), plot);
  chart(plot, {
    height: types.length * (30 + 26 * methods.length) + 56, label: "Residuals by stellar type", margin: { left: 112, top: 4, bottom: 46 },
    draw(frame) { drawTypes(frame, types, methods); },
  });
  const head = ["Errors in dex", ...types.flatMap(({ type }) => [`${type}: bias ± scatter`, "rms"])];
  const rows = methods.map(([name, found]) => [named(name), ...found.by_type.flatMap((row) => [plusMinus(row.bias, scatterOfType(row), 3), fixed(row.rmse, 3)])]);
  host.append(el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Residuals by stellar type" }, table(head, rows)));
}

function rangeOf({ type, low, high }) {
  const part = low === null ? `below ${high}` : high === null ? `from ${low}` : `${low} to ${high}`;
  return `${type} (log g ${part})`;
}

/** The standard deviation of the errors: where results have none, from rms² = bias² + scatter². */
const scatterOfType = ({ rmse, bias, scatter }) => scatter ?? Math.sqrt(Math.max(rmse ** 2 - bias ** 2, 0));

function drawTypes(frame, types, methods) {
  const rows = methods.flatMap(([, found]) => found.by_type);
  const most = 1.08 * Math.max(...rows.map((row) => Math.abs(row.bias) + scatterOfType(row)));
  const x = linear([-most, most], [frame.left, frame.right]);
  axes(frame, x, linear([0, 1], [frame.bottom, frame.top]), { xTitle: "estimate − truth, log g (dex)", yTicks: [], xText: (tick) => signed(tick, 1) });
  frame.svg.append(svgEl("line", { class: "zero", x1: x(0), x2: x(0), y1: frame.top, y2: frame.bottom }));
  types.forEach((type, i) => {
    const top = frame.top + i * (30 + 26 * methods.length);
    frame.svg.append(svgEl("text", { class: "name", x: 2, y: top + 18 }, `${rangeOf(type)}, ${thousands(type.n)} spectra`));
    methods.forEach(([name, found], k) => {
      const row = found.by_type[i], y = top + 30 + 26 * k;
      biasBar(frame.svg, x, `--c:${colourOf(name)}`, row.bias, scatterOfType(row), y, 18);
      frame.svg.append(svgEl("text", { x: frame.left - 8, y: y + 13, "text-anchor": "end" }, name));
    });
  });
}

function startScaling() {
  const { rows, title, claim } = data.scaling, hidden = new Set();
  if (title) byId("scaling-title").textContent = title;
  if (claim) byId("scaling-claim").textContent = claim; else byId("scaling-claim").remove();
  const sizes = rows.map((row) => row.n).filter((n) => n !== null), endless = rows.some((row) => row.n === null);
  const fresh = 3 * Math.max(...sizes);
  const place = (row) => (row.n === null ? fresh : row.n);
  const nameOf = (row) => (row.mode ? `${row.method}, ${row.mode}` : row.method);
  const names = [...new Set(rows.map(nameOf))];
  const methodOf = (name) => rows.find((row) => nameOf(row) === name).method;
  const isSecond = (name) => names.find((other) => methodOf(other) === methodOf(name)) !== name;
  const limit = data.scaling.limit, ends = [Math.min(...sizes), endless ? fresh : Math.max(...sizes)];
  const ceiling = typeof limit === "number" ? [{ name: "exact limit R²_Bayes", colour: "var(--limit)", dash: true, thin: true, label: true, points: ends.map((x) => ({ x, y: limit })) }] : [];
  const curves = () => names.filter((name) => !hidden.has(name)).map((name) => ({
    name, colour: colourOf(methodOf(name)), dash: isSecond(name),
    points: meansOf(rows.filter((row) => nameOf(row) === name && row.r2 !== null), place),
  })).concat(ceiling);
  const ticks = () => [...new Set(sizes)].sort((a, b) => a - b).concat(endless ? [fresh] : []);
  const made = curveChart(byId("scaling-plot"), {
    label: "R squared against the number of training spectra", curves, xTitle: "training spectra", yTitle: () => "R² of log g", ends: () => null,
    xTicks: ticks, xText: (n) => (n === fresh && endless ? "fresh, ∞" : shortCount(n)),
    text: (curve, point) => `${point.x === fresh && endless ? "fresh spectra without end" : `${thousands(point.x)} spectra`}: ${fixed(point.y, 3)}${point.n > 1 ? `, mean of ${point.n} seeds` : ""}`,
    dots: () => rows.filter((row) => row.r2 !== null && !hidden.has(nameOf(row))).flatMap((row) =>
      (row.values ?? [row.r2]).map((value) => ({ colour: colourOf(row.method), point: { x: place(row), y: value } }))),
  });
  const show = () => made.redraw();
  byId("scaling-methods").append(...names.map((name) => chip(name, colourOf(methodOf(name)), isSecond(name), (on) => { hidden[on ? "delete" : "add"](name); show(); })));
  const head = ["Method", ...("mode" in rows[0] ? ["mode"] : []), "training spectra", "seeds" in rows[0] ? "seeds" : "seed", "R²", "95 % interval"];
  byId("scaling-table").append(table(head, rows.map((row) => [named(row.method), ...("mode" in rows[0] ? [row.mode ?? "–"] : []), row.n === null ? "fresh, ∞" : thousands(row.n), String(row.seeds ?? row.seed ?? "–"), fixed(row.r2, 3), row.r2_low === undefined ? "–" : `${fixed(row.r2_low, 3)} to ${fixed(row.r2_high, 3)}`])));
  show();
}

const shortCount = (n) => (n >= 1e6 ? `${n / 1e6}M` : n >= 1000 ? `${n / 1000}k` : String(n));

/** Rows of one curve, seeds averaged; the band is the interval where there is one seed only. */
function meansOf(rows, place) {
  const groups = new Map();
  for (const row of rows) groups.set(place(row), [...(groups.get(place(row)) ?? []), row]);
  return [...groups].sort((a, b) => a[0] - b[0]).map(([x, found]) => ({
    x, y: found.reduce((sum, row) => sum + row.r2, 0) / found.length, n: found.length > 1 ? found.length : found[0].seeds ?? 1,
    low: found.length === 1 ? found[0].r2_low ?? null : null, high: found.length === 1 ? found[0].r2_high ?? null : null,
  }));
}

/** The ceilings in numbers: those of the results, or of the chosen star. */
function startCeiling() {
  const host = byId("ceiling-numbers");
  if (data.dashboard?.ceiling) {
    const { bins, variance } = data.dashboard.ceiling;
    host.append(el("p", {}, `With Var(log g) = ${fixed(variance, 3)} dex² of the stars here:`));
    const head = ["Magnitude (AB, i)", "SNR", "bound, median star (dex)", "R²max, median star", "R²Bayes"];
    const rows = bins.map((row) => [number(row.mag), number(row.snr_median), fixed(row.bound.median, 3), fixed(row.r2_max.median, 3), fixed(row.r2_bayes?.value, 3)]);
    host.append(el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Ceilings by magnitude" }, table(head, rows)));
  }
  if (!data.explorers || rowNow().bound === undefined) return;
  const text = el("p", { class: "readout" });
  const show = () => {
    const row = rowNow(), prior = row.posterior_sigma ? `, and the exact posterior has a 1σ of ${fixed(row.posterior_sigma, 3)} dex` : "";
    text.textContent = `The star chosen above, ${starNow().name.toLowerCase()} at magnitude ${fixed(explorer().mags[chosen.mag], 1)}: σ_CR = ${fixed(row.bound, 3)} dex${prior}.`;
  };
  chosen.listen(show);
  host.append(text);
  show();
}
