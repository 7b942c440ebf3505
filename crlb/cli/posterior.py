"""`crlb posterior`: the labels of observed stars, by integration over the emulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from crlb.cli.forward_model import File, ForwardModelOptions
from crlb.cli.output import check_outputs, console, progress, unit, write_csv, write_json, write_outputs
from crlb.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from crlb.bayes.posterior import Posterior
    from crlb.bayes.prior import Prior
    from crlb.files.spectra import Spectra
    from crlb.observation.forward_model import ForwardModel

Shapes = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=A,B [...]")]


@dataclass(frozen=True, kw_only=True)
class WithPrior(ForwardModelOptions):
    """A forward model, and what is known of the labels before a spectrum is seen."""

    prior: Shapes = ()
    """Beta(A, B) prior over the grid's range for a label, for example log_g=3,3; uniform otherwise."""

    def make_prior(self, model: "ForwardModel") -> "Prior":
        """The prior over the box of the grid."""
        from crlb.bayes.prior import make_prior

        shapes: dict[str, tuple[float, float]] = {}
        for text in self.prior:
            name, _, numbers = text.partition("=")
            parts = numbers.split(",")
            try:
                shapes[name] = (float(parts[0]), float(parts[1]))
            except (ValueError, IndexError):
                raise UsageError(f"--prior needs LABEL=A,B, for example log_g=3,3; found {text}") from None
        return make_prior(model.emulator.low, model.emulator.high, model.label_names, shapes)


@dataclass(frozen=True, kw_only=True)
class PosteriorOf(WithPrior):
    """The posterior of every label of every star in a file: mean, standard deviation, quantiles.

    Exact for the noise model and the prior: no regressor has a smaller mean squared error on such stars. The
    magnitudes of the stars count as known.

    To copy and paste:
      crlb posterior test.h5 --csv labels.csv
      crlb posterior test.h5 --rows 0 500 --amplitude 0.1 --prior log_g=3,3 --json scores.json
    """

    spectra: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SPECTRA")]
    """Noisy spectra in the pfsspec layout (HDF5), with a column `mag` in the table."""
    rows: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="FIRST STOP")] = None
    """Only these spectra of the file, counted from 0, STOP not included."""
    mag: Annotated[float | None, tyro.conf.arg(metavar="AB")] = None
    """AB magnitude in i of all stars, where the file does not give it."""
    amplitude: Annotated[float | None, tyro.conf.arg(metavar="SIGMA")] = None
    """1-sigma of a Gaussian prior around 1 on a free flux factor; inf for a flat one; default: none."""
    quantiles: Annotated[tuple[float, ...], tyro.conf.arg(metavar="P [P ...]")] = (0.16, 0.5, 0.84)
    """Probabilities of the quantiles."""
    seed: int = 0
    """Seed of the quasi-random points."""
    csv: File = None
    """Write a row per star."""
    json: File = None
    """Write scores against the labels in the file, with provenance."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        check_outputs(self.csv, self.json, overwrite=self.overwrite)
        import jax

        from crlb.bayes.posterior import Inference, Observations, posterior

        model = self.load()
        stars, mag = self._read(model.wave)
        prior = self.make_prior(model)
        flux, usable = _usable(stars)
        with progress() as bar:
            task = bar.add_task("posterior", total=len(flux))
            found = posterior(
                Observations(flux, mag, usable),
                model,
                prior,
                key=jax.random.key(self.seed),
                inference=Inference(self.amplitude, self.quantiles),
                advance=lambda n: bar.advance(task, n),
            )
        first = self.rows[0] if self.rows else 0
        table = _table(found, stars, mag, prior.label_names, self.quantiles, first)
        result = _scores(found, stars, prior) | {
            "provenance": model.describe() | self.provenance() | {"spectra": str(self.spectra)}
        }
        _print(result, table)
        write_outputs(
            {
                self.csv: lambda path: write_csv(table, path),
                self.json: lambda path: write_json(result, path),
            },
            self.overwrite,
        )

    def _read(self, wave: Any) -> "tuple[Spectra, np.ndarray]":
        """The stars asked for, on the pixels of the model, and their magnitudes."""
        import numpy as np

        from crlb.detector import DETECTOR_WAVE
        from crlb.files.spectra import read_spectra

        stars = read_spectra(self.spectra, need=("noisy", "error"))
        if stars.mag is None and self.mag is None:
            raise DataError(f"spectra file {self.spectra} has no column mag; give the magnitude with --mag")
        first, stop = self.rows or (0, stars.n)
        if not 0 <= first < stop <= stars.n:
            raise UsageError(f"--rows must lie within 0 and {stars.n}, found {first} {stop}")
        pixels = np.flatnonzero(np.isin(np.round(DETECTOR_WAVE, 6), np.round(np.asarray(wave), 6)))
        stars = stars.take(slice(first, stop), pixels)
        return stars, np.full(stars.n, self.mag) if stars.mag is None else stars.mag


def _usable(stars: "Spectra") -> Any:
    """Noisy flux, and where it may be used: where the file's error is finite."""
    import numpy as np

    assert stars.noisy is not None
    assert stars.error is not None
    usable = np.isfinite(stars.error) & np.isfinite(stars.noisy)
    return np.where(usable, stars.noisy, 0.0), usable


