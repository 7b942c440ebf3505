"""What a run begins with: its state, its scalers, the spectra it is validated on."""

import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from crlb.errors import UsageError
from specvit_jax.checkpoint import Checkpoints
from specvit_jax.config import Config
from specvit_jax.data import Batch
from specvit_jax.scaling import fit_input_scaler, fit_label_scaler
from specvit_jax.step import Scalers, Source, TrainState, make_state, select

VALIDATION_SEED, SCALING_SEED = 20_251_201, 20_251_202  # the same for every run, so that runs compare


class Best(NamedTuple):
    """The best evaluation so far, and for how many evaluations it has stood."""

    r2: float = -np.inf
    step: int = 0
    stale: int = 0  # evaluations since
    slow: int = 0  # evaluations since it, or since the learning rate was last lowered

    def after(self, r2: float, step: int) -> "Best":
        """The best once this evaluation is in."""
        return Best(r2, step) if r2 > self.r2 else self._replace(stale=self.stale + 1, slow=self.slow + 1)


class Start(NamedTuple):
    """What a run begins with: fresh, or from a checkpoint."""

    state: TrainState
    scalers: Scalers
    validation: Batch
    best: Best = Best()
    scored: bool = True  # whether this very state has been scored, or need not be


def begin(config: Config, source: Source, saved: Checkpoints | None) -> Start:
    """Scalers and validation spectra, with the state of the newest sound checkpoint or a fresh one."""
    state, scalers = make_state(config), fit_scalers(source, config)
    validation = validation_batch(source, config)
    found = None if saved is None else saved.restore((state, scalers))
    if found is None:
        return Start(state, scalers, validation)
    (state, scalers), about, skipped = found
    for line in skipped:
        print(line, file=sys.stderr)
    best = Best(about["best_r2"], *(int(about[name]) for name in ("best_step", "stale", "slow")))
    return Start(state, scalers, validation, best, bool(about["scored"]))


def fit_scalers(source: Source, config: Config) -> Scalers:
    """Scalers measured on ``data.n_scaling`` observed spectra: the same for every run on this source."""
    count = min(config.data.n_scaling, training_rows(source, config) or config.data.n_scaling)
    batch = observe(source, SCALING_SEED, np.arange(count), config)
    noisy, clean, error, labels = map(np.asarray, (batch.flux, batch.clean, batch.error, batch.labels))
    return Scalers(
        fit_label_scaler(labels, config.data.label_scaling),
        fit_input_scaler(noisy, clean, error, config.data),
    )


def validation_batch(source: Source, config: Config) -> Batch:
    """The validation spectra, observed once; of a file, its last rows, which are not trained on."""
    start = training_rows(source, config) or 0
    count = config.data.n_validation if source.rows is None else source.rows - start
    return observe(source, VALIDATION_SEED, np.arange(start, start + count), config)


def observe(source: Source, seed: int, index: Int[np.ndarray, " n"], config: Config) -> Batch:
    """Spectra of a source under a key of their own."""
    return select(_sample(source, jax.random.key(seed), jnp.asarray(index)), source.label_names, config)


@jax.jit
def _sample(source: Source, key: Key[Array, ""], index: Int[Array, " n"]) -> Batch:
    return source.sample(key, index)


def training_rows(source: Source, config: Config) -> int | None:
    """Rows of a file to train on: all but ``data.n_validation``, or but a tenth if that is fewer."""
    return None if source.rows is None else source.rows - min(config.data.n_validation, source.rows // 10)


def batch_index(step: int, config: Config, rows: int | None) -> Int[np.ndarray, " batch"]:
    """The spectra of the batch after ``step`` steps: a function of the seed and the step alone.

    Those of the emulator are numbered within the batch, as its key changes every step. The rows of a file are
    shuffled anew every epoch, and an incomplete last batch is left out.

    Raises:
        UsageError: the file has fewer rows than a batch.
    """
    size = config.train.batch_size
    if rows is None:
        return np.arange(size, dtype=np.int32)
    if rows < size:
        raise UsageError(f"train.batch_size must be at most the {rows} spectra to train on, got {size}")
    epoch, place = divmod(step, rows // size)
    order = np.random.default_rng((config.train.seed, epoch)).permutation(rows)
    return order[place * size : (place + 1) * size].astype(np.int32)
