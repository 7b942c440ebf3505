"""The beginning of a run: its state, its scalers, the spectra it is validated on."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from crlb.errors import DataError, UsageError
from specvit_jax.network.find import trained_steps
from specvit_jax.network.inference import Scalers
from specvit_jax.network.input_layer import NAME, taken_out
from specvit_jax.network.standardise import (
    SkyLeft,
    fit_input_scaler,
    fit_label_scaler,
    kept_arrays,
    measured_under,
)
from specvit_jax.network.weights import Weights, load_weights
from specvit_jax.runs.directory import Run
from specvit_jax.settings.config import Config
from specvit_jax.settings.observed_under import say_other_conditions
from specvit_jax.settings.pixels import pixels_read
from specvit_jax.spectra.feed import Source, training_rows
from specvit_jax.spectra.file_sources import FedSpectra, StoredSpectra, stored_validation
from specvit_jax.spectra.pixels import check_pixels
from specvit_jax.spectra.priors import Snapped
from specvit_jax.spectra.ranges import parse_ranges
from specvit_jax.spectra.source import Batch, Simulator, label_columns, read_spectra
from specvit_jax.spectra.stored_noise import say_noise
from specvit_jax.training import parallel
from specvit_jax.training.checkpoint import Checkpoints
from specvit_jax.training.step import TrainState, make_state, random_params, select
from specvit_jax.training.teacher import Teacher

VALIDATION_SEED, SCALING_SEED = 20_251_201, 20_251_202  # the same for every run, so that runs compare


class Best(NamedTuple):
    """The best evaluation so far, and for how many evaluations it has stood."""

    score: float = -np.inf  # the one of `settings.outputs.score_name`
    step: int = 0
    stale: int = 0  # evaluations since
    slow: int = 0  # evaluations since it, or since the learning rate was last lowered

    def after(self, score: float, step: int) -> "Best":
        """The best once this evaluation is in."""
        if score > self.score:
            return Best(score, step)
        return self._replace(stale=self.stale + 1, slow=self.slow + 1)


class Start(NamedTuple):
    """State, scalers and validation spectra that a run begins with, fresh or from a checkpoint."""

    state: TrainState
    scalers: Scalers
    validation: Batch
    best: Best = Best()
    scored: bool = True  # whether this very state has been scored, or need not be
    teacher: Teacher | None = None  # whose predictions are learned instead of the labels


def begin(config: Config, source: Source, saved: Checkpoints | None, initial: Weights | None = None) -> Start:
    """Scalers and validation spectra, with the state of the newest sound checkpoint or a fresh one.

    A fresh one has the `initial` weights and their scalers, or random weights and scalers measured here.
    """
    if initial is None:
        state, scalers = _measured_start(config, source)
    else:
        state, scalers = make_state(config, initial.params), Scalers(*initial[2:])
    validation = validation_batch(source, config)
    check_pixels(config, validation.flux.shape[1])
    found = None if saved is None else saved.restore((state, scalers))
    if found is None:
        return Start(state, scalers, validation)
    (state, scalers), about, skipped = found
    for line in skipped:
        print(line, file=sys.stderr)
    best = Best(about["best_r2"], *(int(about[name]) for name in ("best_step", "stale", "slow")))
    return Start(state, scalers, validation, best, bool(about["scored"]))


def _measured_start(config: Config, source: Source) -> tuple[TrainState, Scalers]:
    """Random weights and scalers measured here; an input layer begins as their whitening."""
    scalers = measured_scalers(source, config)
    if config.model.input_layer == "none":
        return make_state(config), scalers
    scaler, layer = taken_out(scalers.input)
    layer = jax.tree.map(parallel.agree, layer)
    return make_state(config, random_params(config) | {NAME: layer}), scalers._replace(input=scaler)


def check_labels(source: Source, config: Config) -> None:
    """Refuses labels with one value in all spectra, or one class, before a run begins: they have no score.

    Raises:
        DataError: naming the label and where its spectra are.
        MissingInputError, UsageError: as ``stored_validation``.
    """
    for where, labels in _label_sets(source, config):
        if len(labels) < 2:
            raise DataError(f"{where} must hold at least two spectra, found {len(labels)}; take more")
        for name, column in zip(config.model.label_names, labels.T, strict=True):
            if (column == column[0]).all():
                raise DataError(
                    f"{where} must hold different values of every label, but {name} is {column[0]:g} in all "
                    f"{len(column)} spectra; take others, or leave {name} out of model.label_names"
                )
            _check_classes(where, name, column, config.model.threshold)


def _check_classes(where: str, name: str, column: Float[np.ndarray, " n"], threshold: float | None) -> None:
    """Refuses a threshold that has all values of a label on one side."""
    if threshold is not None and len(set((column > threshold).tolist())) < 2:
        raise DataError(
            f"{where} must hold {name} below and above model.threshold {threshold:g}, but it is "
            f"{column.min():g} to {column.max():g}; take a threshold in between, or other spectra"
        )


def _label_sets(source: Source, config: Config) -> Iterator[tuple[str, Float[np.ndarray, "n n_labels"]]]:
    """The labels to be learned and to be scored, with words for where they are; drawn ones by their range."""
    names, rows = config.model.label_names, training_rows(source, config)
    if isinstance(source, StoredSpectra | FedSpectra) and set(names) <= set(source.label_names):
        labels = source.labels[:, label_columns(source.label_names, names)]
        yield f"data.source {config.data.source}", labels[:rows]
        if config.data.validation is None:
            yield (
                f"the last {len(labels) - (rows or 0)} spectra of data.source, kept for validation,",
                labels[rows:],
            )
    elif config.data.source == "emulator":
        yield "data.ranges", _drawn_ranges(source, config)
    if config.data.validation is not None:
        path, rows = config.data.validation, config.data.validation_rows
        found = read_spectra(path, need=(), wave=pixels_read(config).wave, rows=rows)
        yield f"data.validation {path}", found.select(names)


def _drawn_ranges(source: Source, config: Config) -> Float[np.ndarray, "2 n_labels"]:
    """Lowest and highest value of each label that is drawn; without a prior those of data.ranges."""
    names = config.model.label_names
    if isinstance(source, Simulator) and set(names) <= set(source.label_names):
        box = source.prior.box if isinstance(source.prior, Snapped) else source.prior
        columns = label_columns(source.label_names, names)
        return np.stack([np.asarray(box.low), np.asarray(box.high)])[:, columns]
    ranges = parse_ranges(config.data.ranges)
    return np.array([ranges.get(name, (-np.inf, np.inf)) for name in names]).T


def check_start(run: Run, start: Start, config: Config, resume: bool) -> None:
    """Refuses to begin where processes found different things, or where better weights would be lost.

    Raises:
        UsageError, DataError: as ``check_alike``, ``check_nothing_lost``.
    """
    step = int(start.state.step)
    sight = "in sight" if (run.path / "config.yaml").exists() else "not in sight"
    parallel.check_alike([f"the run directory {sight}", f"step {step} to go on from"])
    if resume and not step:
        check_nothing_lost(run.weights("last"), config)


def beginning(step: int, config: Config, resume: bool) -> str:
    """A line on where a run begins, or goes on."""
    if step:
        return f"goes on after step {step} of {config.train.steps}"
    return f"{'no checkpoint to go on from: ' if resume else ''}begins at step 0 of {config.train.steps}"


def check_nothing_lost(last: Path, config: Config) -> None:
    """Refuses to begin a run at step 0 over weights that a beginning would not bring back.

    Those of the first evaluation it does: they are written just before the first checkpoint.

    Args:
        last: the weights of the run's last evaluation.
        config: config of the run.

    Raises:
        DataError: they are of a later one, or damaged.
    """
    train = config.train
    if not last.exists():
        return
    step = trained_steps(last)
    if step > min(train.steps, train.eval_every, train.checkpoint_every):
        raise DataError(
            f"--resume finds no checkpoint, but {last} of step {step}, which a run from step 0 would "
            "replace; put the checkpoints back, or begin elsewhere with that file as --init-weights"
        )


def initial_weights(config: Config) -> Weights | None:
    """The weights of ``train.init_weights``, where that is set.

    Raises:
        MissingInputError, DataError: as ``load_weights``.
        UsageError: they belong to another network, or to spectra whitened in another way.
    """
    if config.train.init_weights is None:
        return None
    weights = load_weights(config.train.init_weights)
    there, here = fixed_settings(weights.config), fixed_settings(config)
    wrong = [
        f"{name}={there[name]} there and {here[name]} here" for name in here if there[name] != here[name]
    ]
    if wrong:
        raise UsageError(
            f"train.init_weights (--init-weights) must be those of the network to train, but "
            f"{config.train.init_weights} has {'; '.join(wrong)}"
        )
    return weights


def fixed_settings(config: Config) -> dict[str, object]:
    """The settings that weights and scalers belong to, by their dotted name."""
    free = ("dropout", "attention_dropout", "dtype")
    model = {f"model.{key}": value for key, value in asdict(config.model).items() if key not in free}
    data = config.data
    return model | {
        "data.preprocess": data.preprocess,
        "data.components": None if data.preprocess == "none" else data.components,
        "data.noise_component": data.noise_component,
        "arrays of the scaler": ", ".join(kept_arrays(config, 0)) or "none",
    }


def fit_scalers(source: Source, config: Config) -> Scalers:
    """The scalers of a run, without the whitening that is an input layer of its network."""
    found = measured_scalers(source, config)
    if config.model.input_layer == "none":
        return found
    return found._replace(input=taken_out(found.input)[0])


def measured_scalers(source: Source, config: Config) -> Scalers:
    """Scalers measured on ``data.n_scaling`` observed spectra: the same for every run on this source.

    The input scaler whitens where the data are whitened, or where the network has an input layer.
    """
    count = min(config.data.n_scaling, training_rows(source, config) or config.data.n_scaling)
    batch = observe(source, SCALING_SEED, np.arange(count), config)
    noisy, clean, labels = map(np.asarray, (batch.flux, batch.clean, batch.labels))
    usable = None if batch.usable is None else np.asarray(batch.usable)
    level = sky = None
    if isinstance(source, Simulator | StoredSpectra | FedSpectra):
        level, sky = source.observer.level_weights, source.observer.sky_left(batch)
    return Scalers(
        fit_label_scaler(labels, config.data.label_scaling),
        fit_input_scaler(
            noisy,
            clean,
            np.asarray(batch.error),
            measured_under(config),
            usable=usable,
            level=level,
            sky=None if sky is None else SkyLeft(*sky),
        ),
    )


def validation_batch(source: Source, config: Config) -> Batch:
    """The validation spectra: those of a file, as observed there, or drawn and observed once.

    Where spectra come from files, their last rows are kept for validation and are not trained on.
    """
    if config.data.validation is not None:
        data, names = config.data, config.model.label_names
        say_other_conditions(config.data.validation, data.conditions)
        say_noise(config.data.validation, data.noise_level)
        return stored_validation(
            config.data.validation,
            names,
            level=data.noise_level,
            rows=data.validation_rows,
            wave=pixels_read(config).wave,
        )
    start = training_rows(source, config) or 0
    count = config.data.n_validation if source.rows is None else source.rows - start
    return observe(source, VALIDATION_SEED, np.arange(start, start + count), config)


def observe(source: Source, seed: int, index: Int[np.ndarray, " n"], config: Config) -> Batch:
    """Spectra of a source under a key of their own."""
    sample = source.sample if isinstance(source, FedSpectra) else partial(_sample, source)
    return select(sample(jax.random.key(seed), jnp.asarray(index)), source.label_names, config)


@jax.jit
def _sample(source: Source, key: Key[Array, ""], index: Int[Array, " n"]) -> Batch:
    return source.sample(key, index)
