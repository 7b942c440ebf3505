// A spectrum on the network's pixels, and how it differs from those it was taught:
// the steps of specvit_jax/evaluation/prepared.py, resolution.py and crlb/readers/combine.py.

/** {flux, ivar, snr, good, flags, notes} on the network's pixels; an error with the reason where it cannot be. */
function prepared(observed, exported) {
  const { wave, limits } = exported;
  const seen = observed.hasErrors ? observed : { ...observed, ivar: withErrors(observed) };
  const power = observed.power === null ? null : observed.lsfFixed ? exported.power : observed.power;
  const same = samePixels(seen.wave, wave);
  let found = same ? { flux: seen.flux, ivar: seen.ivar } : resampled(seen, wave);
  if (power !== null && power > limits.sharper * exported.power) found = smoothed(found, wave, power, exported.lsf_fwhm);
  const used = found.flux.filter((_, p) => found.ivar[p] > 0), length = used.length * exported.spacing;
  if (!(used.length >= Math.min(limits.least_pixels, wave.length / 2) && length >= Math.min(limits.least_range, (exported.spacing * wave.length) / 2))) {
    throw new Error(`${used.length} usable pixels between ${fixed(wave[0], 0)} and ${fixed(wave[wave.length - 1], 0)} Å, where the network reads; ${limits.least_pixels} are needed.`);
  }
  const middle = median(used), spread = 1.4826 * median(used.map((value) => Math.abs(value - middle)));
  if (!(middle > 0 && middle > limits.significant * spread * Math.sqrt(Math.PI / 2 / used.length))) throw new Error(`The median of the flux, ${number(middle)}, is not above zero (its scatter is ${number(spread)}): no star.`);
  const snr = median(found.flux.map((value, p) => (found.ivar[p] > 0 ? value * Math.sqrt(found.ivar[p]) : NaN)).filter((value) => !Number.isNaN(value)));
  const good = used.length / wave.length;
  const notes = [...otherSampling(exported, same, power), ...otherFlux(observed.unit, good, limits), ...otherNoise(found, snr, middle, exported)];
  const holds = { NO_ERRORS: !observed.hasErrors, LOW_SNR: snr < limits.least_snr, CONDITIONS: notes.length > 0, RESOLUTION: power === null || power > limits.sharper * exported.power };
  return { ...found, snr, good, notes, flags: Object.keys(holds).filter((name) => holds[name]) };
}

function samePixels(own, wanted) {
  if (own.length !== wanted.length) return false;
  const n = wanted.length;
  return wanted.every((value, i) => Math.abs(own[i] - value) <= 0.01 * ((wanted[Math.min(i + 1, n - 1)] - wanted[Math.max(i - 1, 0)]) / (i && i < n - 1 ? 2 : 1)));
}

/** Errors from second differences of neighbouring pixels, where the file has none. */
function withErrors({ flux, ivar }) {
  const differences = [];
  for (let i = 1; i < flux.length - 1; i++) if (ivar[i] > 0 && ivar[i - 1] > 0 && ivar[i + 1] > 0) differences.push(Math.abs(flux[i] - 0.5 * (flux[i - 1] + flux[i + 1])));
  const used = flux.filter((_, i) => ivar[i] > 0).map(Math.abs), least = used.length ? 1e-4 * median(used) : 0;
  const sigma = Math.max(differences.length ? (1.4826 * median(differences)) / Math.sqrt(1.5) : 0, least, 1e-30);
  return ivar.map((value) => (value > 0 ? sigma ** -2 : 0));
}

/** Lower and upper edges of pixels: halfway to the neighbours, not across gaps. */
function cellsOf(wave) {
  const n = wave.length - 1, step = Float64Array.from({ length: n }, (_, i) => wave[i + 1] - wave[i]);
  const size = Math.min(51, n), before = Math.floor(size / 2);
  const half = step.map((value, i) => {
    const near = Float64Array.from({ length: size }, (_, k) => step[clamp(i - before + k, 0, n - 1)]).sort();
    return 0.5 * Math.min(value, 1.5 * near[Math.floor(size / 2)]);
  });
  return { low: Float64Array.from(wave, (value, i) => value - half[Math.max(i - 1, 0)]), high: Float64Array.from(wave, (value, i) => value + half[Math.min(i, n - 1)]) };
}

/** The mean flux of the usable pixels that each new pixel overlaps; unusable where less than half is covered. */
function resampled({ wave, flux, ivar }, wanted) {
  const from = cellsOf(wave), to = cellsOf(wanted), out = { flux: new Float64Array(wanted.length), ivar: new Float64Array(wanted.length) };
  for (let i = 0, first = 0; i < wanted.length; i++) {
    let covered = 0, total = 0, spread = 0;
    while (first < wave.length && from.high[first] <= to.low[i]) first++;
    for (let j = first; j < wave.length && from.low[j] < to.high[i]; j++) {
      const length = ivar[j] > 0 ? Math.max(0, Math.min(from.high[j], to.high[i]) - Math.max(from.low[j], to.low[i])) : 0;
      if (!length) continue;
      covered += length;
      total += length * flux[j];
      spread += length ** 2 / ivar[j];
    }
    if (!(covered / (to.high[i] - to.low[i]) >= 0.5 * (1 - 1e-9) && spread > 0)) continue;
    out.flux[i] = total / covered;
    out.ivar[i] = covered ** 2 / spread;
  }
  return out;
}

