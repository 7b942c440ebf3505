"""The training loop: steps, logging, evaluation, checkpoints, stopping."""

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from crlb.errors import Abandoned, Interrupted
from specvit_jax.network.inference import Scalers
from specvit_jax.network.weights import Weights, save_weights
from specvit_jax.runs.board import BoardName
from specvit_jax.runs.curves import plot_curves
from specvit_jax.runs.deterministic import check_same_bits
from specvit_jax.runs.directory import Run, open_run
from specvit_jax.runs.inputs import describe_inputs
from specvit_jax.runs.manifest import layout_change, read_manifest
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import to_yaml
from specvit_jax.settings.epochs import in_steps
from specvit_jax.settings.optimizers import optimizer_remarks
from specvit_jax.settings.outputs import score_name
from specvit_jax.spectra.checksums import check_sums
from specvit_jax.spectra.feed import Source, TrainBatch, make_feed, step_index
from specvit_jax.spectra.source import Observer
from specvit_jax.stopping import Signals
from specvit_jax.training import parallel
from specvit_jax.training.checkpoint import Checkpoints
from specvit_jax.training.initial_state import (
    Start,
    begin,
    beginning,
    check_labels,
    check_start,
    initial_weights,
)
from specvit_jax.training.parallel import Layout, make_layout
from specvit_jax.training.progress import Progress
from specvit_jax.training.refusals import bad_scores, bad_steps
from specvit_jax.training.room import check_room
from specvit_jax.training.scores import score, score_names
from specvit_jax.training.step import TrainState, fresh_step
from specvit_jax.training.teacher import Lesson, find_teacher

UNSCORED = -1e9  # validation score of a checkpoint that was saved without being scored
AGREE_EVERY = 10  # steps after which several processes ask each other whether one was told to stop


class Result(NamedTuple):
    """How a run ended: steps done, the best validation and its step, the weights it had then.

    The best is that of the highest R2; of a network that tells two classes apart, of the highest skill.
    """

    step: int
    best_score: float
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
    layout: Layout | None = None,
    log_to: Sequence[BoardName] = (),
) -> Result:
    """Trains a network and leaves its weights, checkpoints and metrics in a run directory.

    Args:
        config: config of the run.
        source: source of its spectra: the emulator or files.
        out: run directory.
        resume: continue from its newest sound checkpoint, if there is one; bit for bit on the same layout.
            More ``train.steps`` than before lengthen it.
        overwrite: delete the run that is there.
        stop: called after every step with its number; True saves and stops, as SIGTERM, SIGUSR1 and Ctrl-C
            do.
        layout: devices that share each batch, and how they are driven; default: that of ``make_layout``.
        log_to: boards that get the metrics beside ``metrics.jsonl``: ``tensorboard``, ``wandb``.

    Raises:
        Interrupted: stopped early; everything is saved.
        NumericalError: the loss, its gradient or a score is not finite.
        UsageError: the batch does not fit the devices, their memory or the file; the run to continue is
            another; processes were started with different settings or files; or as ``initial_weights``,
            ``check_same_bits``.
        DataError: a label has one value in all spectra; a file is not as it was written, or changed since the
            run began; there are weights to continue from, but no checkpoint.
        OutputError, DiskError, RunLocked: the run directory cannot be used, or another process uses it.
    """
    layout, config = layout or make_layout(), in_steps(config, source.rows).config
    layout.check(config.train.batch_size, config.train.accumulate)
    if config.train.deterministic:
        check_same_bits(layout.devices[0].platform, os.environ)
    check_room(config, layout)
    step_index(source, config, 0)  # refuses at once what cannot run
    check_labels(source, config)
    initial, teacher, inputs = initial_weights(config), find_teacher(config), describe_inputs(config)
    begun = resume and read_manifest(Path(out)).inputs is not None
    part = slice(jax.process_index(), None, jax.process_count())
    sums = "" if begun else check_sums(config.data, part)
    parallel.check_alike([*to_yaml(config).splitlines(), f"devices {layout}", *map(str, inputs)])
    opened = open_run(
        out,
        config,
        resume=resume,
        overwrite=overwrite,
        layout=str(layout),
        inputs=inputs,
        log_to=log_to,
    )
    parallel.meet("the run is open")
    with opened as run, Signals() as signals, Checkpoints(run.checkpoints) as saved:
        call = partial(begin, config, source, saved if resume else None, initial)
        start = signals.until(call, "it was set up")
        start = start._replace(teacher=teacher)
        check_start(run, start, config, resume)
        run.rewind(int(start.state.step), scored=start.scored)
        loop = Loop(config, source, run, layout, saved, signals, stop, start)
        with Progress(loop.done, config, shown=parallel.is_first()) as loop.progress:
            changes = layout_change(run.before, str(layout))
            said = (*optimizer_remarks(config.train), *run.notes, sums, changes)
            for line in filter(None, (*said, beginning(loop.done, config, resume))):
                loop.progress.say(line)
            loop.go()
        saved.wait()
        run.finish(loop.done)
        if parallel.is_first():
            plot_curves(run.path)
    return Result(loop.done, loop.best.score, loop.best.step, run.weights("best"))


