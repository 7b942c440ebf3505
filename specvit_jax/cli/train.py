"""`specvit train`: a network trained, or its training continued."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from crlb.errors import Interrupted, UsageError
from specvit_jax.cli.arguments import File, Settings
from specvit_jax.settings.config import Config, preset
from specvit_jax.settings.config_file import load, override
from specvit_jax.settings.observed_under import conditions_text

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
      specvit train --config runs/tiny/config.yaml --out runs/again
    """

    out: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    preset: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="PRESET")] = None
    """paper, small, tiny, survey or teacher; or --config."""
    data: Annotated[str | None, tyro.conf.arg(metavar="FILE|emulator")] = None
    """Noiseless spectra, HDF5 in the pfsspec layout (a file, several with commas, a shard_index.txt), or
    `emulator` for fresh ones in every step; needed with a preset."""
    config: File = None
    """YAML with any settings, this project's or the original PyTorch system's, instead of a preset."""
    steps: Number = None
    """Training steps, over all of which the learning rate falls; default: the preset's."""
    init_weights: File = None
    """Weights file (say of a run on another grid) to begin with, its scalers as well; of the same network."""
    seed: Number = None
    """Seed of the start, the noise, dropout and order; default: the preset's."""
    grid: File = None
    """Grid of model spectra, HDF5; without it the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: File = None
    """Curves of the instrument and the sky, HDF5; without it the built-in ones."""
    mag: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="BRIGHT FAINT")] = None
    """AB magnitudes in i, drawn uniformly (a file brings its own); default: the preset's, 20.5 22.5."""
    conditions: Annotated[str | None, tyro.conf.arg(metavar="NAME|FILE")] = None
    """What is unknown of a star besides its labels: published (nothing), survey, or a YAML file of
    conditions, which is stored with the run; default: the preset's."""
    set: Settings = ()
    """Other settings, named as in a run's config.yaml."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Of the matrix products; parameters, norms, softmax, head and loss stay float32."""
    parallel: Literal["pmap", "jit"] | None = None
    """How several devices share a batch; default: pmap in one process, jit in several."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Address of process 0 where several processes train together; Slurm tasks find each other without."""
    processes: Number = None
    """How many processes there are."""
    process: Number = None
    """Number of this process, from 0."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard as well, into RUN/tensorboard; needs the extra `tensorboard`."""
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
                    noise=_text(self.noise),
                    mag=self.mag,
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
            self._begin()
        except KeyboardInterrupt:
            if not self.resume:
                raise
            raise Interrupted("stopped before training went on; the same command continues the run") from None

    def _begin(self) -> None:
        config = self.configured()
        self._check(config)
        from specvit_jax.training.parallel import connect, is_first

        connect(self.coordinator, self.processes, self.process)
        text = self.train(config)
        if is_first():
            print(text)

    def _check(self, config: Config) -> None:
        """Refuses what can be refused before jax is loaded; the run directory in the first process only."""
        from specvit_jax.cli.checks import check_config, check_tasks
        from specvit_jax.runs.board import check_tensorboard
        from specvit_jax.runs.directory import check_run

        if self.process is None:
            check_tasks(os.environ)
        if self.tensorboard:
            check_tensorboard()
        check_config(config, self.out if self.overwrite else None)
        number = os.environ.get("SLURM_PROCID", "0") if self.process is None else self.process
        if int(number) == 0:
            check_run(self.out, config, resume=self.resume, overwrite=self.overwrite)

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
            tensorboard=self.tensorboard,
        )
        return (
            f"{result.step} steps; best validation R2 {result.best_r2:.4f} at step {result.best_step}: "
            f"{result.weights}"
        )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
