"""How the labels of simulated stars are drawn: uniform, or as in the published data.

A prior has `draw(key, n) -> (n, n_labels)`, pure and jittable; `crlb.bayes.prior.Prior`, the Beta
distributions, and `crlb.bayes.population.Population`, the stars of a table, are drawn the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from crlb.errors import UsageError


@dataclass(frozen=True)
class LabelsDrawn:
    """How the labels of simulated stars are drawn, in words; a simulator makes a prior of it.

    Args:
        sampling: continuous, or snapped: on nodes of the grid but for one random label of each star.
        ranges: label -> (low, high) in the label's unit; labels left out span the grid.
        beta: label -> (a, b) of its Beta distribution over its range; uniform where left out.
        population: table of stars whose labels are drawn instead, by their weights; None: none.
        own_mags: whether the magnitudes of the table are drawn with them.
        drop_outside: whether stars of the table outside the grid are left out; otherwise an error.
    """

    sampling: str = "continuous"
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    beta: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    population: str | None = None
    own_mags: bool = False
    drop_outside: bool = False


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Uniform:
    """Labels uniform in a box, independent; where both edges are equal the label is constant.

    Args:
        low: lower edge of every label, in its unit.
        high: upper edge of every label, in its unit.
    """

    low: Float[Array, " n_labels"]
    high: Float[Array, " n_labels"]

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n n_labels"]:
        """Labels of `n` stars."""
        shape = (n, len(self.low))
        return jax.random.uniform(key, shape, self.low.dtype, minval=self.low[None], maxval=self.high[None])


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Snapped:
    """Labels on nodes of the grid but for one: as the published spectra were drawn.

    For every star one of the varying labels, any with equal chance, is uniform in its range; the others
    stand on nodes, any with equal chance. With five labels 80 % of the values of each are nodes.

    Args:
        box: the ranges of the labels.
        nodes: nodes of every label within its range; rows are filled up at the end.
        counts: number of nodes of every label.
        varying: places of the labels that may be the continuous one.
    """

    box: Uniform
    nodes: Float[Array, "n_labels most"]
    counts: Int[Array, " n_labels"]
    varying: Int[Array, " n_varying"]

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, "n n_labels"]:
        """Labels of `n` stars."""
        free_key, node_key, value_key = jax.random.split(key, 3)
        place = jnp.arange(len(self.counts))[None]
        node = jax.random.randint(node_key, (n, len(self.counts)), 0, self.counts[None])
        free = self.varying[jax.random.randint(free_key, (n,), 0, len(self.varying))]
        return jnp.where(place == free[:, None], self.box.draw(value_key, n), self.nodes[place, node])


def make_snapped(
    axes: Sequence[Sequence[float]],
    low: Float[np.ndarray, " n_labels"],
    high: Float[np.ndarray, " n_labels"],
    label_names: Sequence[str],
) -> Snapped:
    """The snapped prior on these ranges of a grid with these axes.

    Raises:
        UsageError: a range that holds no node, or no label that varies.
    """
    inside = []
    for name, axis, start, stop in zip(label_names, axes, low, high, strict=True):
        nodes = [node for node in axis if start <= node <= stop] if start < stop else [start]
        if not nodes:
            raise UsageError(
                f"prior snapped: the range of {name}, {start:g} to {stop:g}, holds none of the grid's nodes "
                f"{', '.join(f'{node:g}' for node in axis)}; widen it"
            )
        inside.append(nodes)
    varying = np.flatnonzero(np.asarray(low) < np.asarray(high))
    if not len(varying):
        raise UsageError(f"prior snapped: needs a label that varies, but the ranges hold all: {list(low)}")
    most = max(map(len, inside))
    table = np.array([nodes + nodes[-1:] * (most - len(nodes)) for nodes in inside])
    counts = jnp.asarray([len(nodes) for nodes in inside])
    box = Uniform(jnp.asarray(low), jnp.asarray(high))
    return Snapped(box, jnp.asarray(table), counts, jnp.asarray(varying))
