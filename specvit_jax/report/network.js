// The network, run in this page: the steps of specvit_jax/network for one spectrum, in double precision.

const floats = (text) => new Float32Array(bytesOf(text).buffer);

/** The arrays of an exported network by their name, unpacked once. */
function unpacked(exported) {
  exported.arrays ??= Object.fromEntries(Object.entries(exported.tensors).map(([name, text]) => [name, floats(text)]));
  return exported.arrays;
}

/** What the network reads of noisy flux; `usable` is null where no pixel is lost. */
function encoded(exported, flux, usable) {
  const arrays = unpacked(exported), { analysis, synthesis, gram, rest } = arrays;
  const x = scaledFlux(exported, arrays, flux, usable);
  if (!analysis) return x;
  const k = analysis.length / x.length, seen = times(x, analysis, k);
  let y = seen, more = 0;
  if (gram) {
    const z = solved(withoutLost(gram, analysis, usable, k), seen);
    if (usable) y = times(z, gram, k);
    if (rest) more = scaledRest(exported, x, seen, z, usable, rest);
  }
  if (!synthesis) return rest ? Float64Array.from([...y, more]) : y;
  return times(y, synthesis, synthesis.length / k).map((value) => value + more);
}

/** Flux at its level, shifted and scaled, free of what is shared along sky lines; 0 where lost. */
function scaledFlux(exported, { mean, scale, level, sky, sky_line: line }, flux, usable) {
  const used = (p) => !usable || usable[p] > 0;
  let factor = 1;
  if (level) {
    let total = 0, weight = 0;
    for (let p = 0; p < flux.length; p++) if (used(p)) { total += level[p] * flux[p]; weight += level[p]; }
    factor = exported.level / (total / weight);
  }
  const x = Float64Array.from(flux, (value, p) => (used(p) ? (value * factor - mean[p]) / scale[p] : 0));
  if (!sky) return x;
  const power = new Map(), shared = new Map(), add = (map, key, value) => map.set(key, (map.get(key) ?? 0) + value);
  x.forEach((value, p) => {
    if (!used(p)) return;
    add(power, line[p], sky[p] ** 2);
    add(shared, line[p], sky[p] * value);
  });
  return x.map((value, p) => {
    if (!used(p)) return value;
    const root = Math.sqrt(1 + power.get(line[p]));
    return value - (sky[p] * shared.get(line[p])) / (root * (1 + root));
  });
}

/** M without the rows of the lost pixels. */
function withoutLost(gram, analysis, usable, k) {
  const left = Float64Array.from(gram);
  for (let p = 0; usable && p < usable.length; p++) {
    if (usable[p] > 0) continue;
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) left[i * k + j] -= analysis[p * k + i] * analysis[p * k + j];
  }
  return left;
}

/** The noise component: log of the rms outside of the components, within the training's reach. */
function scaledRest(exported, x, seen, z, usable, rest) {
  const inside = sum(seen.map((value, i) => value * z[i])), whole = sum(x.map((value) => value * value));
  const count = usable ? Math.max(1, sum(usable.map((value) => +(value > 0)))) : x.length;
  const log = 0.5 * Math.log(Math.max(whole - inside, 1e-30) / count);
  return clamp((log - rest[0]) / rest[1], -exported.rest_reach, exported.rest_reach);
}

/** Labels, their 1-sigma errors (null: not predicted) and attention weights [layer][head][row][column]. */
function labelsOf(exported, flux, usable = null) {
  const arrays = unpacked(exported), { model, label_names: names } = exported;
  const { out, attention } = forward(model, arrays, encoded(exported, flux, usable));
  const labels = names.map((_, i) => out[i] * arrays.label_scale[i] + arrays.label_mean[i]);
  const sigma = model.predict_sigma ? names.map((_, i) => Math.exp(out[names.length + i]) * arrays.label_scale[i]) : null;
  return { labels, sigma, attention, rollout: rolledOut(attention, model.pool === "cls") };
}

/** x W + b by name. */
function dense(arrays, name, x) {
  const bias = arrays[`${name}/bias`];
  return times(x, arrays[`${name}/kernel`], bias.length).map((value, i) => value + bias[i]);
}

function layerNorm(arrays, name, x, eps) {
  const mean = sum(x) / x.length, variance = sum(x.map((value) => (value - mean) ** 2)) / x.length;
  const scale = arrays[`${name}/scale`], bias = arrays[`${name}/bias`], root = Math.sqrt(variance + eps);
  return x.map((value, i) => ((value - mean) / root) * scale[i] + bias[i]);
}

