// How far a spectrum is from those the network was trained on: the steps of specvit_jax/evaluation/distance.py.

/** The training set, unpacked and prepared once. */
function frameOf(exported) {
  if (!exported.training) return null;
  const { training } = exported;
  if (training.frame) return training.frame;
  const arrays = Object.fromEntries(Object.entries(training.tensors).map(([name, text]) => [name, floats(text)]));
  const k = arrays.deviation.length, directions = Float64Array.from(arrays.basis, (value, i) => value * arrays.deviation[i % k]);
  const known = Float64Array.from(arrays.coefficients, (value, i) => value / arrays.deviation[i % k]);
  training.frame = { ...arrays, k, directions, known };
  return training.frame;
}

/** Flux at the scale of the training, the factor, distance, p-value; unusable pixels filled by the model. */
function compared(flux, ivar, frame, limits) {
  const used = (values) => values.filter((_, p) => ivar[p] > 0);
  const middle = median(used(flux)), first = middle > 0 ? median(used(frame.mean)) / middle : 1;
  const scale = first / fitted(flux, ivar, first, frame, limits).amplitude;
  const fit = fitted(flux, ivar, scale, frame, limits);
  const counted = ivar.reduce((n, one, p) => n + countsIn(p, ivar, frame), 0), softened = clamp(fit.scatter, 1, limits.wrong_errors) ** 2;
  const outside = chi2Above(fit.outside / softened, Math.max(counted - fit.seen, 1));
  const within = (1 + fit.farther) / (1 + frame.known.length / frame.k);
  return {
    flux: Float64Array.from(flux, (value, p) => (ivar[p] > 0 ? value * scale : fit.model[p])), scale,
    distance: Math.sqrt((fit.within + fit.outside) / Math.max(counted, 1)), pValue: Math.min(2 * Math.min(outside, within), 1),
  };
}

/** Whether a pixel counts in the comparison: usable, and hardly anything is left there of the sky's lines. */
const countsIn = (p, ivar, { calm }) => ivar[p] > 0 && calm[p] > 0;

/** One spectrum fitted with the components of the training. */
function fitted(flux, ivar, scale, frame, limits) {
  const { mean, floor, directions, k } = frame, n = flux.length;
  const weight = new Float64Array(n), apart = new Float64Array(n);
  for (let p = 0; p < n; p++) {
    apart[p] = (ivar[p] > 0 ? flux[p] * scale : 0) - mean[p];
    if (countsIn(p, ivar, frame)) weight[p] = 1 / (scale ** 2 / ivar[p] + floor[p] ** 2);
  }
  const { values: information, axes } = eigen(informationOf(weight, directions, k), k);
  const seen = information.map((value) => +(value > limits.unknown)), known = information.map((value, i) => (seen[i] ? value : 1));
  const along = (values) => times(times(weight.map((w, p) => w * values[p]), directions, k), axes, k);
  const slope = along(apart), ofMean = along(mean), total = information.map((value) => 1 + Math.max(value, 0));
  const within = sum(slope.map((s, i) => (seen[i] ? s ** 2 / (known[i] * (1 + known[i])) : 0)));
  const whole = sum(weight.map((w, p) => w * mean[p] ** 2)) - sum(ofMean.map((m, i) => m ** 2 / total[i]));
  const excess = sum(weight.map((w, p) => w * mean[p] * apart[p])) - sum(ofMean.map((m, i) => (m * slope[i]) / total[i]));
  const nearest = applied(directions, applied(axes, slope.map((s, i) => (seen[i] ? s / known[i] : 0))));
  const likely = applied(directions, applied(axes, slope.map((s, i) => s / total[i])));
  const left = weight.map((w, p) => (apart[p] - nearest[p]) * Math.sqrt(w));
  return {
    model: likely.map((value, p) => value + mean[p]), within, outside: sum(left.map((value) => value * value)),
    amplitude: clamp(1 + excess / Math.max(whole, 1e-30), ...limits.amplitudes), seen: sum(seen),
    farther: fartherThan(within, frame, known, seen, axes), scatter: scatterOf(left, weight),
  };
}

/** L F L: of the coefficients in units of their deviations. */
function informationOf(weight, directions, k) {
  const found = new Float64Array(k * k);
  for (let p = 0; p < weight.length; p++) {
    for (let i = 0; i < k; i++) {
      const part = weight[p] * directions[p * k + i];
      for (let j = i; j < k; j++) found[i * k + j] += part * directions[p * k + j];
    }
  }
  for (let i = 0; i < k; i++) for (let j = 0; j < i; j++) found[i * k + j] = found[j * k + i];
  return found;
}

/** How many spectra of the training, under this star's noise, are as far within the components or farther. */
function fartherThan(within, { known: spectra, draws, k }, known, seen, axes) {
  let count = 0;
  for (let row = 0; row < spectra.length; row += k) {
    const turned = times(spectra.subarray(row, row + k), axes, k);
    let total = 0;
    for (let i = 0; i < k; i++) if (seen[i]) total += (Math.sqrt(known[i]) * turned[i] + draws[row + i]) ** 2 / (1 + known[i]);
    count += total >= within;
  }
  return count;
}

/** Scatter of neighbouring pixels around the model, relative to the errors. */
function scatterOf(left, weight) {
  let total = 0, pairs = 0;
  for (let p = 1; p < left.length; p++) {
    if (!(weight[p] > 0 && weight[p - 1] > 0)) continue;
    total += (left[p] - left[p - 1]) ** 2;
    pairs += 1;
  }
  return Math.sqrt(total / (2 * Math.max(pairs, 1)));
}
