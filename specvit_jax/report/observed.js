// A spectrum as its table holds it, understood: vacuum Å, at rest, flux and inverse variance of good pixels.
// The steps are those of crlb/readers; what this page does not read is refused with the way out.

const LIGHT_KMS = 299792.458, RUN = 10, NO_DATA = [-999, -9999, -99999], HUGE = 1e10;

/** All the spectra of a table: the numbers of each role. */
function spectraIn(table, roles) {
  const wave = table.columns[roles.wave], flux = table.columns[roles.flux], cell = flux.cell;
  const rows = cell > 1 ? flux.length / cell : 1;
  const part = (name, row) => {
    const values = name && table.columns[name];
    if (!(values instanceof Float64Array)) return null;
    if (cell === 1) return values;
    if (values.cell === cell) return values.subarray(row * cell, (row + 1) * cell);
    return values.cell === 1 && values.length === cell ? values : null;
  };
  if (cell === 1) return starsIn(table, roles, wave.length, part);
  return Array.from({ length: rows }, (_, row) => ({ star: "", parts: Object.fromEntries(Object.keys(roles).map((role) => [role, part(roles[role], row)])) }));
}

/** The stars of a table with a row for each pixel, where a column names them. */
function starsIn(table, roles, n, part) {
  const names = roles.star ? Array.from(table.columns[roles.star], String) : [], groups = new Map();
  names.forEach((name, i) => groups.set(name, [...(groups.get(name) ?? []), i]));
  const whole = (pixels) => Object.fromEntries(Object.keys(roles).map((role) => {
    const values = part(roles[role], 0);
    return [role, values && pixels ? Float64Array.from(pixels, (i) => values[i]) : values];
  }));
  if (groups.size < 2 || groups.size > n / 2) return [{ star: groups.size === 1 ? names[0] : table.said.star, parts: whole(null) }];
  return [...groups].map(([star, pixels]) => ({ star, parts: whole(pixels) }));
}

/** One spectrum of a table in vacuum Å: {wave, flux, ivar, hasErrors, unit, own, power, notes}. */
function observedOf(table, roles, parts, options) {
  const { flux } = parts, n = flux.length;
  for (const [role, values] of Object.entries(parts)) if (values && values.length !== n) throw new Error(`The column of ${role} has ${values.length} values, the flux ${n}.`);
  if (!parts.wave) throw new Error("The wavelengths do not fit the flux: they have another number of pixels.");
  const said = unitsOf(table, roles), { wave, order } = waveAxis(parts.wave, said, options);
  const noise = ["ivar", "error", "variance"].find((role) => parts[role]);
  const pick = (values) => Float64Array.from(order, (i) => values[i]);
  const { values, ivar, lost } = goodPixels(pick(flux), noise ? pick(parts[noise]) : null, noise, badIn(parts, order));
  checkFlux(values, flux);
  const unit = fluxKind(options.fluxUnit ?? said.fluxUnit, roles, table, noise), own = unit === data.words.model_unit;
  const power = options.power ?? (isOwn(table) ? median(wave) / data.words.lsf_fwhm : null);
  return { ...withoutRepeats({ wave, flux: values, ivar }, Boolean(noise)), hasErrors: Boolean(noise), unit, own, power, lsfFixed: isOwn(table) && options.power === null, lost, rv: options.rv };
}

function waveAxis(raw, said, options) {
  const text = options.unit ?? said.unit, medium = options.medium ?? said.medium, unit = waveSize(text);
  const finite = raw.filter(Number.isFinite);
  if (!finite.length) throw new Error("No wavelength is a finite number.");
  if (!text) throw new Error(`The unit of the wavelengths (${number(Math.min(...ends(finite)), 6)} to ${number(Math.max(...ends(finite)), 6)}) is not stated: choose it below.`);
  if (!unit) throw new Error(`'${text}' is not known as a unit of wavelengths: choose it below.`);
  if (!medium) throw new Error("The file does not say whether the wavelengths are those in vacuum or in air: choose it below (one read as the other is wrong by 83 km/s).");
  const inAngstrom = raw.map((value) => (unit.base ? unit.base ** value * unit.size : value * unit.size));
  checkRange(inAngstrom, raw);
  const order = orderOf(inAngstrom);
  const vacuum = Float64Array.from(order, (i) => (medium === "air" ? airToVacuum(inAngstrom[i]) : inAngstrom[i]));
  return { wave: vacuum.map((value) => value / (1 + (options.rv ?? 0) / LIGHT_KMS)), order };
}

