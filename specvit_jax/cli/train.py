"""`specvit train`: a network trained, or its training continued."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from specvit_jax.cli.arguments import File, Preset, Settings
from specvit_jax.config import Config, preset
from specvit_jax.config_file import override


@dataclass(frozen=True)
class Train:
    """Trains a network; leaves its config, metrics, checkpoints and weights in a run directory.

    SIGTERM, SIGUSR1 and Ctrl-C save and stop; --resume continues as if there had been no stop.

    To copy and paste:
      specvit train tiny --data emulator --out runs/tiny
      specvit train tiny --data train.h5 --out runs/file --steps 5000 --set train.loss=l1 train.min_lr=1e-6
    """

    preset: Preset
    """paper, small or tiny."""
    data: Annotated[str, tyro.conf.arg(metavar="FILE|emulator")]
    """Noiseless spectra: a file in the pfsspec layout (HDF5), or `emulator` for fresh ones in every step."""
    out: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Training steps, over all of which the learning rate falls; default: the preset's."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Seed of the start, the noise, dropout and order; default: the preset's."""
    grid: File = None
    """Grid of model spectra, HDF5; without it the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: File = None
    """Curves of the instrument and the sky, HDF5; without it the built-in ones."""
    mag: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="BRIGHT FAINT")] = None
    """AB magnitudes in i, drawn uniformly (a file brings its own); default: the preset's, 20.5 22.5."""
    set: Settings = ()
    """Other settings, named as in a run's config.yaml."""
    resume: bool = False
    """Continue the run in --out from its newest sound checkpoint."""
    overwrite: bool = False
    """Delete the run in --out first."""

    def config(self) -> Config:
        """The preset with what was asked for on the command line."""
        config = override(preset(self.preset), self.set)
        train = {"steps": self.steps, "seed": self.seed}
        data = {
            "source": self.data,
            "grid": None if self.grid is None else str(self.grid),
            "noise": None if self.noise is None else str(self.noise),
            "mag": self.mag,
        }
        return replace(
            config,
            train=replace(config.train, **_given(train)),
            data=replace(config.data, **_given(data)),
        )

    def __call__(self) -> None:
        config = self.config()
        from specvit_jax.data import make_source
        from specvit_jax.run import check_run
        from specvit_jax.train import train

        check_run(self.out, config, resume=self.resume, overwrite=self.overwrite)
        source = make_source(config.data, config.train.seed)
        result = train(config, source, self.out, resume=self.resume, overwrite=self.overwrite)
        print(
            f"{result.step} steps; best validation R2 {result.best_r2:.4f} at step {result.best_step}: "
            f"{result.weights}"
        )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
