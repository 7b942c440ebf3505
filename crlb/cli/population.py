"""The options that name a table of stars in place of the nodes of the grid and of a box."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from crlb.cli.brightness import Brightnesses
from crlb.cli.checks import check_names, check_used
from crlb.cli.forward_model import File, ForwardModelOptions, pairs
from crlb.errors import UsageError

if TYPE_CHECKING:
    from crlb.bayes.population import Population
    from crlb.grids.emulator import Emulator
    from crlb.observation.forward_model import ForwardModel
    from crlb.readers.star_table import StarTable

Widths = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=SIGMA [...]")]


@dataclass(frozen=True, kw_only=True)
class WithTable(ForwardModelOptions):
    """A forward model, and stars of a table."""

    population: File = None
    """Stars of a table (CSV or ECSV, a row each; columns T_eff in K, log_g, M_H ... in dex; mag and weight if
    there) instead of nodes and box; with a column mag and no --mag: as bright as they are; default: none."""
    population_outside: Literal["refuse", "drop"] = "refuse"
    """Stars of the table outside the grid: say how many and stop, or leave them out."""

    def inputs(self) -> dict[str, Path | None]:
        """Returns the files read: option -> file."""
        return super().inputs() | {"--population": self.population}

    def check(self) -> None:
        """Refuses what `ForwardModelOptions.check` does, and options of a table of stars without one."""
        super().check()
        check_used(self, "population", ("population_outside",))

    def table(self) -> "StarTable":
        """Returns the table of stars as it is.

        Raises:
            MissingInputError, DataError: as `read_star_table`.
        """
        from crlb.readers.star_table import read_star_table

        assert self.population is not None
        return read_star_table(self.population)

    def stars(self, table: "StarTable", emulator: "Emulator") -> "tuple[Population, int]":
        """Returns the stars of the table within the grid, and how many are not.

        Raises:
            DataError: as `make_population`.
        """
        from crlb.bayes.population import make_population

        drop = self.population_outside == "drop"
        return make_population(table, emulator.label_names, emulator.low, emulator.high, drop_outside=drop)


@dataclass(frozen=True, kw_only=True)
class WithPopulation(WithTable, Brightnesses):
    """A forward model, brightnesses, and stars of a table."""

    population_smooth: Widths = ()
    """Gaussian kernels for the exact limit on stars of a table, 1 sigma by label in its unit, for example
    T_eff=40 log_g=0.1; default: none, the table as it is."""

    def check(self) -> None:
        """Refuses what `WithTable.check` and `Brightnesses.check` do, and kernels that are none."""
        super().check()
        check_used(self, "population", ("population_smooth",))
        widths = self.widths()
        check_names("--population-smooth", list(widths), self.free_labels())
        for name, width in widths.items():
            if not 0 < width < float("inf"):
                raise UsageError(f"--population-smooth {name} must be positive and finite, found {width:g}")

    def widths(self) -> Mapping[str, float]:
        """Returns the widths of the kernels by label."""
        return pairs("--population-smooth", self.population_smooth)

    def own_mags(self, table: "StarTable") -> bool:
        """Returns whether the stars of the table are as bright as it says: no brightness is asked for."""
        default = type(self).__dataclass_fields__["mag"].default
        return "mag" in table.columns and not self.snr and self.mag == default

    def mags_of(self, model: "ForwardModel", population: "Population") -> list[float]:
        """Returns the magnitudes of all bins; those of --snr are of the median star of the table."""
        return self.brightness(model, self.mag, [list(map(float, star)) for star in population.labels])
