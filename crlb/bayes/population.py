"""Stars of a table as what is known of labels before a spectrum is seen: each star as probable as its weight.

    prior(labels) = sum_k w_k delta(labels - labels_k)

The table is taken as it is. Where it samples something smooth, `smoothed` draws from the kernel density

    prior(labels) = sum_k w_k N(labels_k, diag(sigma^2)),    cut at the edges of a box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from crlb.errors import DataError, UsageError
from crlb.readers.star_table import StarTable
from crlb.suggest import meant

MOST_STARS = 100_000  # of a table: as many spectra are compared with each simulated star
SMOOTHED = 16_384  # stars drawn from a kernel density
TRIES = 100  # to draw each of them inside the box


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Population:
    """Stars with their labels; a pytree. `make_population` makes it of a table.

    Args:
        labels: of every star, in the labels' units.
        weight: probability of every star, of sum one.
        label_names: one name per label.
        mag: AB magnitude in i of every star; None: the table has none.
    """

    labels: Float[Array | np.ndarray, "n n_labels"]
    weight: Float[Array | np.ndarray, " n"]
    label_names: tuple[str, ...] = field(metadata={"static": True})
    mag: Float[Array | np.ndarray, " n"] | None = None

    @property
    def n(self) -> int:
        """Number of stars."""
        return len(self.weight)

    @property
    def low(self) -> Float[np.ndarray, " n_labels"]:
        """Lowest value of every label."""
        found: np.ndarray = np.asarray(self.labels).min(axis=0)
        return found

    @property
    def high(self) -> Float[np.ndarray, " n_labels"]:
        """Highest value of every label."""
        found: np.ndarray = np.asarray(self.labels).max(axis=0)
        return found

    @property
    def mean(self) -> Float[np.ndarray, " n_labels"]:
        """Weighted mean of every label."""
        found: np.ndarray = np.asarray(self.weight) @ np.asarray(self.labels)
        return found

    @property
    def variance(self) -> Float[np.ndarray, " n_labels"]:
        """Weighted variance of every label, unit^2."""
        found: np.ndarray = np.asarray(self.weight) @ (np.asarray(self.labels) - self.mean) ** 2
        return found

    @property
    def median_mag(self) -> float:
        """Weighted median of the magnitudes; UsageError where the table has none."""
        if self.mag is None:
            raise UsageError("mags: the population has no magnitudes of its own (column mag); give some")
        weight = np.asarray(self.weight)
        return float(np.percentile(np.asarray(self.mag), 50, weights=weight, method="inverted_cdf"))

    def rows(self, key: Key[Array, ""], n: int) -> Int[Array, " n"]:
        """Row numbers of `n` stars, drawn with replacement by their weights."""
        edges = jnp.cumsum(jnp.asarray(self.weight))
        uniform = jax.random.uniform(key, (n,), edges.dtype)
        return jnp.minimum(jnp.searchsorted(edges, uniform * edges[-1], side="right"), len(edges) - 1)

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n n_labels"]:
        """Labels of `n` stars, drawn with replacement by their weights."""
        return jnp.asarray(self.labels)[self.rows(key, n)]

    def smoothed(
        self,
        sigma: Mapping[str, float],
        box: tuple[Float[np.ndarray, " n_labels"], Float[np.ndarray, " n_labels"]],
        *,
        n: int = SMOOTHED,
        seed: int = 0,
    ) -> "Population":
        """Returns `n` stars of equal weight drawn from the table's stars with Gaussian kernels.

        A star outside the box is drawn again, kernel and all.

        Args:
            sigma: widths by label, in its unit; labels left out are not moved.
            box: lower and upper edges of the labels.
            n: number of stars.
            seed: same seed, same stars.

        Raises:
            UsageError: an unknown label, a width that is not positive, or kernels that lie outside the box.
        """
        widths = self._widths(sigma)
        random, found = np.random.default_rng(seed), np.zeros((0, len(widths)))
        for _ in range(TRIES):
            rows = random.choice(self.n, n, p=np.asarray(self.weight))
            stars = np.asarray(self.labels)[rows] + widths * random.standard_normal((n, len(widths)))
            inside = ((stars >= box[0]) & (stars <= box[1])).all(axis=1)
            found = np.concatenate([found, stars[inside]])
            if len(found) >= n:
                return Population(found[:n], np.full(n, 1 / n), self.label_names)
        raise UsageError(
            "population_smooth: kernels lie outside the grid nearly everywhere; make them narrower"
        )

    def _widths(self, sigma: Mapping[str, float]) -> Float[np.ndarray, " n_labels"]:
        for name, width in sigma.items():
            if name not in self.label_names:
                raise UsageError(
                    f"population_smooth: unknown label {name}: needed one of {', '.join(self.label_names)}"
                    f"{meant(name, self.label_names)}"
                )
            if not 0 < width < np.inf:
                raise UsageError(f"population_smooth of {name} must be positive and finite, found {width:g}")
        return np.array([sigma.get(name, 0.0) for name in self.label_names])


def make_population(
    table: StarTable,
    label_names: Sequence[str],
    low: Float[np.ndarray, " n_labels"],
    high: Float[np.ndarray, " n_labels"],
    *,
    drop_outside: bool = False,
) -> tuple[Population, int]:
    """Returns the stars of a table within a box of labels, and how many others were left out.

    Args:
        table: of stars.
        label_names: labels that are wanted, in this order.
        low: lower edge of every label, in its unit.
        high: upper edge.
        drop_outside: leave out stars outside the box instead of refusing them.

    Raises:
        DataError: a label has no column; stars outside the box, by label; none left; more than 100,000; a
            weight that is negative, or none that is positive.
    """
    if missing := [name for name in label_names if name not in table.columns]:
        raise DataError(
            f"population {table.path}: needed a column for {', '.join(missing)}, found "
            f"{', '.join(table.columns)}; add it, or hold the label with --fix"
        )
    labels = np.stack([table.columns[name] for name in label_names], axis=1)
    inside = _inside(table, labels, label_names, low, high, drop_outside)
    weight = _weights(table)[inside]
    if not 0 < len(weight) <= MOST_STARS:
        raise DataError(
            f"population {table.path}: needed 1 to {MOST_STARS:,} stars within the grid, found "
            f"{len(weight):,}{'; take every tenth, say' if len(weight) else ''}"
        )
    mag = table.columns["mag"][inside] if "mag" in table.columns else None
    found = Population(labels[inside], weight / weight.sum(), tuple(label_names), mag)
    return found, int((~inside).sum())


def within_box(
    labels: Float[np.ndarray, "n n_labels"],
    low: Float[np.ndarray, " n_labels"],
    high: Float[np.ndarray, " n_labels"],
) -> Bool[np.ndarray, " n"]:
    """Returns which stars lie within a box of labels, its edges included."""
    return np.asarray(((labels >= low) & (labels <= high)).all(axis=1))


def _inside(
    table: StarTable,
    labels: Float[np.ndarray, "n n_labels"],
    names: Sequence[str],
    low: np.ndarray,
    high: np.ndarray,
    drop: bool,
) -> np.ndarray:
    """Which stars lie within the box; refuses others unless they may be dropped."""
    outside = (labels < np.asarray(low)) | (labels > np.asarray(high))
    if outside.any() and not drop:
        words = [
            f"{int(count)} in {name} ({labels[:, i].min():g} to {labels[:, i].max():g}, the grid has "
            f"{low[i]:g} to {high[i]:g})"
            for i, (name, count) in enumerate(zip(names, outside.sum(axis=0), strict=True))
            if count
        ]
        raise DataError(
            f"population {table.path}: {int(outside.any(axis=1).sum())} of {len(labels)} stars lie outside "
            f"the grid: {'; '.join(words)}; take a wider grid, or leave them out "
            "(--population-outside drop)"
        )
    return within_box(labels, low, high)


def _weights(table: StarTable) -> Float[np.ndarray, " n"]:
    weight = table.columns.get("weight", np.ones(table.n))
    if (weight < 0).any() or not (weight > 0).any():
        row = int(np.argmin(weight))
        raise DataError(
            f"population {table.path}: weight must be 0 or more, and positive somewhere, found "
            f"{weight[row]:g} in star {row + 1}"
        )
    return weight
