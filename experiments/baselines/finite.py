"""A training set of a fixed number of spectra that takes no memory: each is simulated whenever it is read."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from experiments.baselines.protocol import Chunk
from specvit_jax import Batch, Simulator
from specvit_jax.spectra.source import CHUNK, Rows

SET_SEED = 31_000  # plus the seed of a run: the key of its training set, and of nothing else
HELD_OUT = 10  # spectra for every one of validation, which are drawn beside them ...
MOST_HELD_OUT = 2000  # ... and no more than these


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class FiniteSet:
    """The first spectra of a simulator under a key of their own, with fresh noise whenever they are read.

    It is to a run what `StoredSpectra` of the same noiseless spectra is, bit for bit.

    Args:
        simulator: of the stars, and of their noise.
        key: of the stars: labels and magnitude of spectrum i follow from it and i alone.
        rows: their number, validation included; an index counts modulo it.
    """

    simulator: Simulator
    key: Key[Array, ""]
    rows: int = field(metadata={"static": True})

    @property
    def label_names(self) -> tuple[str, ...]:
        """Order of the labels in a batch."""
        return self.simulator.label_names

    def sample(self, key: Key[Array, ""], index: Int[Array, " n"]) -> Batch:
        """The spectra of these global indices; under jit the noise of the set's own key is never drawn."""
        stars = self.simulator.sample(self.key, jnp.asarray(index) % self.rows)
        return self.simulator.observer.sample(key, index, Rows(stars.clean, stars.labels, stars.mag))


def finite_set(simulator: Simulator, n: int, seed: int) -> FiniteSet:
    """The training set of a seed: n spectra to train on and, after them, those to validate on."""
    return FiniteSet(simulator, jax.random.key(SET_SEED + seed), n + n_validation(n))


def n_validation(n: int) -> int:
    """Spectra to validate on beside n: as many as `data.n_validation` must say to train on exactly n."""
    return min(n // HELD_OUT, MOST_HELD_OUT)


def chunks_of(source: FiniteSet, start: int, stop: int, column: int) -> Iterator[Chunk]:
    """Spectra start to stop, each observed once, and one of their labels, for baselines."""
    sample, key = jax.jit(FiniteSet.sample), jax.random.fold_in(source.key, source.rows)
    for first in range(start, stop, CHUNK):
        batch = sample(source, key, jnp.arange(first, first + CHUNK))
        left = stop - first
        yield np.asarray(batch.flux[:left]), np.asarray(batch.labels[:left, column : column + 1])
