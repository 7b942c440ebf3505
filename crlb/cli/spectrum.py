"""`crlb spectrum`: one star's model spectrum with its noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float

from crlb.cli.checks import check_suffix
from crlb.cli.output import write_csv, write_outputs
from crlb.cli.star import StarOptions
from crlb.files.observed import MODEL_UNIT
from crlb.files.records import Record

TABLES = (".csv", ".ecsv", ".h5")
COLUMNS = ("wave", "flux", "error", "noisy")


@dataclass(frozen=True, kw_only=True)
class Spectrum(StarOptions):
    """Writes one star's model spectrum with its noise: wave, flux, error and one noisy draw.

    To copy and paste:
      crlb spectrum --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 21.5 --out star.csv
      crlb spectrum --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --seed 7 --out star.h5
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Table to create: .csv, .ecsv (astropy's text table) or .h5 (the pfsspec layout)."""
    seed: int = 0
    """Seed of the noise."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def check(self) -> None:
        """Refuses what `StarOptions.check` does, and a table of another format."""
        super().check()
        check_suffix("--out", self.out, TABLES)

    def __call__(self) -> None:
        from crlb.files.console import console

        found = self._compute()
        writers = {".csv": found.write_csv, ".ecsv": found.write_ecsv, ".h5": found.write_hdf5}
        write_outputs({self.out: writers[self.out.suffix]}, self.overwrite)
        console().print(found.summary())

    def _compute(self) -> "StarSpectrum":
        import jax

        model = self.load()
        star, mag = self.star(model.label_names), self.magnitude(model)
        noisy, error = model.draw(jax.random.key(self.seed), star, mag)
        wave, flux = model.wave, model.flux(star)
        return StarSpectrum(
            wave=np.asarray(wave, np.float64),
            flux=np.asarray(flux, np.float64),
            error=np.asarray(error, np.float64),
            noisy=np.asarray(noisy, np.float64),
            labels=dict(zip(model.label_names, star.tolist(), strict=True)),
            mag=self.shown(mag),
            snr=float(model.snr(star, mag)),
            seed=self.seed,
        )


@dataclass(frozen=True, eq=False)
class StarSpectrum(Record):
    """A star's spectrum on the pixels in use.

    Args:
        wave: pixel centres, vacuum Å.
        flux: noiseless, median about 0.5 over the arm.
        error: 1-sigma noise, in units of flux.
        noisy: one draw.
        labels: by name, in label units.
        mag: AB magnitude in i.
        snr: median of flux/error over these pixels.
        seed: of the draw.
    """

    wave: Float[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, " n_pix"]
    error: Float[np.ndarray, " n_pix"]
    noisy: Float[np.ndarray, " n_pix"]
    labels: dict[str, float]
    mag: float
    snr: float
    seed: int

    def as_rows(self) -> list[dict[str, str]]:
        """Returns a row per pixel, eight digits."""
        columns = [getattr(self, name).tolist() for name in COLUMNS]
        return [
            {name: f"{value:.8g}" for name, value in zip(COLUMNS, row, strict=True)}
            for row in zip(*columns, strict=True)
        ]

    def summary(self) -> str:
        """Returns what is printed."""
        return f"{len(self.wave)} pixels, SNR {self.snr:.2f} per pixel (median of flux/error)"

    def write_csv(self, path: Path) -> None:
        """Writes the table with a header of its columns."""
        write_csv(self.as_rows(), path)

    def write_ecsv(self, path: Path) -> None:
        """Writes the table as Enhanced CSV 1.0: types, units and labels above it; read by astropy.table."""
        about: dict[str, float | int | str] = {"mag": self.mag, "snr": self.snr, "seed": self.seed}
        about |= {**self.labels, "wave_medium": "vacuum", "flux_unit": MODEL_UNIT}
        write_csv(self.as_rows(), path)
        body = path.read_text()
        path.write_text("".join(f"# {line}\n" for line in _ecsv_header(about)) + body)

    def write_hdf5(self, path: Path) -> None:
        """Writes the pfsspec layout, in float32."""
        from crlb.files.spectra import Spectra, write_spectra

        one = {name: getattr(self, name)[None].astype(np.float32) for name in COLUMNS[1:]}
        labels = {name: np.array([value]) for name, value in self.labels.items()}
        mag, snr = np.array([self.mag]), np.array([self.snr])
        write_spectra(path, Spectra(self.wave, labels, mag=mag, snr=snr, **one))


def _ecsv_header(about: Mapping[str, float | int | str]) -> list[str]:
    """Names, types and units of the columns, and `about` as the table's metadata."""
    kinds = ["{name: wave, unit: Angstrom, datatype: float64}"]
    kinds += [f"{{name: {name}, datatype: float64}}" for name in COLUMNS[1:]]
    head = ["%ECSV 1.0", "---", "delimiter: ','", "datatype:", *(f"- {kind}" for kind in kinds)]
    meta = [f"- {name}: {value!r}" for name, value in about.items()]
    return [*head, "meta: !!omap", *meta, "schema: astropy-2.0"]
