// One star moved away: its spectrum, the bound on its log g, and what each method makes of it.

const chosen = makeState({ group: 0, star: 0, mag: 0 });
const explorer = () => data.explorers[chosen.group];
const starNow = () => explorer().stars[chosen.star];
const rowNow = () => starNow().at[chosen.mag];
const SYMBOLS = { T_eff: "Teff", log_g: "log g", M_H: "[M/H]", a_M: "[α/M]", C_M: "[C/M]" };
const symbol = (label) => SYMBOLS[label] ?? label;
const middleMag = (mags) => Math.max(0, mags.findIndex((mag) => mag >= (mags[0] + mags[mags.length - 1]) / 2));

function describeStar(star) {
  const parts = Object.entries(star.labels).map(([label, value]) => `${symbol(label)} ${number(value, 4)}${label === "T_eff" ? " K" : ""}`);
  return `${star.name} (${parts.join(", ")})`;
}

/** Highest flux of a spectrum worth a place on the axis, in stored steps: of the clean one and of most noisy pixels. */
function fluxRange(star, row) {
  const sorted = [...row.noisy].sort((a, b) => a - b);
  const low = sorted[Math.floor(0.004 * sorted.length)], high = sorted[Math.floor(0.996 * sorted.length)];
  const clean = star.clean.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  const from = Math.min(low, clean[0]), to = Math.max(high, clean[1]), pad = 0.06 * (to - from);
  return [from - pad, to + pad].map((value) => value * explorer().flux_step);
}

function startExplorer() {
  chosen.mag = middleMag(explorer().mags);
  const star = selectField("Star", explorer().stars.map(describeStar), (i) => chosen.set({ star: i }));
  const mag = sliderField("Magnitude (AB, i)", explorer().mags.length, (i) => fixed(explorer().mags[i], 1),
    (i) => chosen.set({ mag: i }), chosen.mag);
  const controls = byId("explorer-controls");
  if (data.explorers.length > 1) {
    const names = data.explorers.map((one) => Object.keys(one.methods).join(", "));
    controls.append(selectField("Networks", names, (i) => {
      const fits = { group: i, star: 0, mag: middleMag(data.explorers[i].mags) };
      Object.assign(chosen, fits);
      star.select.replaceChildren(...explorer().stars.map((one) => el("option", {}, describeStar(one))));
      fill(mag.input, { max: explorer().mags.length - 1, value: chosen.mag }, []);
      mag.show();
      chosen.set(fits);
    }).field);
  }
  controls.append(star.field, mag.field);
  const parts = [explorerSpectrum(), explorerErrors(), explorerMags()];
  const show = () => { showReadings(); parts.forEach((part) => part.redraw()); showErrors(); };
  chosen.listen(show);
  show();
}

function showReadings() {
  const row = rowNow(), rows = [["SNR per pixel", number(row.snr), ""]];
  if (row.bound !== undefined) rows.push(["Cramér-Rao bound on log g", fixed(row.bound, 3), "dex"]);
  if (row.posterior_sigma !== undefined) rows.push(["exact posterior, 1σ", fixed(row.posterior_sigma, 3), "dex"]);
  for (const [name, method] of Object.entries(explorer().methods)) {
    rows.push([`${name}, rms error`, fixed(method.stars[chosen.star][chosen.mag].rms, 3), "dex"]);
  }
  readings(byId("explorer-readings"), rows.slice(0, 4));
}

function explorerSpectrum() {
  return chart(byId("explorer-spectrum"), {
    height: (width) => (width < 560 ? 190 : 230),
    label: "Noisy and noiseless spectrum of the chosen star",
    draw(frame) {
      const { wave, flux_step: step } = explorer(), star = starNow(), row = rowNow();
      const x = linear([wave[0], wave[wave.length - 1]], [frame.left, frame.right]);
      const y = linear(fluxRange(star, row), [frame.bottom, frame.top]);
      axes(frame, x, y, { xTitle: "wavelength in vacuum (Å)", yTitle: "flux", xText: String });
      drawSpectra(clipped(frame), x, y, 0, wave.length - 1, { noisy: true, clean: true }, step);
    },
  });
}

/** The noisy spectrum of the choice and the noiseless one over it. */
function drawSpectra(group, x, y, first, last, shown, step) {
  const { wave } = explorer(), scaled = (value) => y(value * step);
  if (shown.noisy) group.append(svgEl("path", { class: "curve thin noisy", d: pathOf(spectrumPoints(wave, rowNow().noisy, x, scaled, first, last)) }));
  if (shown.clean) group.append(svgEl("path", { class: "curve thin clean", d: pathOf(spectrumPoints(wave, starNow().clean, x, scaled, first, last)) }));
}

