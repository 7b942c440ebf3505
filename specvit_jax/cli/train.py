"""`specvit train`: a network trained, or its training continued."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from crlb.detector import DEFAULT_INSTRUMENT
from crlb.errors import EXPECTED, Interrupted, UsageError
from specvit_jax.cli.arguments import File, Settings
from specvit_jax.runs.board import BoardName
from specvit_jax.runs.deterministic import ask_for_same_bits
from specvit_jax.settings.config import Config
from specvit_jax.settings.config_file import load, override, words
from specvit_jax.settings.epochs import in_steps
from specvit_jax.settings.observed_under import conditions_file, conditions_text
from specvit_jax.settings.original_config import reworded
from specvit_jax.settings.presets import preset

Number = Annotated[int | None, tyro.conf.arg(metavar="N")]


@dataclass(frozen=True)
class Train:
    """Trains a network; leaves its config, metrics, checkpoints, weights and curves in a run directory.

    SIGTERM, SIGUSR1 and Ctrl-C save and stop with status 75; --resume continues as if there had been no stop.

    To copy and paste:
      specvit train tiny --data emulator --out runs/tiny
      specvit train tiny --data train.h5 --out runs/file --steps 5000 --set train.loss=nll train.min_lr=1e-6
      specvit train paper --data shards/shard_index.txt --out runs/paper --precision bfloat16 --resume
      specvit train survey --data emulator --out runs/survey
    specvit train tiny --data emulator --instrument gaia-rvs --snr 10 100 --out runs/rvs
      specvit train --config runs/tiny/config.yaml --out runs/again
    """

    out: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    preset: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="PRESET")] = None
    """paper, small, tiny, survey or teacher; default: what --config says."""
    data: Annotated[str | None, tyro.conf.arg(metavar="FILE|emulator")] = None
    """Noiseless spectra, HDF5 in the pfsspec layout (a file, several with commas, a shard_index.txt), or
    `emulator` for fresh ones in every step; default: what --config says, needed with a preset."""
    config: File = None
    """YAML with any settings, this project's or the original PyTorch system's; default: the preset."""
    steps: Number = None
    """Training steps, over all of which the learning rate falls; default: the preset's."""
    init_weights: File = None
    """Weights file (say of a run on another grid) to begin with, its scalers as well; of the same network;
    default: random ones."""
    seed: Number = None
    """Seed of the start, the noise, dropout and order; default: the preset's."""
    grid: File = None
    """Grid of model spectra, HDF5; default: the embedded grid (own LTE synthesis, not BOSZ)."""
    instrument: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE")] = None
    """Spectrograph whose pixels, as far as the grid shows them, are read: a name that `crlb instruments`
    lists, or a YAML file; input_size and wave_range of the network follow; default: the preset's, pfs-mr."""
    noise: File = None
    """Curves of the PFS red arm and the sky, HDF5; default: the built-in ones."""
    snr: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="LOW HIGH")] = None
    """Signal-to-noise ratios per pixel between which the median star lies, instead of magnitudes; needed for
    instruments whose noise of a magnitude is not known; default: --mag counts."""
    mag: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="BRIGHT FAINT")] = None
    """AB magnitudes in i, drawn uniformly (a file brings its own); default: the preset's, 20.5 22.5."""
    population: File = None
    """Draw the stars of a table (CSV, ECSV; columns T_eff in K, log_g, M_H ... in dex), by its column weight
    if it has one; default: as the preset says, uniform over the grid."""
    conditions: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE")] = None
    """What is unknown of a star besides its labels: published (nothing), survey, or a YAML file of
    conditions, which is stored with the run; default: the preset's."""
    set: Settings = ()
    """Other settings, named as in a run's config.yaml; `specvit settings` says all; default: none."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Of the matrix products; parameters, norms, softmax, head and loss stay float32;
    default: the preset's."""
    parallel: Literal["pmap", "jit"] | None = None
    """How several devices share a batch; default: pmap in one process, jit in several."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Address of process 0 where several processes train together; default: found from Slurm, if it is one of
    its tasks."""
    processes: Number = None
    """How many processes there are; default: as Slurm says, else one."""
    process: Number = None
    """Number of this process, from 0; default: as Slurm says."""
    log_to: tuple[BoardName, ...] = ()
    """Log the metrics there as well: tensorboard, into RUN/tensorboard; wandb, to Weights & Biases
    (WANDB_PROJECT, WANDB_NAME, WANDB_RUN_GROUP; into RUN/wandb alone if WANDB_MODE=offline); default: into
    RUN/metrics.jsonl only."""
    resume: bool = False
    """Continue the run in --out from its newest sound checkpoint."""
    overwrite: bool = False
    """Delete the run in --out first."""

    def configured(self) -> Config:
        """The preset or file with what was asked for on the command line.

        Raises:
            UsageError: neither or both of preset and file; no data for a preset.
        """
        if (self.preset is None) == (self.config is None):
            raise UsageError("give either a preset (paper, small, tiny, survey, teacher) or --config FILE")
        if self.config is None and self.data is None:
            raise UsageError("a preset needs --data: a file of spectra, or emulator")
        config = override(self.start(), self.set)
        return replace(
            config,
            model=replace(config.model, **_given(dtype=self.precision)),
            train=replace(
                config.train,
                **_given(steps=self.steps, seed=self.seed, init_weights=_text(self.init_weights)),
            ),
            data=replace(
                config.data,
                **_given(
                    source=self.data,
                    grid=_text(self.grid),
                    instrument=self.instrument,
                    noise=_text(self.noise),
                    snr=self.snr,
                    mag=self.mag,
                    population=_text(self.population),
                    conditions=None if self.conditions is None else conditions_text(self.conditions),
                ),
            ),
        )

    def start(self) -> Config:
        """The preset, or what the file says; notes on what has no meaning here go to stderr."""
        if self.preset is not None:
            return preset(self.preset)
        assert self.config is not None
        config, notes = load(self.config)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        return config

    def __call__(self) -> None:
        try:
            with _named_as_in(self.config):
                self._begin()
        except KeyboardInterrupt:
            if not self.resume:
                raise
            raise Interrupted("stopped before training went on; the same command continues the run") from None

    def _begin(self) -> None:
        config = self._checked(self.configured())
        if config.train.deterministic:
            ask_for_same_bits(os.environ)
        from specvit_jax.training.parallel import connect, is_first

        connect(self.coordinator, self.processes, self.process)
        text = self.train(config)
        if is_first():
            print(text)

    def _checked(self, config: Config) -> Config:
        """The config with its epochs as steps; refuses what can be refused before jax is loaded.

        The run directory is looked at in the first process only.
        """
        from specvit_jax.cli.checks import check_config, check_tasks
        from specvit_jax.runs.board import check_boards
        from specvit_jax.runs.directory import check_run

        if self.process is None:
            check_tasks(os.environ)
        named = {"--config": self.config, "--conditions": conditions_file(self.conditions)}
        check_config(config, self.out if self.overwrite else None, named)
        if config.data.instrument != DEFAULT_INSTRUMENT:
            from specvit_jax.settings.pixels import sized  # loads jax

            config = sized(config)
        config = self._in_steps(config)
        number = os.environ.get("SLURM_PROCID", "0") if self.process is None else self.process
        if int(number) == 0:
            check_run(self.out, config, resume=self.resume, overwrite=self.overwrite)
            check_boards(self.log_to)
        return config

    def _in_steps(self, config: Config) -> Config:
        """The config with its epochs as steps; settings of the training given on the command line stay."""
        from specvit_jax.spectra.shards import count_rows, find_shards

        data = config.data
        emulated = config.train.epochs is None or data.source == "emulator"
        rows = None if emulated else sum(count_rows(find_shards(data.source), data.rows))
        if config.train.epochs is None or (rows is None and self._steps_given):
            return replace(config, train=replace(config.train, epochs=None))
        counted, notes = in_steps(config, rows)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        epochs = ("train.epochs", "train.freeze_input_epochs")
        counted = override(counted, [one for one in self.set if not one.strip().startswith(epochs)])
        return replace(counted, train=replace(counted.train, **_given(steps=self.steps)))

    @property
    def _steps_given(self) -> bool:
        return self.steps is not None or any(one.strip().startswith("train.steps=") for one in self.set)

    def train(self, config: Config) -> str:
        """Trains; how it ended, in words."""
        from specvit_jax.spectra.file_sources import open_source
        from specvit_jax.training.loop import train
        from specvit_jax.training.parallel import is_first, make_layout

        source, kept = open_source(config.data, config.train.seed)
        if is_first():
            print(kept, file=sys.stderr)
        result = train(
            config,
            source,
            self.out,
            resume=self.resume,
            overwrite=self.overwrite,
            layout=make_layout(self.parallel),
            log_to=self.log_to,
        )
        score = "R2" if config.model.threshold is None else "skill"
        return (
            f"{result.step} steps; best validation {score} {result.best_score:.4f} "
            f"at step {result.best_step}: {result.weights}"
        )


@contextmanager
def _named_as_in(file: Path | None) -> Iterator[None]:
    """Errors name settings as a config of the original system does, where that is the file."""
    try:
        yield
    except EXPECTED as error:
        told = str(error) if file is None or not file.is_file() else reworded(str(error), _words(file))
        if told == str(error):
            raise
        raise type(error)(told) from error


def _words(file: Path) -> dict[str, str]:
    """As `words`; none where the file itself is what is wrong."""
    try:
        return words(file)
    except EXPECTED:
        return {}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
