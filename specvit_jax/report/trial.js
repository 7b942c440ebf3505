// Try it: a spectrum dropped on the page, read by the network in the page.

const MOST_FILE = 64 * 2 ** 20;  // bytes
// What this page reads, and how to come to it from what it does not.
const OTHERWISE = "This page reads one spectrum of one arm from columns of wavelength, flux and error: CSV, ECSV, text or a FITS table. " +
  "For any other file, “crlb check FILE” says what is in it and “specvit predict NETWORK FILE” reads it (HDF5, FITS images, several arms " +
  "or exposures); or write its columns to a CSV with the head wave_vac [A],flux,error.";
const trial = { network: 0, table: null, name: "", row: 0, columns: {}, result: null, layer: 0, head: 0 };
const trialNetwork = () => {
  const one = data.trial[trial.network];
  if (typeof one.wave === "string") one.wave = new Float64Array(bytesOf(one.wave).buffer);
  return one;
};

function startTrial() {
  const input = el("input", { type: "file", id: "trial-file", class: "hidden-file", accept: ".csv,.ecsv,.txt,.dat,.fits,.fit,.gz", onchange: () => { if (input.files[0]) openTrial(input.files[0]); input.value = ""; } });
  const zone = el("label", { class: "drop", for: "trial-file" }, el("strong", {}, "Drop a spectrum here"), " or choose a file", el("small", {}, "One spectrum of one arm: CSV, ECSV or text with columns, FITS tables; also .gz. It stays in this browser."));
  for (const kind of ["dragover", "dragleave", "drop"]) zone.addEventListener(kind, (event) => {
    event.preventDefault();
    zone.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) openTrial(event.dataTransfer.files[0]);
  });
  byId("trial-drop").append(input, zone);
  trialOptions();
  const made = chart(byId("trial-plot"), { height: (width) => (width < 560 ? 300 : 380), label: "The spectrum as the network reads it", margin: { top: 84, right: 26 }, draw: drawTrial });
  trial.redraw = made.redraw;
  byId("trial-result").hidden = true;
  byId("trial-about").textContent = `${trialNetwork().name}: ${trialNetwork().assumes}.`;
}

/** Unit, medium, velocity, resolving power, row and columns; every change reads the spectrum again. */
function trialOptions() {
  const host = byId("trial-controls"), again = () => runTrial();
  if (data.trial.some((one) => one.example)) host.append(buttonField("Without a file", [["Example", "Read the built-in example spectrum", exampleTrial]]));
  if (data.trial.length > 1) host.append(selectField("Network", data.trial.map((one) => one.name), (i) => {
    trial.network = i;
    byId("trial-about").textContent = `${trialNetwork().name}: ${trialNetwork().assumes}.`;
    again();
  }).field);
  const unit = selectField("Unit of wavelengths", ["as the file says", "Å", "nm", "µm", "log10 Å"], again);
  const medium = selectField("Wavelengths are those", ["as the file says", "in vacuum", "in air"], again);
  const rv = numberField("Velocity to remove (km/s)", "0", again), power = numberField("Resolving power", "", again);
  host.append(unit.field, medium.field, rv.field, power.field);
  trial.reset = () => {
    for (const { select } of [unit, medium]) select.selectedIndex = 0;
    rv.input.value = "0";
    power.input.value = "";
  };
  trial.options = () => ({
    unit: [null, "A", "nm", "um", "log10(A)"][unit.select.selectedIndex], medium: [null, "vacuum", "air"][medium.select.selectedIndex],
    rv: numberIn(rv.input, "The velocity", -290000, 290000) ?? 0, power: numberIn(power.input, "The resolving power", 1, 1e7), fluxUnit: null,
  });
}

function numberField(label, value, change) {
  const id = newId(), input = el("input", { id, type: "text", inputmode: "decimal", size: 8, onchange: change, value });
  return { field: el("div", { class: "field" }, el("label", { for: id }, label), input), input };
}

function numberIn(input, what, low, high) {
  const text = input.value.trim().replace("−", "-");
  if (text === "") return null;
  const value = Number(text);
  if (!(value >= low && value <= high)) throw new Error(`${what} must be a number from ${number(low)} to ${thousands(high)}, found '${text}'.`);
  return value;
}

async function openTrial(file) {
  Object.assign(trial, { table: null, result: null, row: 0, columns: {}, name: file.name });
  byId("trial-columns").replaceChildren();
  try {
    if (file.size > MOST_FILE) throw new Error(`The file has ${number(file.size / 2 ** 20)} MiB; this page reads ${MOST_FILE / 2 ** 20}.`);
    const bytes = await unzipped(new Uint8Array(await file.arrayBuffer()), MOST_FILE);
    if (new TextDecoder("latin1").decode(bytes.subarray(1, 4)) === "HDF") throw new Error(`This is an HDF5 file. ${OTHERWISE}`);
    if (!isFits(bytes) && bytes.subarray(0, 4096).includes(0)) throw new Error(`This is neither text nor FITS. ${OTHERWISE}`);
    trial.table = isFits(bytes) ? fitsTable(bytes) : textTable(new TextDecoder().decode(bytes));
    columnFields();
  } catch (error) { return sayTrial(error); }
  runTrial();
}