/** The spectrum with lines as wide as wanted, where its own are narrower: Gaussian of the difference. */
function smoothed({ flux, ivar }, wave, power, wanted) {
  const steps = wave.slice(1).map((value, i) => value - wave[i]), spacing = median(steps), n = wave.length;
  const sigma = wave.map((value) => Math.sqrt(Math.max(wanted ** 2 - (value / power) ** 2, 0)) / (2.3548200450309493 * spacing));
  const reach = Math.ceil(4 * Math.max(...sigma)), out = { flux: new Float64Array(n), ivar: new Float64Array(n) };
  for (let p = 0; p < n; p++) {
    let whole = 0, total = 0, sumFlux = 0, square = 0;
    for (let step = -reach; step <= reach; step++) {
      const weight = Math.exp(-0.5 * (step / Math.max(sigma[p], 1e-3)) ** 2), at = p + step;
      whole += weight;
      if (at < 0 || at >= n || !(ivar[at] > 0)) continue;
      total += weight;
      sumFlux += weight * flux[at];
      square += weight ** 2 / ivar[at];
    }
    if (total < 0.5 * whole) continue;
    out.flux[p] = sumFlux / total;
    if (square > 0) out.ivar[p] = total ** 2 / square;
  }
  return out;
}

function otherSampling({ power: taught, limits }, same, power) {
  const said = same ? [] : ["resampled to the network's pixels"];
  if (power === null) said.push("resolving power not stated");
  else if (power > limits.sharper * taught) said.push(`smoothed from a resolving power of ${fixed(power, 0)} to ${fixed(taught, 0)}`);
  else if (power < taught / limits.coarser) said.push(`resolving power ${fixed(power, 0)}, trained for ${fixed(taught, 0)}`);
  return said;
}

function otherFlux(unit, good, limits) {
  const said = [];
  if (unit === data.words.normalised) said.push("the continuum was divided out, which the network was not taught");
  if (unit === data.words.unknown) said.push("the unit of the flux is not known: taken as per Å");
  if (good < limits.covered) said.push(`${fixed(100 * good, 0)} % of the pixels usable`);
  return said;
}

/** How SNR and shape of the errors differ from those of the training. */
function otherNoise(found, snr, middle, exported) {
  const frame = frameOf(exported), { limits } = exported;
  if (!frame) return [];
  const said = [], [low, high] = frame.snr_range;
  if (!(snr >= low / limits.other_snr && snr <= high * limits.other_snr)) said.push(`SNR ${number(snr)}, trained for ${number(low, 2)} to ${number(high, 2)}`);
  const worst = worstError(found, middle, frame, snr);
  if (!(worst >= 1 / limits.other_errors && worst <= limits.other_errors)) said.push(`errors ${number(worst, 2)} times those of the training at this SNR, at the worst place`);
  return said;
}

/** Ratio of the errors to those of the training where it is largest, of sixteen stretches of the spectrum. */
function worstError({ flux, ivar }, middle, frame, snr) {
  const n = flux.length, taught = errorsAt(frame, magOf(frame, snr), n), used = [...ivar.keys()].filter((p) => ivar[p] > 0);
  const scale = median(used.map((p) => frame.mean[p])) / middle, parts = new Map();
  for (const p of used) {
    const stretch = Math.floor((p * 16) / n);
    parts.set(stretch, [...(parts.get(stretch) ?? []), scale / Math.sqrt(ivar[p]) / taught[p]]);
  }
  const middles = [...parts.values()].map((part) => Float64Array.from(part).sort()[part.length >> 1]);
  return middles.reduce((worst, one) => (Math.abs(Math.log(one)) > Math.abs(Math.log(worst)) ? one : worst), 1);
}

/** Linear interpolation of increasing places; the ends beyond. */
function interpolated(value, places, values) {
  if (value <= places[0]) return values[0];
  for (let i = 1; i < places.length; i++) {
    if (value <= places[i]) return values[i - 1] + ((value - places[i - 1]) / (places[i] - places[i - 1])) * (values[i] - values[i - 1]);
  }
  return values[values.length - 1];
}

const magOf = (frame, snr) => interpolated(-Math.log(Math.max(snr, 1e-6)), Array.from(frame.log_snr, (value) => -value), frame.mags);

function errorsAt(frame, mag, n) {
  const place = interpolated(mag, frame.mags, Array.from(frame.mags.keys())), low = Math.min(Math.floor(place), frame.mags.length - 2);
  return Float64Array.from({ length: n }, (_, p) => {
    const [a, b] = [low, low + 1].map((row) => Math.log(frame.errors[row * n + p]));
    return Math.exp(a + (place - low) * (b - a));
  });
}