const ends = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

/** N. Piskunov's inverse of the IAU formula of Morton 2000, as crlb/wavelengths.py has it. */
function airToVacuum(wave) {
  if (wave < 2000) return wave;
  const square = (1e4 / wave) ** 2;
  return wave * (1 + 0.00008336624212083 + 0.02408926869968 / (130.1065924522 - square) + 0.0001599740894897 / (38.92568793293 - square));
}

function checkRange(wave, raw) {
  const reaches = (values) => { const middle = median(values.filter(Number.isFinite)); return middle >= 500 && middle <= 3e5 && values.some((value) => value > 7000 && value < 9000); };
  if (reaches(wave)) return;
  const others = { Å: 1, nm: 10, µm: 1e4, m: 1e10 };
  const fitting = Object.keys(others).filter((name) => reaches(raw.map((value) => value * others[name])));
  const [low, high] = ends(wave.filter(Number.isFinite));
  throw new Error(`The wavelengths would be ${number(low, 5)} to ${number(high, 5)} Å; this network reads 7100 to 8850 Å. ${fitting.length ? `Read as ${fitting.join(" or ")} they would fit: choose the unit below.` : "Check the column and the unit of the wavelengths."}`);
}

/** The pixels in the order of their wavelengths, without those that have none. */
function orderOf(wave) {
  const good = [...wave.keys()].filter((i) => Number.isFinite(wave[i]) && wave[i] > 0);
  if (good.length < 2) throw new Error(`At least two wavelengths are needed, found ${good.length} that are finite.`);
  const steps = (pixels) => pixels.slice(1).map((pixel, i) => wave[pixel] - wave[pixels[i]]);
  let found = steps(good);
  if (found.filter((step) => step < 0).length > found.filter((step) => step > 0).length) found = steps(good.reverse());
  const falls = found.filter((step) => step < 0).length;
  if (!falls) return good;
  if (good.length < 20 * (falls + 1)) return good.sort((a, b) => wave[a] - wave[b] || a - b);
  throw new Error(`The wavelengths step back ${falls} times: several arms or exposures. ${OTHERWISE}`);
}

function badIn({ mask, good }, order) {
  if (!mask && !good) return null;
  return order.map((i) => (mask ? mask[i] !== 0 : false) || (good ? !(good[i] !== 0) : false));
}

function checkFlux(values, raw) {
  if (!raw.some(Number.isFinite)) throw new Error("The flux has no finite value.");
  if (values.some((value) => Math.abs(value) > 3.4e38)) throw new Error("The flux has values beyond 3.4e38, which no network reads.");
}

/** Flux and inverse variance, both 0 where a pixel must not be used, and how many are lost by cause. */
function goodPixels(flux, noise, kind, bad) {
  const power = { ivar: 1, variance: -1, error: -2 }[kind], n = flux.length, usable = new Uint8Array(n).fill(1), lost = {};
  let ivar = noise ? noise.map((value) => (value > 0 && value < Infinity ? value ** power : 0)) : new Float64Array(n).fill(1);
  const causes = [["masked", bad ?? []], ...fluxCauses(flux)];
  if (noise) causes.push([`${kind} not positive`, Array.from(ivar, (value) => !(value > 0 && value < Infinity))], ...errorCauses(ivar, flux));
  for (const [name, pixels] of causes) {
    const count = pixels.reduce((total, is, i) => total + (is && usable[i] ? 1 : 0), 0);
    if (count) lost[name] = (lost[name] ?? 0) + count;
    pixels.forEach((is, i) => { if (is) usable[i] = 0; });
  }
  ivar = ivar.map((value, i) => (usable[i] ? value : 0));
  return { values: flux.map((value, i) => (usable[i] ? value : 0)), ivar, lost };
}