function exampleTrial() {
  const network = trialNetwork(), own = ["wave", "flux", "error", "noisy"], { flux, error } = network.example;
  const columns = { wave: Float64Array.from(network.wave), flux: Float64Array.from(floats(flux)), error: Float64Array.from(floats(error)), noisy: Float64Array.from(floats(flux)) };
  for (const name of own) columns[name].cell = 1;
  Object.assign(trial, { table: { columns, units: {}, said: saidBy({}), named: true }, row: 0, columns: {}, name: `example: ${network.example.name.toLowerCase()} of magnitude ${number(network.example.mag, 4)}` });
  byId("trial-columns").replaceChildren();
  trial.rowField = null;
  trial.reset();
  runTrial();
}

/** Which column is what, and which spectrum, to be chosen where the names do not say it. */
function columnFields() {
  const names = Object.keys(trial.table.columns).filter((name) => trial.table.columns[name] instanceof Float64Array).slice(0, 500);
  const fields = [["wave", "Wavelength"], ["flux", "Flux"], ["error", "Error (1σ)"]].map(([role, label]) =>
    selectField(label, ["by its name", ...names], (i) => { trial.columns[role] = i ? names[i - 1] : undefined; runTrial(); }).field);
  trial.rowField = numberField("Spectrum in the file, from 0", "0", () => runTrial());
  byId("trial-columns").replaceChildren(el("details", {}, el("summary", {}, "Columns"), el("div", { class: "controls" }, ...fields, trial.rowField.field)));
}

function runTrial() {
  if (!trial.table) return;
  try {
    const roles = rolesOf(trial.table, trial.columns), spectra = spectraIn(trial.table, roles);
    trial.row = trial.rowField ? numberIn(trial.rowField.input, "The number of the spectrum", 0, spectra.length - 1) ?? 0 : 0;
    const one = spectra[Math.min(Math.round(trial.row), spectra.length - 1)], started = performance.now();
    const observed = observedOf(trial.table, roles, one.parts, trial.options());
    trial.result = { ...labelled(observed, trialNetwork()), star: one.star, spectra: spectra.length, roles, milliseconds: performance.now() - started };
    showTrial();
  } catch (error) { sayTrial(error); }
}

/** Labels, sigma, distance and flags of an observed spectrum. */
function labelled(observed, network) {
  const ready = prepared(observed, network), frame = frameOf(network);
  const found = frame ? compared(ready.flux, ready.ivar, frame, network.limits) : atLevel(ready, unpacked(network).mean);
  const usable = network.lost ? ready.ivar.map((value) => +(value > 0)) : null;
  const read = labelsOf(network, Float32Array.from(found.flux, (value, p) => (usable && !usable[p] ? 0 : value)), usable);
  const flags = new Set(ready.flags);
  if (found.pValue < 1e-3) flags.add("OUT_OF_DISTRIBUTION");
  if (frame && atEdge(read, frame.label_range)) flags.add("EDGE");
  return { ...read, flux: found.flux, scale: found.scale, ivar: ready.ivar, distance: found.distance, pValue: found.pValue, snr: ready.snr, good: ready.good, notes: ready.notes, lost: observed.lost, flags: Object.keys(data.words.flags).filter((name) => flags.has(name)) };
}

function atLevel({ flux, ivar }, mean) {
  const used = (values) => values.filter((_, p) => ivar[p] > 0), scale = median(used(mean)) / median(used(flux));
  return { flux: flux.map((value, p) => (ivar[p] > 0 ? value * scale : mean[p])), scale, distance: null, pValue: null };
}

const atEdge = ({ labels, sigma }, range) => labels.some((value, i) => {
  const width = sigma ? sigma[i] : 0;
  return value - width < range[i] || value + width > range[labels.length + i];
});

function sayTrial(error) {
  trial.result = null;
  byId("trial-result").hidden = true;
  byId("trial-status").replaceChildren(el("p", { class: "problem", role: "alert" }, trial.name ? `${trial.name}: ` : "", error.message));
}

