"""`crlb ceiling`: how well a label can be known, per magnitude."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from crlb.cli.brightness import Brightnesses
from crlb.cli.checks import MOST_STARS, check_at_most, check_positive, check_used
from crlb.cli.forward_model import File
from crlb.cli.output import picture, write_csv, write_outputs
from crlb.cli.prior import WithPrior
from crlb.errors import UsageError
from crlb.files.progress import progress
from crlb.files.records import write_json

if TYPE_CHECKING:
    from crlb.ceilings.result import Ceiling as Result
    from crlb.observation.forward_model import ForwardModel


@dataclass(frozen=True, kw_only=True)
class Ceiling(WithPrior, Brightnesses):
    """How well log g can be known, per magnitude: the Cramer-Rao bound; with --bayes, what binds everyone.

    R2_max = 1 - bound^2 / variance, clipped to 0..1 at every node of the grid, then quantiles over nodes. It
    binds unbiased estimators. --bayes adds the exact limit R2_Bayes of any estimator on stars drawn from the
    prior, and the bounds below it.

    To copy and paste:
      crlb ceiling --mag 20 21.5 22.5
      crlb ceiling --bayes --n-bayes 500 --json ceiling.json --plot ceiling.png
      crlb ceiling --mag 21.5 --bayes --n-bayes 200 --conditions survey
      crlb ceiling --grid grid.h5 --noise noise.h5 --labels T_eff log_g --fix M_H=-0.5 --bayes
      crlb ceiling --derivative grid --variance 1.6667 --noise-level-known
    """

    target: str = "log_g"
    """The label whose bound is computed."""
    variance: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Variance of the target over the stars in question, dex^2 (K^2 for T_eff); default: uniform over the
    grid's range, (high - low)^2 / 12."""
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
        check_used(self, "bayes", ("n_bayes", "conditions", "seed", "prior_beta", "prior_sigma"))
        if self.variance is not None:
            check_positive(variance=self.variance)
        find_conditions(self.conditions)
        if self.n_bayes < 2:
            raise UsageError(f"--n-bayes must be 2 or more, found {self.n_bayes}")
        check_at_most(n_bayes=(self.n_bayes, MOST_STARS))

    def __call__(self) -> None:
        from crlb.ceilings.ceiling import ceiling

        model = self.load()
        mags = self.magnitudes(model)
        with progress("bounds at the nodes", len(model.emulator.nodes), unit="nodes") as advance:
            result = ceiling(
                model,
                mags,
                label=self.target,
                labels=self.labels,
                variance=self.variance,
                variance_term=not self.noise_level_known,
                derivative=self.derivative,
                advance=advance,
            )
        if self.bayes:
            result = self._with_limits(result, model)
        bins = tuple(replace(one, mag=self.shown(one.mag)) for one in result.bins)
        result = replace(result, bins=bins, provenance=result.provenance | self.provenance())
        print(result.table())
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(result.as_rows(), path),
                self.plot: picture(result.plot, self.column),
            },
            self.overwrite,
        )

    def _with_limits(self, result: "Result", model: "ForwardModel") -> "Result":
        """The result with what binds estimators that use the prior."""
        from crlb.bayes.bounds import work
        from crlb.ceilings.with_prior import with_bounds, with_exact_limit
        from crlb.observation.condition_file import find_conditions
        from crlb.observation.conditions import PUBLISHED

        conditions = find_conditions(self.conditions)
        if conditions == PUBLISHED:
            prior = self.make_prior(model.emulator)
            with progress("bounds with the prior", work(len(prior.label_names)), unit="steps") as advance:
                result = with_bounds(result, model, prior, advance=advance)
        else:
            model = self.load_under(conditions)
        with progress("exact limit", self.n_bayes * len(result.bins)) as advance:
            return with_exact_limit(
                result,
                model,
                self.prior_under(conditions, model),
                n=self.n_bayes,
                seed=self.seed,
                conditions=conditions,
                advance=advance,
            )