/** Errors of all draws at the chosen magnitude, a strip for each method, beside the bound. */
function explorerErrors() {
  const names = () => Object.keys(explorer().methods);
  return chart(byId("explorer-errors"), {
    height: () => 62 * names().length + 66,
    label: "Errors of every method at this magnitude",
    margin: { left: 12, right: 12, top: 8, bottom: 44 },
    draw(frame) {
      const truth = starNow().labels.log_g, row = rowNow();
      const found = names().map((name) => explorer().methods[name].stars[chosen.star][chosen.mag]);
      const most = Math.max(...found.flatMap((one) => [Math.abs(one.bias) + scatterOfDraws(one), ...one.estimates.map((value) => Math.abs(value - truth))]), 0.01);
      const widest = 1.08 * Math.max(most, Math.min(row.bound ?? 0, 2 * most));
      const x = linear([-widest, widest], [frame.left, frame.right]);
      const middle = (i) => frame.top + 62 * i + 40;
      axes(frame, x, linear([0, 1], [frame.bottom, frame.top]), { xTitle: "estimate − truth, log g (dex)", yTicks: [], xText: (tick) => signed(tick, decimalsOf(widest)), xTicks: x.ticks(4) });
      const group = clipped(frame);
      drawLimits(group, frame, x, row);
      found.forEach((one, i) => drawErrors(group, frame, x, middle(i), names()[i], one, truth));
    },
  });
}

const decimalsOf = (size) => (size > 1.5 ? 1 : size > 0.15 ? 2 : 3);

function drawLimits(group, frame, x, row) {
  const tall = frame.bottom - frame.top;
  if (row.bound !== undefined && row.bound !== null) {
    group.append(svgEl("rect", { class: "area bound", x: x(-row.bound), width: x(row.bound) - x(-row.bound), y: frame.top, height: tall }));
  }
  for (const side of row.posterior_sigma ? [-1, 1] : []) {
    const at = x(side * row.posterior_sigma);
    group.append(svgEl("line", { class: "now", x1: at, x2: at, y1: frame.top, y2: frame.bottom }));
  }
  group.append(svgEl("line", { class: "zero", x1: x(0), x2: x(0), y1: frame.top, y2: frame.bottom }));
}

/** The standard deviation of the single estimates: rms² = bias² + scatter². */
function scatterOfDraws({ estimates }) {
  const mean = sum(estimates) / estimates.length;
  return Math.sqrt(sum(estimates.map((value) => (value - mean) ** 2)) / estimates.length);
}

/** A bar of bias plus and minus scatter around a mark at the bias. */
function biasBar(group, x, style, bias, scatter, top, height) {
  group.append(svgEl("rect", { class: "area bar", style, x: x(bias - scatter), width: x(bias + scatter) - x(bias - scatter), y: top, height, rx: 4 }));
  group.append(svgEl("line", { style, stroke: "var(--c)", "stroke-width": 3, x1: x(bias), x2: x(bias), y1: top - 1, y2: top + height + 1 }));
}

/** A strip of dots over the bar of their bias and scatter. */
function drawErrors(group, frame, x, y, name, found, truth) {
  const style = `--c:${colourOf(name)}`;
  group.append(svgEl("text", { class: "name", x: frame.left + 2, y: y - 22 }, name));
  group.append(svgEl("text", { x: frame.right - 2, y: y - 22, "text-anchor": "end" }, plusMinus(found.bias, scatterOfDraws(found), 3)));
  biasBar(group, x, style, found.bias, scatterOfDraws(found), y - 12, 24);
  found.estimates.forEach((value, i) => {
    group.append(svgEl("circle", { class: "dot", style, "fill-opacity": 0.55, cx: x(value - truth), cy: y + ((i * 7) % 13) - 6, r: 2.6 }));
  });
}

/** What is drawn against magnitude for the chosen star: a value (dex) for each. */
function linesOfStar() {
  const star = starNow();
  const lines = Object.entries(explorer().methods).map(([name, method]) => ({ name, colour: colourOf(name), values: method.stars[chosen.star].map((one) => one.rms) }));
  if (star.at[0].bound !== undefined) lines.push({ name: "Cramér-Rao bound", colour: "var(--bound)", dash: true, values: star.at.map((row) => row.bound) });
  if (star.at[0].posterior_sigma !== undefined) lines.push({ name: "exact posterior, 1σ", colour: "var(--limit)", values: star.at.map((row) => row.posterior_sigma) });
  return lines;
}