def _table(
    found: "Posterior",
    stars: "Spectra",
    mag: "np.ndarray",
    names: tuple[str, ...],
    quantiles: tuple[float, ...],
    first: int,
) -> list[dict[str, Any]]:
    """A row per star; truths are those of the file."""
    rows = []
    for i in range(len(found.mean)):
        row: dict[str, Any] = {"star": first + i, "mag": float(mag[i])}
        for j, name in enumerate(names):
            row |= {f"{name}_true": float(stars.labels[name][i])} if name in stars.labels else {}
            row |= {f"{name}_mean": float(found.mean[i, j]), f"{name}_sigma": float(found.sigma[i, j])}
            row |= {
                f"{name}_q{100 * q:g}": float(x)
                for q, x in zip(quantiles, found.quantiles[i, j], strict=True)
            }
        rows.append(row | {"ess": float(found.ess[i]), "converged": bool(found.converged[i])})
    return rows


def _scores(found: "Posterior", stars: "Spectra", prior: "Prior") -> dict[str, Any]:
    """Mean posterior variance, and errors against the labels of the file, per label."""
    import numpy as np

    scores: dict[str, Any] = {}
    for j, name in enumerate(prior.label_names):
        variance = float(np.mean(found.sigma[:, j] ** 2))
        scores[name] = {"rms_sigma": variance**0.5, "r2_bayes": 1 - variance / float(prior.variance[j])}
        if name in stars.labels and len(found.mean) > 1:
            error = found.mean[:, j] - stars.labels[name]
            scores[name] |= {
                "rmse": float(np.sqrt(np.mean(error**2))),
                "mae": float(np.mean(np.abs(error))),
                "bias": float(np.mean(error)),
                "r2": 1 - float(np.mean(error**2) / np.var(stars.labels[name])),
            }
    return {"n": len(found.mean), "unconverged": int((~found.converged).sum()), "labels": scores}


def _print(result: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    screen = console()
    if len(rows) == 1:
        for name in result["labels"]:
            mean, sigma = (rows[0][f"{name}_{key}"] for key in ("mean", "sigma"))
            screen.print(f"{name} {mean:.5g} +- {sigma:.3g} {unit(name)}")
    else:
        table = Table(box=box.SIMPLE, title=f"{result['n']} stars")
        heads = ("label", "unit", "rms sigma", "R2_Bayes", "rmse", "mae", "bias", "R2")
        for head in heads:
            table.add_column(head, justify="left" if head == "label" else "right")
        for name, score in result["labels"].items():
            numbers = [score.get(key) for key in ("rms_sigma", "r2_bayes", "rmse", "mae", "bias", "r2")]
            table.add_row(name, unit(name), *("-" if x is None else f"{x:.4g}" for x in numbers))
        screen.print(table)
        screen.print(
            "rms sigma and R2_Bayes from the posterior alone, for the prior's variance; the rest against the "
            "labels in the file, which enter nothing else."
        )
    if result["unconverged"]:
        screen.print(f"{result['unconverged']} stars did not converge; their rows say so.")
