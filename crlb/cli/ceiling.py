"""`crlb ceiling`: how well a label can be known, per magnitude."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from crlb.cli.checks import MOST_STARS, check_at_most, check_positive, check_used
from crlb.cli.forward_model import File
from crlb.cli.output import picture, write_csv, write_outputs
from crlb.cli.population import WithPopulation
from crlb.cli.prior import WithPrior
from crlb.errors import UsageError
from crlb.files.progress import progress
from crlb.files.records import write_json
from crlb.labels import option_of

if TYPE_CHECKING:
    from crlb.bayes.population import Population
    from crlb.ceilings.result import Ceiling as Result
    from crlb.observation.forward_model import ForwardModel


Targets = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL [LABEL ...]")]


@dataclass(frozen=True, kw_only=True)
class Ceiling(WithPrior, WithPopulation):
    """How well log g can be known, per magnitude: the Cramer-Rao bound; with --bayes, what binds everyone.

    R2_max = 1 - bound^2 / variance, clipped to 0..1 at every node of the grid, then quantiles over nodes. It
    binds unbiased estimators. --bayes adds the exact limit R2_Bayes of any estimator on stars drawn from the
    prior, and the bounds below it. --population FILE takes the stars of a table for nodes and prior.

    To copy and paste:
      crlb ceiling --mag 20 21.5 22.5
      crlb ceiling --bayes --n-bayes 500 --json ceiling.json --plot ceiling.png
      crlb ceiling --mag 21.5 --bayes --n-bayes 200 --conditions survey
      crlb ceiling --grid grid.h5 --noise noise.h5 --labels T_eff log_g --fix M_H=-0.5 --bayes
      crlb ceiling --derivative grid --variance 1.6667 --noise-level-known
      crlb ceiling --target log_g M_H --mag 20 21.5 22.5 --population stars.csv
    """

    target: Targets = ("log_g",)
    """The label whose bound is computed, or several: one table for each, a list of results in --json."""
    variance: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Variance of the target over the stars in question, dex^2 (K^2 for T_eff); default: that of the stars of
    --population, else uniform over the grid's range, (high - low)^2 / 12."""
    derivative: Literal["exact", "grid"] = "exact"
    """Derivatives of the spectra: of the emulator, or differences between the grid's nodes (the published
    recipe)."""
    noise_level_known: bool = False
    """Leave out the information that the noise level itself holds."""
    bayes: bool = False
    """Add the exact limit of every estimator, and the pooled, van Trees and Ziv-Zakai bounds. Every label
    must be free or held with --fix."""
    n_bayes: int = 2000
    """Stars simulated per magnitude for the exact limit."""
    conditions: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "published"
    """What is unknown of a star besides its labels, for the exact limit: published (nothing), survey, or a
    YAML file. Only published has the van Trees and Ziv-Zakai bounds, too."""
    seed: int = 0
    """Seed of the simulated stars."""
    json: File = None
    """Write everything shown, with provenance."""
    csv: File = None
    """Write the table."""
    plot: File = None
    """Draw R2 against SNR: .png, .pdf or .svg."""
    column: bool = False
    """Draw --plot for one column of a journal, 3.5 in wide, not for a page, 7.2 in."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def check(self) -> None:
        """Refuses what `ForwardModelOptions.check` does, options without effect, and numbers out of range."""
        from crlb.observation.condition_file import find_conditions

        super().check()
        check_used(
            self, "bayes", ("n_bayes", "conditions", "seed", "prior_beta", "prior_sigma", "population_smooth")
        )
        self._check_targets()
        self._check_population()
        find_conditions(self.conditions)
        if self.n_bayes < 2:
            raise UsageError(f"--n-bayes must be 2 or more, found {self.n_bayes}")
        check_at_most(n_bayes=(self.n_bayes, MOST_STARS))

    def _check_targets(self) -> None:
        """Refuses targets that repeat, and what is of one label where there are several."""
        if not self.target or len(set(self.target)) < len(self.target):
            raise UsageError(f"--target needs different labels, found {' '.join(self.target) or 'none'}")
        if self.variance is not None:
            check_positive(variance=self.variance)
        for option, given in (("--variance", self.variance), ("--plot", self.plot)):
            if given is not None and len(self.target) > 1:
                raise UsageError(
                    f"{option} is of one label; give one --target, found {' '.join(self.target)}"
                )

    def _check_population(self) -> None:
        """Refuses options that stars of a table leave without effect."""
        if self.population is None:
            return
        defaults = type(self).__dataclass_fields__
        for name in ("variance", "derivative", "prior_beta", "prior_sigma"):
            if getattr(self, name) != defaults[name].default:
                raise UsageError(
                    f"{option_of(name)} has no effect with --population, whose stars have derivatives of the "
                    "emulator, and are variance and prior; leave one of the two out"
                )

    def __call__(self) -> None:
        model = self.load()
        results = self._of_box(model) if self.population is None else self._of_stars(model)
        results = tuple(self._as_shown(one) for one in results)
        for one in results:
            print(one.table())
        write_outputs(
            {
                self.json: lambda path: write_json(results[0] if len(results) == 1 else results, path),
                self.csv: lambda path: write_csv(_rows(results), path),
                self.plot: picture(results[0].plot, self.column),
            },
            self.overwrite,
        )

    def _as_shown(self, result: "Result") -> "Result":
        """The result with magnitudes as they are reported, and how it was asked for."""
        bins = tuple(replace(one, mag=self.shown(one.mag)) for one in result.bins)
        return replace(result, bins=bins, provenance=result.provenance | self.provenance())

    def _of_box(self, model: "ForwardModel") -> "tuple[Result, ...]":
        """The ceilings over the nodes of the grid; with --bayes those of stars drawn from the prior, too."""
        from crlb.ceilings.ceiling import ceiling

        mags, n = self.magnitudes(model), len(model.emulator.nodes) * len(self.target)
        with progress("bounds at the nodes", n, unit="nodes") as advance:
            results = tuple(
                ceiling(
                    model,
                    mags,
                    label=label,
                    labels=self.labels,
                    variance=self.variance,
                    variance_term=not self.noise_level_known,
                    derivative=self.derivative,
                    advance=advance,
                )
                for label in self.target
            )
        return self._with_limits(results, model) if self.bayes else results

    def _of_stars(self, model: "ForwardModel") -> "tuple[Result, ...]":
        """The ceilings over the stars of a table; with --bayes the exact limit of stars drawn from them."""
        from crlb.ceilings.of_population import population_ceilings, stars_of

        table = self.table()
        population, dropped = self.stars(table, model.emulator)
        own = self.own_mags(table)
        mags = None if own else self.mags_of(model, population)
        with progress("bounds at the stars", population.n, unit="stars") as advance:
            results = population_ceilings(
                model,
                mags,
                population,
                targets=self.target,
                labels=self.labels,
                variance_term=not self.noise_level_known,
                advance=advance,
            )
        if self.bayes:
            results = self._with_star_limits(results, model, population, own)
        about = stars_of(table, population, dropped, own_mags=own, smoothed=self.widths())
        return tuple(replace(one, population=about) for one in results)

    def _with_star_limits(
        self, results: "Sequence[Result]", model: "ForwardModel", population: "Population", own_mags: bool
    ) -> "tuple[Result, ...]":
        """The results with the exact limit of stars drawn from the table, or from its kernel density."""
        from crlb.ceilings.of_population import with_population_limits
        from crlb.observation.condition_file import find_conditions

        conditions = find_conditions(self.conditions)
        if widths := self.widths():
            if own_mags:
                raise UsageError(
                    "--population-smooth gives stars without magnitudes: --mag or --snr is needed"
                )
            box = (model.emulator.low, model.emulator.high)
            population = population.smoothed(widths, box, seed=self.seed)
        with progress("exact limit", self.n_bayes * len(results[0].bins)) as advance:
            return with_population_limits(
                results,
                self.load_under(conditions),
                population,
                n=self.n_bayes,
                seed=self.seed,
                conditions=conditions,
                own_mags=own_mags,
                advance=advance,
            )

    def _with_limits(self, results: "Sequence[Result]", model: "ForwardModel") -> "tuple[Result, ...]":
        """The results with what binds estimators that use the prior."""
        from crlb.bayes.bounds import work
        from crlb.ceilings.with_prior import with_bounds, with_exact_limits
        from crlb.observation.condition_file import find_conditions
        from crlb.observation.conditions import PUBLISHED

        conditions = find_conditions(self.conditions)
        if conditions == PUBLISHED:
            prior = self.make_prior(model.emulator)
            steps = work(len(prior.label_names)) * len(results)
            with progress("bounds with the prior", steps, unit="steps") as advance:
                results = [with_bounds(one, model, prior, advance=advance) for one in results]
        else:
            model = self.load_under(conditions)
        with progress("exact limit", self.n_bayes * len(results[0].bins)) as advance:
            return with_exact_limits(
                results,
                model,
                self.prior_under(conditions, model),
                n=self.n_bayes,
                seed=self.seed,
                conditions=conditions,
                advance=advance,
            )


def _rows(results: "Sequence[Result]") -> "list[dict[str, object]]":
    """The rows of all tables; of several labels with a column that says which."""
    if len(results) == 1:
        return [dict(row) for row in results[0].as_rows()]
    return [{"label": one.label, **row} for one in results for row in one.as_rows()]
