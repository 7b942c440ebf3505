"""`crlb posterior`: the labels of observed stars, by integration over the emulator."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.checks import check_finite, check_names
from crlb.cli.forward_model import File, ForwardModelOptions
from crlb.cli.output import progress, write_csv, write_outputs
from crlb.cli.scores import PosteriorScores, StarPosterior, posterior_scores, star_posteriors
from crlb.errors import DataError, UsageError
from crlb.files.records import write_json
from crlb.files.text import text_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from crlb.bayes.prior import Prior
    from crlb.files.spectra import Spectra
    from crlb.observation.forward_model import ForwardModel

Shapes = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=A,B [...]")]
LARGEST_SHAPE = (
    100.0  # Beta(100, 100) is a Gaussian of 1/28 of the range: narrower ones are errors of the unit
)


@dataclass(frozen=True, kw_only=True)
class WithPrior(ForwardModelOptions):
    """A forward model, and what is known of the labels before a spectrum is seen."""

    prior_beta: Shapes = ()
    """Beta(A, B) prior over the grid's range for a label, for example log_g=3,3; uniform otherwise."""

    def check(self) -> None:
        """Refuses what `ForwardModelOptions.check` does, and shapes that are none."""
        super().check()
        check_names("--prior-beta", list(self.shapes()), self.free_labels())

    def make_prior(self, model: "ForwardModel") -> "Prior":
        """Returns the prior over the box of the grid."""
        from crlb.bayes.prior import make_prior

        return make_prior(model.emulator.low, model.emulator.high, model.label_names, self.shapes())

    def shapes(self) -> dict[str, tuple[float, float]]:
        """Returns the two shapes of every label that has another prior than the uniform one.

        Raises:
            UsageError: another form, a label named twice, or shapes that are not between 0 and 100.
        """
        found: dict[str, tuple[float, float]] = {}
        for text in self.prior_beta:
            name, shape = _shape(text)
            if name in found:
                raise UsageError(f"--prior-beta names {name} twice")
            found[name] = shape
        return found


def _shape(text: str) -> tuple[str, tuple[float, float]]:
    """Label and shapes of LABEL=A,B."""
    name, _, numbers = text.partition("=")
    try:
        first, second = map(float, numbers.split(","))
    except ValueError:
        raise UsageError(f"--prior-beta needs LABEL=A,B, for example log_g=3,3; found {text}") from None
    if not (0 < first <= LARGEST_SHAPE and 0 < second <= LARGEST_SHAPE):
        raise UsageError(
            f"--prior-beta {text}: A,B are the shapes of a Beta distribution over the grid's range, above "
            f"0 and up to {LARGEST_SHAPE:g} (3,3 peaks in the middle), not a value and its error"
        )
    return name, (first, second)


@dataclass(frozen=True, kw_only=True)
class PosteriorOf(WithPrior):
    """The posterior of every label of every star in a file: mean, standard deviation, quantiles.

    Exact for the noise model and the prior: no regressor has a smaller mean squared error on such stars. The
    magnitudes of the stars count as known.

    To copy and paste:
      crlb posterior test.h5 --csv labels.csv
      crlb posterior test.h5 --rows 0 500 --amplitude 0.1 --prior-beta log_g=3,3 --json scores.json
    """

    spectra: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SPECTRA")]
    """Noisy spectra in the pfsspec layout (HDF5), with a column `mag` in the table."""
    rows: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="FIRST STOP")] = None
    """Only these spectra of the file, counted from 0, STOP not included."""
    mag: Annotated[float | None, tyro.conf.arg(metavar="AB")] = None
    """AB magnitude in i of all stars; refused where the file has a column of that name."""
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

    def inputs(self) -> dict[str, Path | None]:
        """Returns the files read: option or argument -> file."""
        return super().inputs() | {"SPECTRA": self.spectra}

    def check(self) -> None:
        """Refuses what `WithPrior.check` does, and what does not fit the table of the spectra file."""
        super().check()
        if self.amplitude is not None and not self.amplitude > 0:
            raise UsageError(f"--amplitude must be positive, inf for a flat prior; found {self.amplitude:g}")
        for probability in self.quantiles:
            if not 0 < probability < 1:
                raise UsageError(f"--quantiles must lie between 0 and 1, found {probability:g}")
        if self.mag is not None:
            check_finite("--mag", [self.mag], "magnitude")
        self._check_stars()

    def _check_stars(self) -> None:
        """Opens the spectra file for its table only."""
        from crlb.files.hdf5 import open_input
        from crlb.files.pfsspec import read_table

        with open_input(self.spectra, "spectra") as file:
            table = read_table(file)
        if "mag" not in table and self.mag is None:
            raise DataError(f"spectra file {self.spectra} has no column mag; give the magnitude with --mag")
        if "mag" in table and self.mag is not None:
            raise UsageError(
                f"--mag {self.mag:g} has no effect: {self.spectra} has a column mag; leave it out"
            )
        n = len(next(iter(table.values())))
        if self.rows is not None and not 0 <= self.rows[0] < self.rows[1] <= n:
            raise UsageError(f"--rows must lie within 0 and {n}, found {self.rows[0]} {self.rows[1]}")

    def __call__(self) -> None:
        scores, stars = self._compute()
        print(scores.table() if len(stars) > 1 else text_of(stars[0].sentences(), scores.remarks()))
        write_outputs(
            {
                self.csv: lambda path: write_csv([star.row() for star in stars], path),
                self.json: lambda path: write_json(scores, path),
            },
            self.overwrite,
        )

    def _compute(self) -> tuple[PosteriorScores, tuple[StarPosterior, ...]]:
        import jax

        from crlb.bayes.posterior import Inference, Observations, posterior
        from crlb.observation.conditions import Conditions

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
                inference=Inference(Conditions(scale=self.amplitude), self.quantiles),
                advance=lambda n: bar.advance(task, n),
            )
        about = model.describe() | self.provenance() | {"spectra": str(self.spectra)}
        first = self.rows[0] if self.rows else 0
        rows = star_posteriors(found, stars.labels, mag, prior.label_names, self.quantiles, first)
        return posterior_scores(found, stars.labels, prior, about), rows

    def _read(self, wave: "ArrayLike") -> "tuple[Spectra, np.ndarray]":
        """The stars asked for, on the pixels of the model, and their magnitudes."""
        import numpy as np

        from crlb.detector import DETECTOR_WAVE
        from crlb.files.spectra import read_spectra

        stars = read_spectra(self.spectra, need=("noisy", "error"))
        first, stop = self.rows or (0, stars.n)
        pixels = np.flatnonzero(np.isin(np.round(DETECTOR_WAVE, 6), np.round(np.asarray(wave), 6)))
        stars = stars.take(slice(first, stop), pixels)
        return stars, np.full(stars.n, self.mag) if stars.mag is None else stars.mag


def _usable(stars: "Spectra") -> "tuple[np.ndarray, np.ndarray]":
    """Noisy flux, and where it may be used: where the file's error is finite."""
    import numpy as np

    assert stars.noisy is not None
    assert stars.error is not None
    usable = np.isfinite(stars.error) & np.isfinite(stars.noisy)
    return np.where(usable, stars.noisy, 0.0), usable
