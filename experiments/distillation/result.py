"""What `distillation` leaves: R2 of every arm beside the limit, as a table and as a figure."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from crlb.palette import LIMIT, looks
from experiments.study.beside_limit import LimitRun
from experiments.study.plotting import (
    EXACT,
    PAGE,
    R2,
    Sheet,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.result import Result
from experiments.study.rows import counted, intervals

APART = 0.18  # of the dots of one arm, in rows


@dataclass(frozen=True, kw_only=True)
class DistilledRow(LimitRun):
    """An arm: the change it makes, and whether it learnt from the teacher."""

    change: str
    taught: bool


@dataclass(frozen=True, kw_only=True)
class DistillationResult(Result):
    """A row for every arm, budget and seed, and one for every arm and budget; their teacher."""

    teacher: LimitRun
    runs: tuple[DistilledRow, ...]
    rows: tuple[DistilledRow, ...]
    limit: float

    def table(self) -> str:
        """The teacher, then one line per arm and budget."""
        heads = ["network", "steps", "spectra", "seeds", "R2 (95 %)", "R2 / R2_Bayes (95 %)", "MAE, dex"]
        heads += ["covers 68 %", "covers 95 %", "sigma / exact sigma", "ms per step"]
        lines = [self.cells("teacher", self.teacher), *(self.cells(row.change, row) for row in self.rows)]
        return "\n".join([markdown(heads, lines), f"\nExact limit: {self.limit:.3f}"])

    def cells(self, name: str, row: LimitRun) -> list[str]:
        """The cells of a row; spectra that the teacher saw stand after a plus."""
        assert row.steps is not None
        assert row.step_s is not None
        taught = isinstance(row, DistilledRow) and row.taught
        spectra = f"{row.spectra:,}" + (f" + {self.teacher.spectra:,}" if taught else "")
        told = (row.cover_68, row.cover_95, row.sigma_ratio)
        words = ["-" if value is None else f"{value:.3f}" for value in told]
        scores = [interval(row), interval(row, "efficiency"), f"{row.mae:.3f}"]
        return [
            name, f"{row.steps:,}", spectra, str(row.seeds), *scores, *words, f"{1e3 * row.step_s:.0f}"
        ]  # fmt: skip

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 of every arm, a colour for every budget; the teacher and the limit as lines."""
        changes = list(dict.fromkeys(row.change for row in self.rows))
        budgets = list(dict.fromkeys(row.steps for row in self.rows))
        figure, axes = sheet.one(1.2 + 0.25 * len(changes), share=0.75)
        *styles, last = looks(len(budgets) + 1)
        for i, (steps, style) in enumerate(zip(budgets, styles, strict=True)):
            mine = [row for row in self.rows if row.steps == steps]
            found = intervals(mine)
            places = [changes.index(row.change) + APART * (i - (len(budgets) - 1) / 2) for row in mine]
            style |= {"linestyle": "none", "capsize": 2}
            label = f"{mine[0].spectra:,} spectra"
            axes.errorbar(found.value, places, xerr=found.reach, label=label, elinewidth=0.8, **style)
        label = f"teacher ({self.teacher.spectra:,} spectra)"
        axes.axvline(self.teacher.r2, color=last["color"], linestyle="--", linewidth=1.0, label=label)
        axes.axvline(self.limit, color=LIMIT, linewidth=1.0, label="exact limit of these stars")
        axes.set_yticks(range(len(changes)), sheet.wrapped(changes, 18))
        axes.set_ylim(len(changes) - 0.5, -0.5)
        axes.set_xlabel("$R^2$ of log $g$")
        light_grid(axes, "x")
        legend_below(figure, axes, columns=2)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "A small network trained by its recipe with one change after the other (+: beside those above): "
            "flux scaled by its noise, weights averaged over steps, the outputs of a large network, the "
            "teacher, as targets; then with smaller patches, and with a predicted sigma",
            R2, EXACT, f"Error bars: 95 %, {counted(self.rows)}",
        )  # fmt: skip
