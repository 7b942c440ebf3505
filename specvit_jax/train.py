"""The training loop: steps, logging, evaluation, checkpoints, stopping."""

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from crlb.errors import Interrupted, NumericalError, UsageError
from specvit_jax import metrics, parallel
from specvit_jax.checkpoint import Checkpoints, Weights, save_weights
from specvit_jax.config import Config
from specvit_jax.data import Batch
from specvit_jax.progress import Progress
from specvit_jax.run import Run, open_run
from specvit_jax.scaling import Moments, measured_scaler
from specvit_jax.step import (
    Scalers,
    Source,
    TrainState,
    fresh_step,
    make_state,
    predict,
    select,
)

VALIDATION_SEED, SCALING_SEED = 20_251_201, 20_251_202  # the same for every run, so that runs compare


class Best(NamedTuple):
    """The best evaluation so far."""

    r2: float = -np.inf
    step: int = 0


class Result(NamedTuple):
    """How a run ended: steps done, the best validation and its step, the weights it had then."""

    step: int
    best_r2: float
    best_step: int
    weights: Path


def train(
    config: Config,
    source: Source,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    stop: Callable[[int], bool] = lambda step: False,
    devices: Sequence[jax.Device] | None = None,
) -> Result:
    """Trains a network and leaves its weights, checkpoints and metrics in a run directory.

    Args:
        config: of the run.
        source: of its spectra: the emulator or a file.
        out: run directory.
        resume: continue from its newest sound checkpoint, if there is one; bit for bit on the same devices.
        overwrite: delete the run that is there.
        stop: asked after every step; True saves and stops, as SIGTERM, SIGUSR1 and Ctrl-C do.
        devices: to share each batch; default: all of this process.

    Raises:
        Interrupted: stopped early; everything is saved.
        NumericalError: the loss or its gradient is not finite.
        UsageError: the batch does not fit the devices or the file; or the run to continue is another.
        OutputError: the run directory cannot be used.
    """
    devices = jax.local_devices() if devices is None else devices
    rows = training_rows(source, config)
    parallel.shard(batch_index(0, config, rows), len(devices))  # refuses at once what cannot run
    run = open_run(out, config, resume=resume, overwrite=overwrite)
    with Checkpoints(run.checkpoints) as saved, Signals() as signals:
        state, scalers, best = begin(config, source, run, saved if resume else None)
        validation = validation_batch(source, config)
        step = compiled_step(config, tuple(devices))
        spread = parallel.replicate(state, devices)
        shared = parallel.share((source, scalers), devices)
        done, pending = int(state.step), []
        with Progress(done, config) as progress:
            while done < config.train.steps:
                index = parallel.shard(batch_index(done, config, rows), len(devices))
                spread, row = step(spread, *shared, index)
                pending.append(row)
                done += 1
                stopped = stop(done) or bool(signals.received)
                due = (
                    done % every == 0 for every in (config.train.eval_every, config.train.checkpoint_every)
                )
                pause = stopped or done == config.train.steps or any(due)
                if pause or done % config.train.log_every == 0:
                    log_steps(run, progress, done, pending)
                    pending = []
                if pause:
                    state = parallel.first(spread)
                    best, scores = evaluate(state, scalers, validation, config, run, best)
                    progress.evaluated(done, scores)
                    about = {"r2": scores["val_r2"], "best_r2": best.r2, "best_step": best.step}
                    saved.save(done, (state, scalers), about)
                if stopped and done < config.train.steps:
                    saved.wait()
                    cause = signals.received or "request"
                    raise Interrupted(f"stopped by {cause} after step {done}; continue with --resume")
        saved.wait()
    return Result(done, best.r2, best.step, run.weights("best"))


@cache
def compiled_step(config: Config, devices: tuple[jax.Device, ...]) -> Callable[..., Any]:
    """The step over these devices; a second run with the same config compiles nothing."""
    return parallel.parallel_step(partial(fresh_step, config=config, axis=parallel.AXIS), devices)


def begin(
    config: Config, source: Source, run: Run, saved: Checkpoints | None
) -> tuple[TrainState, Scalers, Best]:
    """The state, scalers and best score to start from: fresh, or those of the newest sound checkpoint."""
    state, scalers, best = make_state(config), fit_scalers(source, config), Best()
    found = None if saved is None else saved.restore((state, scalers))
    if found is not None:
        (state, scalers), about, skipped = found
        best = Best(about["best_r2"], int(about["best_step"]))
        for line in skipped:
            print(line, file=sys.stderr)
    run.rewind(int(state.step))
    return state, scalers, best


def log_steps(run: Run, progress: Progress, done: int, pending: list[parallel.Metrics]) -> None:
    """Fetches the metrics of the last steps, writes their mean, and refuses numbers that are not finite.

    Raises:
        NumericalError: naming the steps.
    """
    fetched = [{name: float(value[0]) for name, value in row.items()} for row in jax.device_get(pending)]
    bad = [
        done - len(fetched) + 1 + i for i, row in enumerate(fetched) if not np.isfinite([*row.values()]).all()
    ]
    if bad:
        raise NumericalError(
            f"loss or gradient is not finite at step {bad[0]} ({len(bad)} of the last {len(fetched)} steps); "
            f"the last checkpoint is sound; lower train.learning_rate or train.clip_norm"
        )
    mean = {name: float(np.mean([row[name] for row in fetched])) for name in fetched[0]}
    rate = progress.trained(done, mean["loss"])
    run.log({"step": done, **mean, "spectra_per_s": rate})


def evaluate(
    state: TrainState, scalers: Scalers, validation: Batch, config: Config, run: Run, best: Best
) -> tuple[Best, dict[str, float]]:
    """Scores the network; writes its weights as ``last`` and, when it is the best so far, as ``best``."""
    step, names = int(state.step), config.model.label_names
    truth = np.asarray(validation.labels)
    pred = np.asarray(predict(state.params, validation.flux, scalers, config))
    scores: dict[str, float] = {}
    for i, name in enumerate(names):
        scores[f"val_r2_{name}"] = float(metrics.r2(truth[:, i], pred[:, i]))
        scores[f"val_mae_{name}"] = float(metrics.mae(truth[:, i], pred[:, i]))
    scores["val_r2"] = float(np.mean([scores[f"val_r2_{name}"] for name in names]))
    run.log({"step": step} | scores)
    weights = Weights(jax.device_get(state.params), config, *scalers)
    about = {"step": step, "val_r2": scores["val_r2"]}
    save_weights(run.weights("last"), weights, about)
    if scores["val_r2"] > best.r2:
        save_weights(run.weights("best"), weights, about)
        best = Best(scores["val_r2"], step)
    return best, scores


def fit_scalers(source: Source, config: Config) -> Scalers:
    """Scalers measured on ``data.n_scaling`` observed spectra: the same for every run on this source."""
    count = min(config.data.n_scaling, training_rows(source, config) or config.data.n_scaling)
    batch = observe(source, SCALING_SEED, np.arange(count), config)
    moments = Moments()
    moments.add(np.asarray(batch.flux))
    overall = config.data.input_scaling == "overall"
    return Scalers(measured_scaler(np.asarray(batch.labels)), moments.scaler(overall=overall))


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


class Signals:
    """Notes SIGTERM, SIGUSR1 and Ctrl-C instead of dying of them; a second one has its usual effect."""

    def __init__(self) -> None:
        self.received = ""
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        signal.signal(number, self.before[signal.Signals(number)])
