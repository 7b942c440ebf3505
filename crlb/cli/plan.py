"""`crlb plan`: how long, and how faint, for a label to be known so well."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from crlb.cli.brightness import BRIGHT, Magnitudes
from crlb.cli.checks import (
    PLOT_SUFFIXES,
    check_at_most,
    check_names,
    check_positive,
    check_suffix,
    check_used,
)
from crlb.cli.fisher import Fisher
from crlb.cli.forward_model import File, Values, pairs
from crlb.cli.output import picture, write_csv, write_outputs
from crlb.cli.plan_population import check_of_stars, check_priors_of_stars, check_without, plan_stars
from crlb.cli.population import WithTable
from crlb.cli.prior import normals
from crlb.errors import UsageError
from crlb.files.progress import progress
from crlb.files.records import Json, write_json
from crlb.labels import LABEL_NAMES, option_of

if TYPE_CHECKING:
    from crlb.fisher.algebra import LabelledFisher
    from crlb.observation.conditions import Conditions
    from crlb.observation.forward_model import ForwardModel
    from crlb.observation.star import Star
    from crlb.planning.planned import Advance, BoundedStar, Planned
    from crlb.planning.result import LabelMap, Plan, TimeMap

Hours = Annotated[tuple[float, ...], tyro.conf.arg(metavar="H [H ...]")]
MOST_DRAWS = 10_000


@dataclass(frozen=True, kw_only=True)
class PlanOptions(WithTable, Fisher):
    """How many exposures a label needs to be known so well, and how faint a star may be, or what forbids it.

    The 1-sigma bound of a star is at most what is wanted after so many exposures of --exptime-s each; where
    part of the noise never averages down, maybe after none. Several instruments stand side by side; their
    magnitudes are in the band of the first one. --population FILE asks it of many stars: which share of them
    reaches what is wanted.

    To copy and paste:
      crlb plan --want log_g=0.1 --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 21 22
      crlb plan --want log_g=0.1 --T_eff 4800 --log_g 2.5 --M_H -0.5 --hours 1 3 10
      crlb plan --want log_g=0.1 M_H=0.1 --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --conditions survey
      crlb plan --want log_g=0.3 --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 22 --bayes --n-bayes 100
      crlb plan --want log_g=0.2 --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 22 --plot plan.png
      crlb plan --want log_g=0.2 --population stars.csv --mag 20 21 22 --hours 1 3 10
    """

    want: Values
    """1 sigma of a label that is wanted, in its unit: log_g=0.1."""
    mag: Magnitudes = ()  # type: ignore[assignment]
    """AB magnitudes in the band of the first instrument, i for PFS; default: none, and --hours is needed."""
    hours: Hours = ()
    """Hours of exposure for which the faintest magnitude is given, or the share of the stars of --population;
    default: none."""
    n_exp: int = 12
    """Number of exposures that --plot-labels shows, and those of --population without --hours."""
    population: File = None
    """Stars of a table (CSV or ECSV, a row each; columns T_eff in K, log_g, M_H ... in dex; mag and weight if
    there) instead of one star; with a column mag and no --mag: as bright as they are; default: none."""
    n_stars: int = 500
    """Stars of --population that are computed; of more so many are drawn at random."""
    snr: tyro.conf.Suppress[float | None] = None
    snr_per: tyro.conf.Suppress[Literal["pixel", "element"]] = "pixel"
    ellipse: tyro.conf.Suppress[tuple[str, str] | None] = None
    probability: tyro.conf.Suppress[float] = 0.6827
    bayes: bool = False
    """Take the posterior standard deviation under the prior instead of the bound, the median over draws of
    the noise. The prior is uniform over the grid but for --prior-sigma; costs minutes, see docs."""
    n_bayes: int = 200
    """Draws of the noise for --bayes."""
    seed: int = 0
    """Seed of these draws, and of the choice of --n-stars."""
    csv: File = None
    """Write the tables as one; with --population what every star needs, a row each."""
    plot: File = None
    """Draw sigma over magnitude and time, or the share of the stars over time: .png, .pdf or .svg."""
    plot_labels: File = None
    """Draw sigma over T_eff and log g at the first magnitude in --n-exp exposures: .png, .pdf or .svg."""
    column: bool = False
    """Draw for one column of a journal, 3.5 in wide, not for a page, 7.2 in."""

    def outputs(self) -> dict[str, Path | None]:
        """Returns the files the command creates: option -> file."""
        return super().outputs() | {"--plot-labels": self.plot_labels}

    def wanted(self) -> dict[str, float]:
        """Returns the sigma that is wanted by label, in its unit.

        Raises:
            UsageError: another form than LABEL=SIGMA, none, or one that is not positive.
        """
        found = pairs("--want", self.want)
        if not found:
            raise UsageError("--want needs LABEL=SIGMA, for example log_g=0.1; found none")
        for name, sigma in found.items():
            if not 0 < sigma < float("inf"):
                raise UsageError(f"--want {name}: SIGMA must be positive and finite, found {sigma:g}")
        return found

    def check(self) -> None:
        """Refuses what `Fisher.check` does, labels that are not free, and options without effect."""
        super().check()
        check_names("--want", list(self.wanted()), self.free_labels(), "this star")
        check_suffix("--plot-labels", self.plot_labels, PLOT_SUFFIXES)
        for hours in self.hours:
            check_positive(hours=hours)
            self._check_hours(hours)
        check_used(self, "population", ("n_stars",))
        if self.population is None:
            self._check_one_star()
        else:
            check_of_stars(self)

    def _check_one_star(self) -> None:
        """Refuses pictures without a magnitude, what --bayes forbids, and what has no effect."""
        check_used(self, "plot_labels", ("n_exp",))
        for name in ("plot", "plot_labels"):
            if getattr(self, name) is not None and not self.mag:
                raise UsageError(f"{option_of(name)} needs a magnitude; add --mag")
        self._check_bayes()

    def _check_hours(self, hours: float) -> None:
        from crlb.planning.time import whole_exposures

        whole_exposures(hours, self.exptime_s)

    def _check_bayes(self) -> None:
        """Refuses what cannot be with --bayes, and what has no effect without."""
        check_used(self, "bayes", ("n_bayes", "seed"))
        check_at_most(n_bayes=(self.n_bayes, MOST_DRAWS))
        if self.n_bayes < 2:
            raise UsageError(f"--n-bayes must be 2 or more, found {self.n_bayes}")
        if not self.bayes:
            return
        if self.plot is not None or self.plot_labels is not None:
            raise UsageError("--bayes: figures are of bounds; leave out --bayes, or --plot and --plot-labels")
        defaults = {one.name: one.default for one in fields(self)}
        for name in ("amplitude", "continuum", "rv", "lsf"):
            if getattr(self, name) != defaults[name]:
                raise UsageError(
                    f"--{name}: a posterior needs a prior of what is unknown; use --conditions with --bayes"
                )
        if odd := [name for name in self.prior_sigmas() if name not in self.free_labels()]:
            raise UsageError(f"--prior-sigma {odd[0]}: with --bayes its prior is that of --conditions")

    def check_brightness(self) -> None:
        """Refuses neither magnitudes nor hours, and instruments whose noise of a magnitude is not known."""
        if not (self.mag or self.hours or self.population):
            raise UsageError("one of --mag and --hours is needed, found neither")
        for name in self.instruments():
            if not replace(self, instrument=(name,)).calibrated():
                raise UsageError(
                    f"--instrument {name}: what noise a magnitude has in its exposures is not known, so that "
                    "nothing can be planned; describe it in a file of your own (crlb instrument new)"
                )

    def values(self, label_names: tuple[str, ...]) -> list[float]:
        """Returns the labels of the star; NaN with --population, whose stars have labels of their own.

        Raises:
            UsageError: as `StarOptions.values`; a label with --population.
        """
        if self.population is None:
            return super().values(label_names)
        check_without(self, LABEL_NAMES, "whose stars have labels of their own")
        return [float("nan")] * len(label_names)

    def prior_sigmas(self) -> dict[str, float]:
        """Returns 1 sigma of the Gaussian priors, as `Fisher` does; with --population none of labels."""
        if self.population is not None:
            check_priors_of_stars(self)
        return super().prior_sigmas()

    def ratios(self) -> tuple[float, ...]:
        """Returns no signal-to-noise ratio: magnitudes and times are what is planned."""
        return ()

    def __call__(self) -> None:
        if self.population is not None:
            plan_stars(self)
            return
        result = self.planned()
        print(result.table())
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(result.as_rows(), path),
                self.plot: picture(result.plot_times, self.column),
                self.plot_labels: picture(result.plot_labels, self.column),
            },
            self.overwrite,
        )

    def planned(self) -> "Plan":
        """Returns what was asked for."""
        from crlb.planning.plan import exposures_rows, faintest_rows
        from crlb.planning.result import BOUND, POSTERIOR, Plan

        want, bounded = self.wanted(), self._bounded()
        stars: list[Planned] = [self._posterior(one) for one in bounded] if self.bayes else [*bounded]
        exposures = [row for one in stars for row in exposures_rows(one, self.mag, want, self.exptime_s)]
        faintest = [row for one in stars for row in faintest_rows(one, self.hours, want, self.exptime_s)]
        about = self.about()
        about |= {"seed": self.seed, "n_bayes": self.n_bayes} if self.bayes else {}
        return Plan(
            quantity=POSTERIOR if self.bayes else BOUND,
            exptime_s=self.exptime_s,
            exposures=tuple(exposures),
            faintest=tuple(faintest),
            provenance=about,
            time_maps=None if self.plot is None else tuple(self._time_maps(bounded)),
            label_maps=None if self.plot_labels is None else tuple(self._label_maps()),
        )

    def about(self) -> dict[str, Json]:
        """Returns how the plan was asked for."""
        return self.provenance() | self._about([])

    def _bounded(self) -> "list[BoundedStar]":
        """The star through every instrument, with its bounds."""
        from crlb.planning.planned import BoundedStar, lasting
        from crlb.planning.variance import any_exposures

        mag = self.mag[0] if self.mag else BRIGHT
        own, found = self.mags_of_all(mag), []
        for name, own_mag in zip(self.instruments(), own, strict=True):
            model, nuisances = self.with_unknowns(name)
            model.emulator.check(self.star(model.label_names))
            (seen,) = any_exposures(model, nuisances, self.star(model.label_names)[None], own_mag)
            self._check_told_apart(model, seen.at(model.exposure.n_exp))
            limits = lasting(model, seen, self.found_conditions())
            found.append(BoundedStar(name, seen, own_mag - mag, self.bounds(model), limits))
        return found

    def _check_told_apart(self, model: "ForwardModel", star: "Star") -> None:
        """Raises which labels cannot be told apart."""
        from crlb.fisher.algebra import covariance

        covariance(self._with_priors(model)(star))

    def bounds(self, model: "ForwardModel") -> "Callable[[Star], dict[str, float]]":
        """Returns what gives the bound of every unknown of a star; NaN where they cannot be told apart."""
        from crlb.planning.bounds import bounds_or_nan

        fisher = self._with_priors(model)
        return lambda star: bounds_or_nan(fisher(star))

    def _with_priors(self, model: "ForwardModel") -> "Callable[[Star], LabelledFisher]":
        """What gives the Fisher matrix of a star, its priors included."""
        from crlb.fisher.algebra import add_prior

        priors = self.prior_sigmas()  # once: this opens the grid
        return lambda star: add_prior(self._fisher(model, star), priors)

    def found_conditions(self) -> "Conditions":
        """Returns the conditions of --conditions, by default the published ones."""
        from crlb.observation.condition_file import find_conditions
        from crlb.observation.conditions import PUBLISHED

        return PUBLISHED if self.conditions is None else find_conditions(self.conditions)

    def _posterior(self, bounded: "BoundedStar") -> "Planned":
        """The star with its posteriors instead of its bounds."""
        import jax

        from crlb.bayes.unknowns import prior_under
        from crlb.planning.planned import PosteriorStar

        conditions = self.found_conditions()
        model = replace(self, instrument=(bounded.instrument,)).load_under(conditions)
        prior = prior_under(conditions, model, None, normals(self.prior_sigma))
        names = self.free_labels()
        labels = dict(zip(names, self.values(names), strict=True))
        return PosteriorStar(
            bounded, model, labels, prior, jax.random.key(self.seed), self.n_bayes, conditions, self._progress
        )

    @contextmanager
    def _progress(self, n_exp: int | float, mag: float) -> "Iterator[Advance]":
        with progress(
            f"mag {mag:.2f}, {n_exp:g} exposures: posteriors", self.n_bayes, unit="draws"
        ) as advance:
            yield advance

    def _time_maps(self, stars: "list[BoundedStar]") -> "Iterator[TimeMap]":
        from crlb.planning.plan import N_MAGS, N_TIMES, time_maps

        with progress(
            "sigma over magnitude and time", len(stars) * N_MAGS * N_TIMES, unit="points"
        ) as advance:
            for one in stars:
                yield from time_maps(one, self.mag, self.wanted(), self.exptime_s, advance)

    def _label_maps(self) -> "Iterator[LabelMap]":
        from crlb.planning.labels import PER_AXIS, label_maps

        total = len(self.instruments()) * PER_AXIS**2
        with progress("sigma over T_eff and log g", total, unit="points") as advance:
            for name, mag in zip(self.instruments(), self.mags_of_all(self.mag[0]), strict=True):
                model, nuisances = self.with_unknowns(name)
                yield from label_maps(
                    model, nuisances, self.star(model.label_names), mag, self.wanted(), name=name,
                    fisher=self._with_priors(model), advance=advance,
                )  # fmt: skip
