"""What is known of a star's labels before its spectrum is seen: a Beta distribution for each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from crlb.errors import UsageError


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Prior:
    """Label i is low_i + (high_i - low_i) Beta(a_i, b_i), independent of the others; a = b = 1 is uniform.

    Args:
        low: lower edge of every label, in its unit.
        high: upper edge, above `low`.
        a: first shape parameter, positive.
        b: second shape parameter, positive.
        label_names: one name per label.
    """

    low: Float[Array | np.ndarray, " n_labels"]
    high: Float[Array | np.ndarray, " n_labels"]
    a: Float[Array | np.ndarray, " n_labels"]
    b: Float[Array | np.ndarray, " n_labels"]
    label_names: tuple[str, ...] = field(metadata={"static": True})

    @property
    def mean(self) -> Float[Array | np.ndarray, " n_labels"]:
        """Mean of every label."""
        return self.low + (self.high - self.low) * self.a / (self.a + self.b)

    @property
    def variance(self) -> Float[Array | np.ndarray, " n_labels"]:
        """Variance of every label: length^2 / 12 where uniform."""
        total = self.a + self.b
        return (self.high - self.low) ** 2 * self.a * self.b / (total**2 * (total + 1))

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n n_labels"]:
        """Labels of `n` stars, independent."""
        shape = (n, len(self.label_names))
        unit = jax.random.beta(key, jnp.asarray(self.a), jnp.asarray(self.b), shape)
        uniform = jax.random.uniform(key, shape, unit.dtype)
        flat = (self.a == 1) & (self.b == 1)
        unit = jnp.where(jnp.broadcast_to(flat, shape), uniform, unit)
        return jnp.asarray(self._scaled(unit))

    def quantile(self, unit: Float[np.ndarray, "n n_labels"]) -> Float[np.ndarray, "n n_labels"]:
        """Labels whose cumulative probability is `unit`, label by label (host): for quasi-random points."""
        from scipy.stats import beta

        return np.asarray(self._scaled(beta.ppf(unit, np.asarray(self.a), np.asarray(self.b))))

    def log_density(self, labels: Float[Array | np.ndarray, " n_labels"]) -> Float[Array, ""]:
        """Log of the density in 1/(product of the labels' units); -inf outside the intervals."""
        width = jnp.asarray(self.high - self.low)
        x = (labels - self.low) / width
        inside = ((x >= 0) & (x <= 1)).all()
        safe = jnp.clip(x, 0.0, 1.0)
        log_norm = jax.scipy.special.betaln(jnp.asarray(self.a), jnp.asarray(self.b)) + jnp.log(width)
        density = jax.scipy.special.xlogy(self.a - 1, safe) + jax.scipy.special.xlog1py(self.b - 1, -safe)
        return jnp.where(inside, jnp.sum(density - log_norm), -jnp.inf)

    def _scaled(self, unit: Array | np.ndarray) -> Array | np.ndarray:
        row = (slice(None),) if unit.ndim == 1 else (None, slice(None))
        return self.low[row] + (self.high - self.low)[row] * unit


def make_prior(
    low: Float[np.ndarray, " n_labels"],
    high: Float[np.ndarray, " n_labels"],
    label_names: Sequence[str],
    shapes: Mapping[str, tuple[float, float]] | None = None,
) -> Prior:
    """The prior on a box of labels: uniform, or Beta(a, b) for the labels named in `shapes`.

    Raises:
        UsageError: an unknown label in `shapes`, a shape that is not positive, an interval without length.
    """
    shapes = dict(shapes or {})
    unknown = [name for name in shapes if name not in label_names]
    if unknown:
        raise UsageError(f"prior: unknown label {', '.join(unknown)}; needed one of {', '.join(label_names)}")
    for name, shape in shapes.items():
        if not all(np.isfinite(x) and x > 0 for x in shape):
            raise UsageError(f"prior: Beta({shape[0]:g}, {shape[1]:g}) of {name} needs two positive numbers")
    for name, start, stop in zip(label_names, low, high, strict=True):
        if not start < stop:
            raise UsageError(f"prior: {name} needs low < high, found {start:g} to {stop:g}; fix it instead")
    table = np.array([shapes.get(name, (1.0, 1.0)) for name in label_names], float)
    bounds = (np.asarray(low, float), np.asarray(high, float))
    return Prior(*bounds, table[:, 0], table[:, 1], tuple(label_names))
