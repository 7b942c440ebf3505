// Sums, medians, eigenvectors and chi2: the mathematics of the page, in double precision.

const sum = (values) => { let total = 0; for (const value of values) total += value; return total; };

/** The middle of some numbers, the mean of the two middle ones where their number is even; NaN of none. */
function median(values) {
  const sorted = Float64Array.from(values).sort(), n = sorted.length;
  if (!n) return NaN;
  return n % 2 ? sorted[(n - 1) / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

/** x A: x of n numbers, A of n rows and m columns. */
function times(x, matrix, m) {
  const out = new Float64Array(m);
  for (let i = 0; i < x.length; i++) {
    const value = x[i], row = i * m;
    if (value !== 0) for (let j = 0; j < m; j++) out[j] += value * matrix[row + j];
  }
  return out;
}

/** A y: A of y.length columns. */
function applied(matrix, y) {
  const m = y.length, out = new Float64Array(matrix.length / m);
  for (let i = 0; i < out.length; i++) {
    let total = 0;
    for (let j = 0; j < m; j++) total += matrix[i * m + j] * y[j];
    out[i] = total;
  }
  return out;
}

/** The solution z of A z = b for a symmetric positive A (k by k), by Cholesky's decomposition. */
function solved(matrix, b) {
  const k = b.length, low = new Float64Array(k * k), z = Float64Array.from(b);
  for (let i = 0; i < k; i++) {
    for (let j = 0; j <= i; j++) {
      let left = matrix[i * k + j];
      for (let p = 0; p < j; p++) left -= low[i * k + p] * low[j * k + p];
      low[i * k + j] = i === j ? Math.sqrt(left) : left / low[j * k + j];
    }
  }
  for (let i = 0; i < k; i++) {
    for (let p = 0; p < i; p++) z[i] -= low[i * k + p] * z[p];
    z[i] /= low[i * k + i];
  }
  for (let i = k - 1; i >= 0; i--) {
    for (let p = i + 1; p < k; p++) z[i] -= low[p * k + i] * z[p];
    z[i] /= low[i * k + i];
  }
  return z;
}

/** Eigenvalues and eigenvectors (columns of `axes`) of a symmetric matrix, by Jacobi's rotations. */
function eigen(matrix, k) {
  const a = Float64Array.from(matrix), axes = new Float64Array(k * k);
  for (let i = 0; i < k; i++) axes[i * k + i] = 1;
  for (let sweep = 0; sweep < 60 && rotatedOnce(a, axes, k); sweep++);
  return { values: Float64Array.from({ length: k }, (_, i) => a[i * k + i]), axes };
}

/** One sweep over all pairs; whether anything was left to rotate. */
function rotatedOnce(a, axes, k) {
  let changed = false;
  for (let p = 0; p < k - 1; p++) {
    for (let q = p + 1; q < k; q++) {
      const off = a[p * k + q], size = Math.abs(a[p * k + p]) + Math.abs(a[q * k + q]);
      if (Math.abs(off) <= 1e-17 * size) continue;
      changed = true;
      const theta = (a[q * k + q] - a[p * k + p]) / (2 * off);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
      rotate(a, axes, k, p, q, 1 / Math.sqrt(t * t + 1), t);
    }
  }
  return changed;
}

function rotate(a, axes, k, p, q, cos, tan) {
  const sin = tan * cos;
  for (const array of [a, axes]) {
    for (let i = 0; i < k; i++) {
      const x = array[i * k + p], y = array[i * k + q];
      array[i * k + p] = cos * x - sin * y;
      array[i * k + q] = sin * x + cos * y;
    }
  }
  for (let i = 0; i < k; i++) {
    const x = a[p * k + i], y = a[q * k + i];
    a[p * k + i] = cos * x - sin * y;
    a[q * k + i] = sin * x + cos * y;
  }
}

// Lanczos, g = 7, n = 9: to 15 digits.
const LANCZOS = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];

function logGamma(x) {
  const z = x - 1, base = z + 7.5;
  const series = LANCZOS.slice(1).reduce((total, value, i) => total + value / (z + i + 1), LANCZOS[0]);
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(base) - base + Math.log(series);
}

/** The regularised upper incomplete gamma function Q(a, x); series or continued fraction (Lentz). */
function gammaAbove(a, x) {
  if (x <= 0) return 1;
  const front = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a, total = term;
    for (let n = 1; n < 100000 && term > 1e-17 * total; n++) { term *= x / (a + n); total += term; }
    return 1 - front * total;
  }
  let b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (let i = 1; i < 100000; i++) {
    const an = -i * (i - a);
    b += 2;
    d = 1 / (Math.abs(an * d + b) < 1e-300 ? 1e-300 : an * d + b);
    c = Math.abs(b + an / c) < 1e-300 ? 1e-300 : b + an / c;
    h *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return front * h;
}

/** Probability that chi2 with this many degrees of freedom is larger. */
const chi2Above = (value, freedom) => gammaAbove(freedom / 2, value / 2);

/** The error function. */
const erf = (x) => Math.sign(x) * (1 - gammaAbove(0.5, x * x));