/** What is wrong with fluxes alone: not finite, filled, signs for "no data". */
function fluxCauses(flux) {
  const all = Array.from(flux), size = all.filter(Number.isFinite).map(Math.abs), causes = [["flux not finite", all.map((value) => !Number.isFinite(value))]];
  causes.push(["flux filled with zeros", filled(all, 0)]);
  const repeated = new Set(all.filter((value, i) => i && value < 0 && value === all[i - 1] && !NO_DATA.includes(value)));
  for (const value of repeated) causes.push([`flux filled with ${value}`, filled(all, value)]);
  for (const value of NO_DATA) causes.push([`flux is ${value}`, all.map((one) => one === value)]);
  const positive = size.filter((value) => value > 0), [low, high] = ends(positive);
  if (positive.length && high > HUGE * low) {
    const most = HUGE * median(positive);
    causes.push(["flux beyond any star", all.map((value) => Math.abs(value) > most)]);
  }
  return causes;
}

/** Runs of at least ten pixels of this value, and of zeros at the ends. */
function filled(flux, value) {
  const found = flux.map(() => false);
  for (let start = 0, stop; start < flux.length; start = stop + 1) {
    for (stop = start; stop < flux.length && flux[stop] === value; stop++);
    const atEnd = value === 0 && (start === 0 || stop === flux.length);
    if (stop > start && (atEnd || stop - start >= RUN)) found.fill(true, start, stop);
  }
  return found;
}

/** Errors that stand for "no data", and those so small that nothing was measured. */
function errorCauses(ivar, flux) {
  const there = ivar.filter((value) => value > 0 && value < Infinity);
  const size = flux.map(Math.abs).filter((value) => value > 0 && value < Infinity);
  if (!there.length) return [];
  const scale = size.length ? median(size) : 0, least = scale > 0 ? (HUGE * scale) ** -2 : 0;
  const lowest = Math.max(median(there) / HUGE ** 2, least), huge = Array.from(ivar, (value) => value > 0 && value < lowest);
  const rest = ivar.filter((value, i) => value > 0 && !huge[i]), most = rest.length ? median(rest) * HUGE ** 2 : Infinity;
  return [["error so large that it means no data", huge], ["error so small that nothing was measured", Array.from(ivar, (value) => value > most)]];
}

/** Pixels of one wavelength averaged by inverse variance. */
function withoutRepeats({ wave, flux, ivar }, hasErrors) {
  if (!wave.some((value, i) => i && value === wave[i - 1])) return { wave, flux, ivar };
  const found = { wave: [], flux: [], ivar: [] };
  for (let i = 0, j; i < wave.length; i = j) {
    let weight = 0, total = 0;
    for (j = i; j < wave.length && wave[j] === wave[i]; j++) { weight += ivar[j]; total += ivar[j] * flux[j]; }
    found.wave.push(wave[i]);
    found.flux.push(weight > 0 ? total / weight : 0);
    found.ivar.push(hasErrors ? weight : Math.min(weight, 1));
  }
  return Object.fromEntries(Object.entries(found).map(([name, values]) => [name, Float64Array.from(values)]));
}

/** What the unit of the flux means here; refused where the numbers would have to be converted pixel by pixel. */
function fluxKind(text, roles, table, noise) {
  const { model_unit: model, normalised: flat, unknown } = data.words, lower = (text ?? "").trim().toLowerCase();
  if (lower === model) return model;
  if (/^normali|continuum|^rectified$/.test(lower)) return flat;
  const perWave = /\b(erg|ergs|w|j|flam)\b|erg/.test(lower) && !/hz|jy|fnu|photon|\bph\b/.test(lower);
  if (/hz|jy|fnu|photon|\bphot?\b|mag|dex|\blog/.test(lower)) throw new Error(`The flux is in '${text}', not per Å: convert it to flux per wavelength, or use specvit predict, which does.`);
  const other = noise === "error" && table.units[roles.error];
  if (perWave && other && other.trim() !== String(table.units[roles.flux] ?? "").trim()) throw new Error(`The errors are in '${other}', the flux in '${text}': bring them to one unit, or use specvit predict.`);
  return perWave ? "per wavelength" : unknown;
}