function showTrial() {
  const { result } = trial, network = trialNetwork(), digits = (i) => (network.units[i] === "K" ? 0 : 3);
  byId("trial-result").hidden = false;
  byId("trial-status").replaceChildren(el("p", { class: "note", role: "status" }, `${trial.name}${result.star ? `, ${result.star}` : ""}: read in ${fixed(result.milliseconds, 0)} ms${result.spectra > 1 ? `; spectrum ${trial.row} of ${thousands(result.spectra)}` : ""}. Columns: ${Object.entries(result.roles).filter(([, name]) => name).map(([role, name]) => `${role} '${name}'`).join(", ")}.`));
  readings(byId("trial-labels"), network.label_names.map((name, i) =>
    [symbol(name), `${fixed(result.labels[i], digits(i))}${result.sigma ? ` ± ${fixed(result.sigma[i], digits(i))}` : ""}`, network.units[i]]));
  const rows = [["SNR", number(result.snr)], ["usable pixels", `${fixed(100 * result.good, 1)} %`], ["distance from the training", result.distance === null ? "not known" : `${fixed(result.distance, 3)} (about 1 for one of them)`], ["share of the training that is farther", result.pValue === null ? "not known" : number(result.pValue)], ["bad pixels", Object.entries(result.lost).map(([name, n]) => `${thousands(n)} ${name}`).join(", ") || "none"], ["differs from the training", result.notes.join("; ") || "in nothing that was checked"]];
  byId("trial-facts").replaceChildren(...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  byId("trial-flags").replaceChildren(...(result.flags.length ? result.flags.map((name) => el("li", {}, el("code", {}, name), ` ${data.words.flags[name]}`)) : [el("li", {}, "No flags: the spectrum is one like those of the training.")]));
  trial.redraw();
  trialMaps();
  byId("trial-save").replaceChildren(saveButton("JSON", `${trial.name.replace(/\W+/g, "_")}.json`, "application/json", trialJson), saveButton("CSV", `${trial.name.replace(/\W+/g, "_")}.csv`, "text/csv", trialCsv));
}

function trialJson() {
  const { labels, sigma, snr, good, distance, pValue, flags, notes, rollout } = trial.result;
  return JSON.stringify({ file: trial.name, network: trialNetwork().name, label_names: trialNetwork().label_names, labels, sigma: sigma && [...sigma], snr, good_pixels: good, distance, p_value: pValue, flags, notes, attention_rollout: [...rollout] }, null, 1);
}

function trialCsv() {
  const { labels, sigma, snr, good, distance, pValue, flags } = trial.result, { label_names: names } = trialNetwork();
  const pairs = names.flatMap((name, i) => [[name, labels[i]], ...(sigma ? [[`${name}_sigma`, sigma[i]]] : [])]);
  return csvOf([["file", trial.name], ...pairs, ["snr", snr], ["good_pixels", good], ["distance", distance ?? ""], ["p_value", pValue ?? ""], ["flags", flags.join(",") || "-"]].reduce(([head, row], [name, value]) => [[...head, name], [...row, String(value)]], [[], []]));
}

/** The spectrum at the scale of the training over its patches, the darker the more the network reads there. */
function drawTrial(frame) {
  const { result } = trial;
  if (!result) return;
  const { wave, model } = trialNetwork(), n = wave.length, most = Math.max(...result.rollout);
  const sorted = Float64Array.from(result.flux).sort(), low = sorted[Math.floor(0.004 * n)], high = sorted[Math.floor(0.996 * n)];
  const x = linear([wave[0], wave[n - 1]], [frame.left, frame.right]), y = linear([low - 0.05 * (high - low), high + 0.05 * (high - low)], [frame.bottom, frame.top]);
  Array.from(result.rollout).forEach((share, i) => {
    const from = x(wave[i * model.stride]), to = x(wave[Math.min(n - 1, (i + 1) * model.stride)]);
    frame.svg.append(svgEl("rect", { class: "patch", x: from, width: Math.max(0.5, to - from), y: frame.top, height: frame.bottom - frame.top, fill: "var(--heat)", "fill-opacity": (0.45 * share) / most }));
  });
  axes(frame, x, y, { xTitle: "wavelength in vacuum, at rest (Å)", yTitle: "flux, median 0.5", xText: String, xGrid: false });
  const group = clipped(frame);
  drawFeatures(frame, group, x, { from: wave[0], to: wave[n - 1] });
  group.append(svgEl("path", { class: "curve thin noisy", d: pathOf(spectrumPoints(wave, result.flux, x, y, 0, n - 1)) }));
}

/** Attention of every layer and head, as small maps. */
function trialMaps() {
  const { attention } = trial.result, host = byId("trial-maps"), maps = attention.flat();
  host.style.gridTemplateColumns = `repeat(${attention[0].length}, minmax(0, 5rem))`;
  host.replaceChildren(...maps.map((rows, i) => {
    const layer = Math.floor(i / attention[0].length) + 1, head = (i % attention[0].length) + 1, canvas = el("canvas", { role: "img", "aria-label": `Attention in layer ${layer}, head ${head}` });
    const most = Math.max(...rows.flatMap((row) => [...row]));
    paintValues(canvas, rows.flatMap((row) => [...row].map((value) => (255 * value) / most)), rows.length);
    return canvas;
  }));
}