class Loop:
    """A run in motion; ``go`` trains to the end, or raises where it was stopped."""

    progress: Progress

    def __init__(
        self,
        config: Config,
        source: Source,
        run: Run,
        layout: Layout,
        saved: Checkpoints,
        signals: Signals,
        stop: Callable[[int], bool],
        start: Start,
    ) -> None:
        self.config, self.run, self.layout, self.saved = config, run, layout, saved
        self.signals, self.stop = signals, stop
        self.scalers, self.validation, self.best, self.scored = start[1:5]
        self.source, self.done, self.teacher = source, int(start.state.step), start.teacher
        self.state = layout.replicate(start.state)
        self.step = compiled_step(config, layout)
        self.compiled = False
        self.pending: list[parallel.Metrics] = []

    def go(self) -> None:
        """Trains until all steps are done, validation has stood still for too long, or a stop was asked for.

        Raises:
            Interrupted: stopped; everything is saved.
            NumericalError: the loss or its gradient is not finite.
        """
        if not self.scored and self.due:
            self.pause()  # the stop came before it
        part = self.layout.part(self.config.train.batch_size)
        with make_feed(self.source, self.config, self.done, part=part, place=self.layout.spread) as feed:
            source = feed.shared if self.teacher is None else Lesson(feed.shared, self.teacher)
            shared = self.layout.share((source, self.scalers))
            while self.done < self.config.train.steps and not self.settled:
                self.advance(shared, next(feed))
                self.attend()

    def attend(self) -> None:
        """Logs, scores and saves where these are due after a step; ends the run where it was told to stop."""
        train = self.config.train
        stopped = self.stopped()
        if stopped or self.due or self.done % train.log_every == 0:
            self.log()
        if stopped and self.done < train.steps:
            self.leave()
        if self.due:
            self.pause()

    @property
    def due(self) -> bool:
        """Whether the state is to be scored and saved: what is saved is scored as well."""
        train = self.config.train
        every = (train.eval_every, train.checkpoint_every)
        return self.done == train.steps or any(self.done % steps == 0 for steps in every)

    @property
    def settled(self) -> bool:
        """Whether validation has stood still for as long as early stopping waits."""
        patience = self.config.train.early_stopping
        return patience is not None and self.best.stale >= patience

    def advance(self, shared: tuple[Source | Observer | Lesson, Scalers], batch: TrainBatch) -> None:
        """One step; the first one is compiled before."""
        call = partial(self.step, self.state, *shared, batch)
        if self.compiled:
            self.state, row = call()
        else:
            self.state, row = self.signals.until(call, "the step was compiled")
        self.pending.append(row)
        self.done += 1
        self.scored = False
        if not self.compiled:
            self.compiled = True
            self.progress.compiled(self.done)

    def stopped(self) -> bool:
        """Whether a stop was asked for, in any process."""
        asked = self.stop(self.done) or bool(self.signals.received)
        if jax.process_count() == 1:
            return asked
        return self.done % AGREE_EVERY == 0 and parallel.any_process(asked)

    def leave(self) -> None:
        """Saves the state as it is, and ends the run for now."""
        self.save(self.layout.fetch(self.state), UNSCORED)
        self.saved.wait()
        cause = self.signals.received or "request"
        raise Interrupted(f"stopped by {cause} after step {self.done}; continue with --resume")

    def log(self) -> None:
        """Fetches the metrics of the last steps, writes their mean, and refuses numbers that are not finite.

        Raises:
            NumericalError: naming the step and the spectra of its batch.
        """
        fetched = [jax.tree.map(float, self.layout.fetch(row)) for row in self.pending]
        bad = [i for i, row in enumerate(fetched) if not np.isfinite([*row.values()]).all()]
        if bad:
            before = self.done - len(fetched) + bad[0]
            raise bad_steps(self.source, self.config, before, len(bad), self.saved_step())
        mean = {name: float(np.mean([row[name] for row in fetched])) for name in fetched[0]}
        rate = self.progress.trained(self.done, mean["loss"])
        self.pending = []
        if parallel.is_first():
            self.run.log({"step": self.done, **mean, "spectra_per_s": rate})

    def saved_step(self) -> int | None:
        """The step of the newest checkpoint that is on disk, or None."""
        self.saved.wait()
        return self.saved.latest

    def pause(self) -> None:
        """Scores the network, lowers the learning rate on a plateau, and saves.

        Raises:
            Interrupted: stopped meanwhile; the state is saved, to be scored first when it is resumed.
            NumericalError: a score is not finite; the state is not saved.
        """
        host = self.layout.fetch(self.state)
        scores = self.evaluate(host)
        chosen = scores[score_name(self.config.model.threshold)]
        self.best = self.best.after(chosen, self.done)
        if parallel.is_first():
            self.keep(host, scores)
        self.progress.evaluated(self.done, scores)
        self.scored = True
        self.save(self.slowed(host), chosen)

    def evaluate(self, host: TrainState) -> dict[str, float]:
        """The scores of the state on the validation spectra, the same in all processes.

        Raises:
            Interrupted, NumericalError: as ``pause``.
        """
        names = score_names(self.config)
        values, stopped = np.zeros(len(names)), False
        if parallel.is_first():
            call = partial(score, host.scored, self.scalers, self.validation, self.config)
            try:
                values = self.signals.until(call, f"step {self.done} was scored")
            except Abandoned:
                self.save(host, UNSCORED)
                self.saved.wait()
                if jax.process_count() == 1:
                    raise
                stopped = True
        *found, cut = map(float, parallel.agree(np.array([*values, stopped])))
        if cut:
            raise Interrupted(f"stopped while step {self.done} was scored; continue with --resume")
        scores = dict(zip(names, found, strict=True))
        if not np.isfinite(found).all():
            raise bad_scores(self.done, scores, self.saved_step())
        return scores

    def keep(self, host: TrainState, scores: dict[str, float]) -> None:
        """Writes the scores, and the weights as ``last`` and, when they are the best so far, as ``best``."""
        self.run.log({"step": self.done} | scores)
        weights = Weights(host.scored, self.config, *self.scalers)
        name = score_name(self.config.model.threshold)
        about = {"step": self.done, name: scores[name]}
        for which in ("last", "best") if self.best.step == self.done else ("last",):
            save_weights(self.run.weights(which), weights, about)

    def slowed(self, host: TrainState) -> TrainState:
        """The state, its learning rate lowered where the schedule asks for that."""
        train = self.config.train
        if train.schedule != "plateau" or self.best.slow < train.plateau_patience:
            return host
        lowest = train.min_lr / train.learning_rate
        rate = jnp.float32(max(float(host.rate) * train.plateau_factor, lowest))
        self.best = self.best._replace(slow=0)
        self.state = self.state._replace(rate=self.layout.replicate(rate))
        return host._replace(rate=rate)

    def save(self, host: TrainState, score: float) -> None:
        """Writes a checkpoint in the background; its score has the name r2, whichever it is."""
        self.run.check()
        if self.saved.latest == self.done:
            return  # it was saved without being scored, and this state is the same
        best = {"best_r2": self.best.score, "best_step": self.best.step}
        wait = {"stale": self.best.stale, "slow": self.best.slow}
        about = {"r2": score, "scored": int(score != UNSCORED)} | best | wait
        if parallel.is_first():
            self.saved.save(self.done, (host, self.scalers), about)


@cache
def compiled_step(config: Config, layout: Layout) -> parallel.StepFunction[TrainState]:
    """The step over these devices; a second run with the same config compiles nothing."""
    return layout.compile(partial(fresh_step, config=config, axis=layout.axis))
