"""What is known of a star's labels before its spectrum is seen: a Beta or a normal distribution for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from crlb.errors import UsageError
from crlb.suggest import meant

FURTHEST = 5.0  # sigma from a normal's mean to the box: further away it contradicts the box


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Prior:
    """Label i is low_i + (high_i - low_i) Beta(a_i, b_i), independent of the others; a = b = 1 is uniform.

    Or, with a = b = 1 and a finite `sigma`, normal of mean `centre` within the interval, cut at its edges.

    Args:
        low: lower edge of every label, in its unit.
        high: upper edge, above `low`.
        a: first shape parameter, positive.
        b: second shape parameter, positive.
        label_names: one name per label.
        centre: mean of the normal distribution before it is cut; None: no label has one.
        sigma: its standard deviation; inf: the label has none.
    """

    low: Float[Array | np.ndarray, " n_labels"]
    high: Float[Array | np.ndarray, " n_labels"]
    a: Float[Array | np.ndarray, " n_labels"]
    b: Float[Array | np.ndarray, " n_labels"]
    label_names: tuple[str, ...] = field(metadata={"static": True})
    centre: Float[Array | np.ndarray, " n_labels"] | None = None
    sigma: Float[Array | np.ndarray, " n_labels"] | None = None

    @property
    def mean(self) -> Float[Array | np.ndarray, " n_labels"]:
        """Mean of every label."""
        plain = self.low + (self.high - self.low) * self.a / (self.a + self.b)
        return self._or_normal(plain, "mean")

    @property
    def variance(self) -> Float[Array | np.ndarray, " n_labels"]:
        """Variance of every label: length^2 / 12 where uniform."""
        total = self.a + self.b
        plain = (self.high - self.low) ** 2 * self.a * self.b / (total**2 * (total + 1))
        return self._or_normal(plain, "var")

    @property
    def normal(self) -> dict[str, tuple[float, float]]:
        """Returns centre and sigma of every label that has a normal distribution (host)."""
        if self.centre is None or self.sigma is None:
            return {}
        pairs = zip(self.label_names, np.asarray(self.centre), np.asarray(self.sigma), strict=True)
        return {name: (float(centre), float(sigma)) for name, centre, sigma in pairs if np.isfinite(sigma)}

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n n_labels"]:
        """Labels of `n` stars, independent."""
        shape = (n, len(self.label_names))
        unit = jax.random.beta(key, jnp.asarray(self.a), jnp.asarray(self.b), shape)
        uniform = jax.random.uniform(key, shape, unit.dtype)
        flat = (self.a == 1) & (self.b == 1)
        unit = jnp.where(jnp.broadcast_to(flat, shape), uniform, unit)
        return self._drawn_normal(uniform, jnp.asarray(self._scaled(unit)))

    def quantile(self, unit: Float[np.ndarray, "n n_labels"]) -> Float[np.ndarray, "n n_labels"]:
        """Labels whose cumulative probability is `unit`, label by label (host): for quasi-random points."""
        from scipy.stats import beta

        found = np.array(self._scaled(beta.ppf(unit, np.asarray(self.a), np.asarray(self.b))))
        for name, oracle in self._cut_normals().items():
            i = self.label_names.index(name)
            found[:, i] = np.clip(oracle.ppf(unit[:, i]), self.low[i], self.high[i])
        return found

    def unit_quantile(self, uniform: Float[np.ndarray, "n n_labels"]) -> Float[np.ndarray, "n n_labels"]:
        """As `quantile`, in unit coordinates, 0 to 1 between the edges (host)."""
        return np.asarray((self.quantile(uniform) - np.asarray(self.low)) / np.asarray(self.high - self.low))

    def log_density(self, labels: Float[Array | np.ndarray, " n_labels"]) -> Float[Array, ""]:
        """Log of the density in 1/(product of the labels' units); -inf outside the intervals."""
        width = jnp.asarray(self.high - self.low)
        x = (labels - self.low) / width
        inside = ((x >= 0) & (x <= 1)).all()
        safe = jnp.clip(x, 0.0, 1.0)
        log_norm = jax.scipy.special.betaln(jnp.asarray(self.a), jnp.asarray(self.b)) + jnp.log(width)
        density = jax.scipy.special.xlogy(self.a - 1, safe) + jax.scipy.special.xlog1py(self.b - 1, -safe)
        total = jnp.sum(density - log_norm)
        if self.centre is not None and self.sigma is not None:
            z = (jnp.asarray(labels) - self.centre) / self.sigma
            log_norm = jnp.log(self._mass()) + jnp.log(jnp.sqrt(2 * jnp.pi) * self.sigma) - jnp.log(width)
            total = total + jnp.sum(jnp.where(jnp.isfinite(self.sigma), -0.5 * z**2 - log_norm, 0.0))
        return jnp.where(inside, total, -jnp.inf)

    def _edges(self) -> tuple[Array, Array]:
        """The interval in standard deviations of the normal; 0 to 0 where there is none."""
        assert self.centre is not None
        assert self.sigma is not None
        low, high = ((edge - self.centre) / self.sigma for edge in (self.low, self.high))
        return jnp.asarray(low), jnp.asarray(high)

    def _mass(self) -> Array:
        """Probability of the interval under the normal, exact in both tails; 1 where there is none."""
        low, high = self._edges()
        upper = low > 0  # there the differences are those of the other tail
        first, last = jnp.where(upper, -high, low), jnp.where(upper, -low, high)
        mass = jax.scipy.special.ndtr(last) - jax.scipy.special.ndtr(first)
        return jnp.where(jnp.isfinite(jnp.asarray(self.sigma)), mass, 1.0)

    def _drawn_normal(self, uniform: Array, labels: Array) -> Array:
        """`labels`, but those of a normal distribution from the inverse of its cdf at `uniform`."""
        if self.centre is None or self.sigma is None:
            return labels
        low, high = self._edges()
        upper = low > 0
        first = jnp.where(upper, -high, low)[None, :]
        below = jax.scipy.special.ndtr(first) + uniform * self._mass()[None, :]
        z = jax.scipy.special.ndtri(below) * jnp.where(upper, -1.0, 1.0)[None, :]
        finite = jnp.isfinite(jnp.asarray(self.sigma))
        value = jnp.asarray(self.centre)[None, :] + jnp.where(finite, self.sigma, 1.0)[None, :] * z
        cut = jnp.clip(value, jnp.asarray(self.low)[None, :], jnp.asarray(self.high)[None, :])
        return jnp.where(finite[None, :], cut, labels)

    def _cut_normals(self) -> "dict[str, Any]":
        """scipy's distribution of every label that has a normal one (host)."""
        from scipy.stats import truncnorm

        edges = dict(
            zip(self.label_names, zip(np.asarray(self.low), np.asarray(self.high), strict=True), strict=True)
        )
        return {
            name: truncnorm(*((edge - centre) / sigma for edge in edges[name]), centre, sigma)
            for name, (centre, sigma) in self.normal.items()
        }

    def _or_normal(self, plain: Array | np.ndarray, moment: str) -> Array | np.ndarray:
        """A moment of every label, that of the cut normal distribution where it has one (host)."""
        if self.sigma is None:
            return plain
        found = np.array(plain, float)
        for name, oracle in self._cut_normals().items():
            found[self.label_names.index(name)] = getattr(oracle, moment)()
        return found

    def _scaled(self, unit: Array | np.ndarray) -> Array | np.ndarray:
        row = (slice(None),) if unit.ndim == 1 else (None, slice(None))
        return self.low[row] + (self.high - self.low)[row] * unit


def make_prior(
    low: Float[np.ndarray, " n_labels"],
    high: Float[np.ndarray, " n_labels"],
    label_names: Sequence[str],
    shapes: Mapping[str, tuple[float, float]] | None = None,
    normal: Mapping[str, tuple[float, float]] | None = None,
) -> Prior:
    """The prior on a box of labels: uniform, Beta(a, b), or normal and cut at the edges of the box.

    Args:
        low: lower edge of every label, in its unit.
        high: upper edge.
        label_names: one name per label.
        shapes: a and b of the labels that have a Beta distribution over the box.
        normal: mean and standard deviation, in the label's unit, of those that have a normal one.

    Raises:
        UsageError: an unknown label, one in both, a shape or sigma that is not positive, a box more than 5
            sigma from a mean, an interval without length.
    """
    shapes, normal = dict(shapes or {}), dict(normal or {})
    unknown = [name for name in (*shapes, *normal) if name not in label_names]
    if unknown:
        raise UsageError(
            f"prior: unknown label {', '.join(unknown)}; needed one of {', '.join(label_names)}"
            f"{meant(unknown[0], label_names)}"
        )
    if both := [name for name in shapes if name in normal]:
        raise UsageError(f"prior: {', '.join(both)} cannot be both Beta and normal; give one of them")
    for name, shape in shapes.items():
        if not all(np.isfinite(x) and x > 0 for x in shape):
            raise UsageError(f"prior: Beta({shape[0]:g}, {shape[1]:g}) of {name} needs two positive numbers")
    for name, start, stop in zip(label_names, low, high, strict=True):
        if not start < stop:
            raise UsageError(f"prior: {name} needs low < high, found {start:g} to {stop:g}; fix it instead")
    for name, (centre, sigma) in normal.items():
        i = list(label_names).index(name)
        _check_normal(name, centre, sigma, float(low[i]), float(high[i]))
    table = np.array([shapes.get(name, (1.0, 1.0)) for name in label_names], float)
    bounds = (np.asarray(low, float), np.asarray(high, float))
    plain = Prior(*bounds, table[:, 0], table[:, 1], tuple(label_names))
    if not normal:
        return plain
    pairs = np.array([normal.get(name, (0.0, np.inf)) for name in label_names], float)
    return replace(plain, centre=pairs[:, 0], sigma=pairs[:, 1])


def _check_normal(name: str, centre: float, sigma: float, low: float, high: float) -> None:
    if not (np.isfinite(centre) and np.isfinite(sigma) and sigma > 0):
        raise UsageError(f"prior: {name} needs a mean and a positive sigma, found {centre:g} and {sigma:g}")
    away = max(low - centre, centre - high) / sigma
    if away > FURTHEST:
        raise UsageError(
            f"prior: {name} = {centre:g} +- {sigma:g} lies {away:.0f} sigma outside {low:g} to {high:g}; "
            "check its unit, or use a wider grid"
        )