const GELU = {
  exact: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

function forward(model, arrays, x) {
  let tokens = firstTokens(model, arrays, x);
  const attention = [], plus = (a, b) => a.map((value, i) => value + b[i]);
  for (let i = 0; i < model.depth; i++) {
    const at = `block_${i}`, norm = (name) => tokens.map((token) => layerNorm(arrays, `${at}/${name}`, token, model.eps));
    const read = attended(model, arrays, at, norm("norm_attention"));
    attention.push(read.weights);
    tokens = tokens.map((token, t) => plus(token, dense(arrays, `${at}/out`, read.out[t])));
    const hidden = norm("norm_mlp").map((token) => dense(arrays, `${at}/up`, token).map(GELU[model.gelu]));
    tokens = tokens.map((token, t) => plus(token, dense(arrays, `${at}/down`, hidden[t])));
  }
  tokens = tokens.map((token) => layerNorm(arrays, "norm", token, model.eps));
  return { out: dense(arrays, "head", pooled(model, arrays, tokens)), attention };
}

/** Windows of the spectrum as vectors that know their place; a class token before them where there is one. */
function firstTokens(model, arrays, x) {
  const tokens = Array.from({ length: model.num_patches }, (_, i) => {
    const window = Float64Array.from(x.slice(i * model.stride, i * model.stride + model.patch_size));
    return dense(arrays, "tokens/patches", model.chunk_norm ? normalised(window, model.chunk_eps) : window);
  });
  if (model.pool === "cls") tokens.unshift(Float64Array.from(arrays["tokens/cls"]));
  const { position } = arrays;
  if (!position) return tokens;
  return tokens.map((token, t) => token.map((value, i) => value + position[t * model.embed_dim + i]));
}

function normalised(window, eps) {
  const mean = sum(window) / window.length, variance = sum(window.map((value) => (value - mean) ** 2)) / window.length;
  return window.map((value) => (value - mean) / Math.sqrt(variance + eps));
}

/** softmax(q k^T / sqrt(size)) v in every head, and the weights. */
function attended(model, arrays, at, tokens) {
  const [query, key, value] = ["query", "key", "value"].map((name) => tokens.map((token) => dense(arrays, `${at}/${name}`, token)));
  const size = model.embed_dim / model.num_heads, out = tokens.map(() => new Float64Array(model.embed_dim)), weights = [];
  for (let head = 0; head < model.num_heads; head++) {
    const first = head * size, rows = query.map((q) => softmax(key.map((k) => {
      let dot = 0;
      for (let i = first; i < first + size; i++) dot += q[i] * k[i];
      return dot / Math.sqrt(size);
    })));
    rows.forEach((row, t) => row.forEach((share, other) => {
      for (let i = first; i < first + size; i++) out[t][i] += share * value[other][i];
    }));
    weights.push(rows);
  }
  return { out, weights };
}

function softmax(scores) {
  const most = Math.max(...scores), raised = scores.map((score) => Math.exp(score - most)), total = sum(raised);
  return raised.map((value) => value / total);
}

function pooled(model, arrays, tokens) {
  if (model.pool === "cls") return tokens[0];
  if (model.pool === "flat") return Float64Array.from(tokens.flatMap((token) => [...token]));
  const { query } = arrays;
  const shares = model.pool === "mean" ? tokens.map(() => 1 / tokens.length)
    : softmax(tokens.map((token) => sum(token.map((value, i) => value * query[i])) / Math.sqrt(query.length)));
  return tokens[0].map((_, i) => sum(tokens.map((token, t) => token[i] * shares[t])));
}

/** Share of every patch in what the pooled tokens have read (Abnar & Zuidema 2020): adds up to one. */
function rolledOut(attention, hasClass) {
  const n = attention[0][0].length, mean = (layer, i, j) => sum(layer.map((head) => head[i][j])) / layer.length;
  let total = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => +(i === j)));
  for (const layer of attention) {
    const step = total.map((_, i) => total.map((_, j) => 0.5 * (mean(layer, i, j) + (i === j))));
    total = step.map((row) => total[0].map((_, j) => sum(row.map((value, p) => value * total[p][j]))));
  }
  const share = hasClass ? total[0].slice(1) : total[0].map((_, j) => sum(total.map((row) => row[j])) / n);
  const whole = sum(share);
  return share.map((value) => value / whole);
}
