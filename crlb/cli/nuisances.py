"""`crlb nuisances`: what unknowns besides the labels cost."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.brightness import Brightnesses, Magnitudes
from crlb.cli.checks import MOST_STARS, check_at_most, check_used
from crlb.cli.forward_model import File
from crlb.cli.output import write_csv, write_outputs
from crlb.errors import UsageError
from crlb.files.progress import progress
from crlb.files.records import Json, write_json

if TYPE_CHECKING:
    from crlb.ceilings.nuisance_effects import NuisanceEffects

CONTINUUM_ORDER = 3


@dataclass(frozen=True, kw_only=True)
class NuisancesOptions(Brightnesses):
    """What unknowns besides the labels cost: flux scale, continuum, radial velocity, line-spread width.

    Medians over the nodes of the grid. The noise level counts as known here.

    To copy and paste:
      crlb nuisances
      crlb nuisances --mag 20 21.5 --no-lsf --csv nuisances.csv
      crlb nuisances --mag 20 21.5 22.5 --bayes --n-bayes 200 --json prices.json
    """

    mag: Magnitudes = (21.5,)
    """AB magnitudes in i."""
    target: str = "log_g"
    """The label whose bound is computed."""
    no_lsf: bool = False
    """Leave out the width of the line-spread function, for grids that are not sharper than it."""
    bayes: bool = False
    """Add what each unknown costs an estimator that knows its prior: the exact limit, the same stars in
    every row."""
    conditions: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "survey"
    """Whose unknowns with which priors, for --bayes: published, survey, or a YAML file."""
    n_bayes: int = 500
    """Stars simulated per magnitude and row for --bayes."""
    seed: int = 0
    """Seed of these stars."""
    json: File = None
    """Write everything shown, with provenance."""
    csv: File = None
    """Write the table."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def check(self) -> None:
        """Refuses what `ForwardModelOptions.check` does, options without effect, no conditions."""
        from crlb.observation.condition_file import find_conditions

        super().check()
        check_used(self, "bayes", ("conditions", "n_bayes", "seed"))
        find_conditions(self.conditions)
        if self.n_bayes < 2:
            raise UsageError(f"--n-bayes must be 2 or more, found {self.n_bayes}")
        check_at_most(n_bayes=(self.n_bayes, MOST_STARS))

    def __call__(self) -> None:
        from crlb.ceilings.nuisance_effects import nuisance_effects
        from crlb.observation.build import with_unknowns
        from crlb.observation.nuisances import Nuisances

        unknown = Nuisances(amplitude=True, continuum=CONTINUUM_ORDER, rv=True, lsf=not self.no_lsf)
        model, nuisances = with_unknowns(
            self.load_grid(), self.load_spectrograph(), unknown,
            wave_range=self.wave_range, degree=self.degree,
        )  # fmt: skip
        mags = self.magnitudes(model)
        with progress("bounds at the nodes", len(model.emulator.nodes), unit="nodes") as advance:
            result = nuisance_effects(
                nuisances,
                model,
                mags,
                label=self.target,
                advance=advance,
            )
        if self.bayes:
            result = self._with_prices(result, mags)
        result = replace(result, provenance=result.provenance | self.provenance())
        print(result.table())
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(result.as_rows(), path),
            },
            self.overwrite,
        )

    def _with_prices(self, result: "NuisanceEffects", mags: list[float]) -> "NuisanceEffects":
        """The result with the exact limit under each unknown, and the conditions in its provenance."""
        import jax

        from crlb.ceilings.prices import prices, unknowns_one_by_one
        from crlb.observation.condition_file import find_conditions

        conditions = find_conditions(self.conditions)
        rows = unknowns_one_by_one(conditions)
        with progress("exact limits", len(rows) * len(mags) * self.n_bayes) as advance:
            found = prices(
                self.load_under, rows, mags, label=self.target, n=self.n_bayes,
                key=jax.random.key(self.seed), advance=advance,
            )  # fmt: skip
        about: dict[str, Json] = {"conditions": asdict(conditions), "seed": self.seed}
        return replace(result, prices=found, provenance=result.provenance | about)