/** The rms error of every method against magnitude, with bound and posterior. */
function explorerMags() {
  const host = byId("explorer-mags");
  let points = [];
  const made = chart(host, {
    height: 300,
    label: "Root-mean-square error against magnitude",
    draw(frame) {
      const { mags } = explorer(), lines = linesOfStar();
      byId("explorer-legend").replaceChildren(...lines.map(({ name, colour, dash }) =>
        el("li", { style: `--c:${colour}` }, el("i", { class: dash ? "dash" : null }), name)));
      const all = lines.flatMap((line) => line.values).filter((value) => value > 0);
      const x = linear([mags[0], mags[mags.length - 1]], [frame.left + 4, frame.right - 4]);
      const y = logarithmic([Math.min(...all) / 1.25, Math.max(...all) * 1.25], [frame.bottom, frame.top]);
      axes(frame, x, y, { xTitle: "magnitude (AB, i)", yTitle: "error of log g (dex)" });
      const now = x(mags[chosen.mag]);
      frame.svg.append(svgEl("line", { class: "now", x1: now, x2: now, y1: frame.top, y2: frame.bottom }));
      points = lines.flatMap((line) => drawLine(frame.svg, line, mags, x, y));
    },
  });
  tips(host, made.svg, (x, y) => {
    const point = nearest(points, x, y);
    return point && [el("strong", {}, point.name), el("br"), `mag ${fixed(point.mag, 1)}: ${fixed(point.value, 3)} dex`];
  });
  return made;
}

function drawLine(svg, line, mags, x, y) {
  const points = line.values.map((value, i) => (value > 0 ? { x: x(mags[i]), y: y(value), mag: mags[i], value, name: line.name } : null));
  const style = `--c:${line.colour}`;
  svg.append(svgEl("path", { class: line.dash ? "curve dash" : "curve", style, d: pathOf(points.map((point) => point && [point.x, point.y])) }));
  const real = points.filter(Boolean);
  if (!line.dash) real.forEach((point) => svg.append(mark(line.name, point.x, point.y, style)));
  return real;
}

function showErrors() {
  const row = rowNow(), { mags, methods, n_draws: draws } = explorer();
  byId("explorer-errors-title").textContent = `Errors at magnitude ${fixed(mags[chosen.mag], 1)}, ${draws} draws of the noise; bars: bias ± scatter`;
  const head = ["Method", "bias ± scatter (dex)", "rms (dex)"];
  if (row.bound) head.push("rms ÷ bound");
  if (row.posterior_sigma) head.push("÷ posterior");
  const rows = Object.entries(methods).map(([name, method]) => {
    const found = method.stars[chosen.star][chosen.mag];
    const cells = [named(name), plusMinus(found.bias, scatterOfDraws(found), 3), fixed(found.rms, 3)];
    if (row.bound) cells.push(fixed(found.rms / row.bound, 2));
    if (row.posterior_sigma) cells.push(fixed(found.rms / row.posterior_sigma, 2));
    return cells;
  });
  byId("explorer-table").replaceChildren(table(head, rows));
  showFacts();
  byId("explorer-note").textContent = explorerNote(mags[chosen.mag], Object.entries(methods));
}

/** How these spectra were made. */
function showFacts() {
  const { exposure, grid, seed, snr_definition: snr } = explorer();
  const rows = [["Exposure", exposure], ["SNR", snr], ["Seed of the noise", seed], ["Grid", grid]];
  byId("explorer-facts").replaceChildren(...rows.filter(([, value]) => value !== undefined).map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))));
}

function explorerNote(mag, methods) {
  const outside = methods.filter(([, method]) => method.trained_mag && (mag < method.trained_mag[0] || mag > method.trained_mag[1]));
  const parts = [];
  if (rowNow().bound !== undefined) parts.push("Grey band: ± the Cramér-Rao bound of unbiased estimators, the other labels unknown; one with a prior may pass it.");
  if (rowNow().posterior_sigma !== undefined) parts.push(`Dashed: ± the exact posterior’s 1σ, root mean square over ${explorer().n_posterior} draws.`);
  parts.push("Bars: bias ± scatter, the mean and standard deviation of the errors; dots: single draws. rms² = bias² + scatter².");
  for (const [name, { trained_mag: [low, high] }] of outside) parts.push(`${name} was trained on magnitudes ${number(low)} to ${number(high)} only.`);
  return parts.join(" ");
}
