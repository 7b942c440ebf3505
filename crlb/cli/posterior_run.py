"""What `crlb posterior` computes: a row for every spectrum of its files."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crlb.cli.posterior_errors import ErrorsOfModel
from crlb.cli.posterior_files import Files, check_for_noise_model, look_at, placed
from crlb.files.flags import LEGEND
from crlb.files.input import identity
from crlb.files.observed import Observed, Origin
from crlb.files.records import Json
from crlb.files.tables import Column, TableFile, as_read
from crlb.readers.many import Spoilt, spectra_of

if TYPE_CHECKING:
    from crlb.bayes.label_stars import LabelledStar
    from crlb.bayes.prior import Prior
    from crlb.bayes.sight import Sight
    from crlb.bayes.solve import Inference
    from crlb.cli.posterior import PosteriorOf
    from crlb.cli.posterior_table import Row
    from crlb.cli.scores import PosteriorScores, Tally
    from crlb.observation.forward_model import ForwardModel

BLOCK = 256  # spectra under a noise model computed together; a run goes on at the beginning of a block


def prepare(options: "PosteriorOf") -> "PosteriorRun":
    """Returns the run that the options ask for, once the heads of all files were read, without jax.

    Raises:
        DataError, UsageError: as `look_at` and `check_for_noise_model`.
    """
    read = options.read_options()
    files = look_at(options.spectra, read)
    if options.under_model():
        check_for_noise_model(options.spectra, read, options.mag)
    return PosteriorRun(options, files)


@dataclass(frozen=True, eq=False)
class PosteriorRun:
    """A run of the command.

    Args:
        options: of the command line.
        files: what is in the files.
    """

    options: "PosteriorOf"
    files: Files

    @property
    def n(self) -> int:
        """Number of spectra."""
        return self.files.n

    @property
    def default_error(self) -> float:
        """Relative error of the model unless said otherwise: none for spectra made with it."""
        from crlb.cli.posterior import MODEL_ERROR

        return 0.0 if self.files.simulated or self.options.under_model() else MODEL_ERROR

    @property
    def remark(self) -> str:
        """What is assumed, in a line; empty where everything was said."""
        said = []
        if self.options.model_error is None and self.default_error:
            said.append(f"a model error of {self.default_error:g} of the flux is added (--model-error)")
        if not self.files.has_errors and not self.options.under_model():
            said.append("spectra without errors get them from their scatter around the model")
        return "; ".join(said)

    @cached_property
    def inference(self) -> "Inference":
        """What is unknown, and how many points are used."""
        from crlb.bayes.solve import Inference

        conditions = self.options.unknown(self.default_error)
        return Inference(conditions, self.options.quantiles, self.options.target_ess)

    @cached_property
    def model(self) -> "ForwardModel":
        """How stars are seen, under a noise model."""
        return self.options.load_under(self.inference.conditions)

    @cached_property
    def sight(self) -> "Sight":
        """How spectra with errors of their own are looked at."""
        import jax

        from crlb.bayes.sight import Sight
        from crlb.observation.pixels import before_instrument
        from crlb.observation.templates import load_templates

        with jax.enable_x64(True):
            fine = before_instrument(self.options.load_grid(), self.options.degree)
        return Sight(fine, load_templates(self.options.grid), self.options.wave_range)

    @cached_property
    def prior(self) -> "Prior":
        """Of the labels, and of a velocity and width that are axes of the model, over the box of the grid."""
        if self.options.under_model():
            return self.options.prior_under(self.inference.conditions, self.model)
        return self.options.make_prior(self.sight.fine)

    @property
    def about(self) -> dict[str, Json]:
        """How the result was asked for."""
        from dataclasses import asdict

        conditions = asdict(self.inference.conditions)
        found: dict[str, Json] = {"conditions": conditions, "errors": str(self.options.noise)}
        found["seed"] = self.options.seed
        return found | (self.model.describe() if self.options.under_model() else {})

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the table."""
        from crlb.cli.posterior_table import columns_of

        return columns_of(self.options.free_labels(), self.options.quantiles, self.known)

    def table(self, command: str) -> TableFile | None:
        """The table to write; None: none is asked for. An interrupted one is taken up again."""
        if self.options.out is None:
            return None
        package = version("specvit-jax")
        options = replace(self.options, out=None, json=None, overwrite=False)
        return TableFile(
            self.options.out,
            self.columns,
            about={"command": command, "version": f"specvit-jax {package}", "flags": LEGEND},
            fingerprint={
                "spectra": identity(self.files.paths),
                "options": repr(options),
                "grid": identity([self.options.grid_path()]),
                "version": package,
            },
            overwrite=self.options.overwrite,
        )

    @property
    def known(self) -> tuple[str, ...]:
        """Labels of the posterior that the files have, too."""
        return tuple(name for name in self.options.free_labels() if name in self.files.known)

    def kept(self, table: TableFile) -> "Iterator[Row]":
        """Rows that an interrupted run has left in the table, numbers as numbers."""
        with table.partial.open(newline="", encoding="utf-8") as file:
            for row in islice(csv.DictReader(file), table.rows):
                yield as_read(self.columns, row)

    def rows(self, first: int) -> "Iterator[Row]":
        """The rows of all spectra from `first` on, computed from the beginning of its block.

        Stars of one block are computed together: only so are the last digits those of a run that was never
        interrupted; and they are as a table keeps them.
        """
        from crlb.bayes.observed import STARS_AT_ONCE
        from crlb.cli.posterior_table import row_of

        under_model = self.options.under_model()
        label = self._under_model if under_model else self._with_own_errors
        begin = first - first % (BLOCK if under_model else STARS_AT_ONCE)
        spectra = spectra_of(self.files.paths, self.files.options, begin)
        for spectrum, star in islice(label(spectra, begin), first - begin, None):
            one = spectrum if isinstance(spectrum, Observed) else None
            labels = {name: (one.labels if one else {}).get(name, np.nan) for name in self.known}
            self._draw(star)
            yield as_read(self.columns, row_of(star, self._mag(one), self.options.quantiles, labels))

    def _mag(self, observed: Observed | None) -> float | None:
        return observed.mag if observed is not None and observed.mag is not None else self.options.mag

    def _with_own_errors(
        self, spectra: Iterator[Observed | Spoilt], first: int
    ) -> "Iterator[tuple[Observed | Spoilt, LabelledStar]]":
        import jax

        from crlb.bayes.label_stars import label_stars
        from crlb.bayes.observed import Wanted

        passing: list[Observed | Spoilt] = []

        def watched() -> Iterator[Observed | Spoilt]:
            for one in spectra:
                passing.append(one)
                yield one

        wanted = Wanted(
            fit_model_error=self.options.model_error == "fit",
            model=self.options.plots is not None,
            samples=SAMPLES if self.options.samples is not None else 0,
        )
        stars = label_stars(
            watched(), self.sight, self.prior, key=jax.random.key(self.options.seed),
            inference=self.inference, wanted=wanted, first=first,
        )  # fmt: skip
        errors = ErrorsOfModel()
        for star in stars:
            one = passing.pop(0)
            odd = errors.note(one) if isinstance(one, Observed) else ""
            yield one, replace(star, note="; ".join(filter(None, [star.note, odd])))

    def _under_model(
        self, spectra: Iterator[Observed | Spoilt], first: int
    ) -> "Iterator[tuple[Observed | Spoilt, LabelledStar]]":
        import jax

        from crlb.bayes.label_stars import LabelledStar, with_lost
        from crlb.bayes.model_noise import Fluxes, label_under_model

        key = jax.random.key(self.options.seed)
        wave = np.asarray(self.model.wave)
        while block := list(islice(spectra, BLOCK)):
            shown = [placed(one, wave) for one in block]
            mags = [self._mag(one) if isinstance(one, Observed) else None for one in block]
            fluxes = Fluxes(
                np.stack([flux for flux, _, _ in shown]),
                np.stack([usable for _, usable, _ in shown]),
                np.array([np.nan if mag is None else mag for mag in mags]),
            )
            found = label_under_model(
                fluxes, self.model, self.prior, key=jax.random.fold_in(key, first), inference=self.inference
            )
            first += len(block)
            for one, result, (_, _, why) in zip(block, found, shown, strict=True):
                observed = one if isinstance(one, Observed) else None
                power = float(np.median(wave)) / self.options.lsf_fwhm
                note = why or result.note
                if observed is not None and "FEW_PIXELS" in result.flags:
                    note = with_lost(note, observed)
                yield one, LabelledStar(one.origin, observed, result, power, note)

    def _draw(self, star: "LabelledStar") -> None:
        """Writes samples and pictures of a star, where they are asked for."""
        if star.observed is None or (self.options.samples is None and self.options.plots is None):
            return
        from crlb.cli.posterior_pictures import draw_fit, write_samples

        if self.options.samples is not None:
            write_samples(star, self.options.samples, self._stem(star.origin))
        if self.options.plots is not None:
            draw_fit(star, self.options.plots, self._stem(star.origin))

    def _stem(self, origin: Origin) -> str:
        """What names of a star's own files begin with: no two stars have the same."""
        stem = self._stems[origin.path]
        return stem if origin.row is None else f"{stem}-{origin.row}"

    @cached_property
    def _stems(self) -> dict[str, str]:
        """Names of the files without their endings; with their number in front where two are the same."""
        paths = [str(path) for path in self.files.paths]
        names = [_without_ending(Path(path).name) for path in paths]
        twice = len(set(names)) < len(set(paths))
        return {
            path: f"{i + 1}-{name}" if twice else name
            for i, (path, name) in enumerate(zip(paths, names, strict=True))
        }

    def tally(self) -> "Tally":
        """Where the numbers of all rows are kept for the scores."""
        from crlb.cli.scores import Tally

        return Tally(self.options.free_labels())

    def scores(self, tally: "Tally", about: dict[str, Json]) -> "PosteriorScores":
        """The scores of all rows."""
        from crlb.cli.scores import posterior_scores

        return posterior_scores(tally, self.prior, about)

    def text(self, row: "Row") -> str:
        """What is printed of a single star."""
        from crlb.cli.scores import star_text

        return star_text(row, self.options.free_labels())


SAMPLES = 1024  # drawn from every posterior


def _without_ending(name: str) -> str:
    bare = name.removesuffix(".gz").removesuffix(".bz2")
    return Path(bare).stem or name
