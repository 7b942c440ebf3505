"""The forward model of baselines that know it, by name: grid and noise file, exposure, order of labels."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Float

from crlb import Emulator, Exposure, ForwardModel
from crlb.errors import DataError
from crlb.files.input import sha256
from crlb.files.spectra import label_columns
from experiments.baselines.protocol import Arrays, Chunk, checked
from experiments.study.stars import source_files
from specvit_jax import Simulator, make_simulator


@dataclass(frozen=True)
class Forward:
    """Emulator and noise, made from their files when first needed.

    Args:
        grid: grid file, vacuum Å; "": the embedded grid.
        noise: noise file; "": the built-in curves.
        label_names: labels to return, in this order; (): all that vary.
        varied: labels that vary, the others held at 0; (): all of the grid's but a_M and C_M.
        exposure: number and length of exposures, seeing.
        checksums: of the files when the model was stored; (): it was not.
    """

    grid: str = ""
    noise: str = ""
    label_names: tuple[str, ...] = ()
    varied: tuple[str, ...] = ()
    exposure: Exposure = Exposure()
    checksums: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def simulator(self) -> Simulator:
        """What training spectra of this grid and noise are drawn from.

        Raises:
            DataError: a file is not what it was when the model was stored.
        """
        found = make_simulator(
            self.grid or None, self.noise or None, exposure=self.exposure, labels=self.varied or None
        )
        for path, known in zip(self.files, self.checksums, strict=False):  # none known if never stored
            if sha256(path) != known:
                raise DataError(f"{path} has changed since this baseline was stored; store it anew with: fit")
        return found

    @property
    def files(self) -> list[Path]:
        """Returns the grid and noise files that spectra are made from."""
        return source_files(Path(self.grid) if self.grid else None, Path(self.noise) if self.noise else None)

    @property
    def emulator(self) -> Emulator:
        """Flux on the detector's pixels."""
        return self.simulator.emulator

    @property
    def model(self) -> ForwardModel:
        """How stars are seen."""
        return self.simulator.model

    @property
    def columns(self) -> list[int]:
        """Columns of the emulator's labels that are returned."""
        return label_columns(self.emulator.label_names, self.label_names or self.emulator.label_names)

    def fixed_by(self, name: str, validation: Chunk) -> Self:
        """The model with the order of its labels settled, once labels to be predicted agree with it.

        Raises:
            DataError: another number of labels, or values outside the grid.
        """
        labels, names = checked(validation)[1], [self.emulator.label_names[i] for i in self.columns]
        if labels.shape[1] != len(names):
            raise DataError(
                f"{name} returns {', '.join(names)}, but there are {labels.shape[1]} labels to fit; "
                "name them in label_names"
            )
        low, high = self.emulator.low[self.columns], self.emulator.high[self.columns]
        slack = 1e-5 * (high - low)  # float32 copies of edges
        outside = (labels < low - slack) | (labels > high + slack)
        if outside.any():
            star, i = np.argwhere(outside)[0]
            raise DataError(
                f"{names[i]} must lie within the grid, {low[i]:g} to {high[i]:g}, found {labels[star, i]:g}; "
                "is label_names in the order of the labels?"
            )
        return replace(self, label_names=tuple(names))

    def arrays(self) -> Arrays:
        """What `restore` needs."""
        return {
            "grid": np.array(self.grid),
            "noise": np.array(self.noise),
            "label_names": np.array(self.label_names, str),
            "varied": np.array(self.varied, str),
            "exptime_s": np.array(self.exposure.exptime_s),
            "n_exp": np.array(self.exposure.n_exp),
            "seeing_arcsec": np.array(self.exposure.seeing_arcsec),
            "checksums": np.array([sha256(path) for path in self.files], str),
        }

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """The model of `arrays`; its files are read when first needed."""
        return cls(
            str(arrays["grid"]),
            str(arrays["noise"]),
            tuple(arrays["label_names"].tolist()),
            tuple(arrays["varied"].tolist()),
            Exposure(float(arrays["exptime_s"]), int(arrays["n_exp"]), float(arrays["seeing_arcsec"])),
            tuple(arrays["checksums"].tolist()),
        )


EMBEDDED = Forward()


def check_stars(
    flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"], model: ForwardModel
) -> None:
    """Refuses stars that cannot be compared with a forward model.

    Raises:
        DataError: no stars, other pixels than the model's, values that are not finite.
    """
    n_pix = len(model.wave)
    if flux.ndim != 2 or not len(flux) or flux.shape[1] != n_pix:
        raise DataError(f"flux must hold at least one spectrum of {n_pix} pixels, found {flux.shape}")
    if mag.shape != flux.shape[:1]:
        raise DataError(f"mag must hold one magnitude for each of {len(flux)} spectra, found {mag.shape}")
    if not (np.isfinite(flux).all() and np.isfinite(mag).all()):
        raise DataError("flux and mag must be finite, found values that are not")
