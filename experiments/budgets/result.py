"""What `budgets` leaves: R2 of every method by number of spectra, as a table and as a figure."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from crlb.files.records import Record
from crlb.palette import LIMIT
from experiments.study.beside_limit import LimitRun
from experiments.study.plotting import (
    COLORS,
    EXACT,
    PAGE,
    R2,
    Sheet,
    Style,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.result import Result
from experiments.study.rows import column, counted, intervals

STYLES: dict[str, Style] = {  # in the order of legends
    "SpecViT": {"marker": "o", "linestyle": "-"},
    "CNN": {"marker": "D", "linestyle": "-."},
    "MLP": {"marker": "X", "linestyle": "--"},
    "LightGBM": {"marker": "s", "linestyle": (0, (6, 1.5, 1, 1.5, 1, 1.5))},
    "Ridge": {"marker": "^", "linestyle": ":"},
}
TABLED = ("SpecViT", "MLP", "CNN", "LightGBM", "Ridge")  # in the order of the table
APART = 0.03  # of the points of one budget, in units of it


@dataclass(frozen=True, kw_only=True)
class BudgetRow(LimitRun):
    """A method that learnt from so many spectra; the learning rate is None where there is none."""

    method: str
    rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fits(Record):
    """Rows of the methods that are fitted to one set of spectra, and why others are missing."""

    rows: tuple[BudgetRow, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BudgetsResult(Result):
    """The rates tried, a row for every method, budget and seed, and one for every method and budget."""

    tuning: tuple[BudgetRow, ...]
    runs: tuple[BudgetRow, ...]
    rows: tuple[BudgetRow, ...]
    missing: tuple[str, ...]
    limit: float

    def table(self) -> str:
        """One line per budget and method; then the rates that were tried."""
        heads = ["spectra", "method", "seeds", "R2 (95 %)", "R2 / R2_Bayes (95 %)", "MAE, dex"]
        heads += ["learning rate", "parameters", "ms per step"]
        order = sorted(self.rows, key=lambda row: (row.spectra, TABLED.index(row.method)))
        lines = markdown(heads, [cells(row) for row in order])
        rates = markdown(
            ["network", "learning rate", "validation R2 of log g"],
            [[row.method, f"{row.rate:g}", f"{row.validation:.4f}"] for row in self.tuning],
        )
        notes = [f"Left out: {reason}" for reason in self.missing]
        return "\n\n".join([lines, f"Exact limit: {self.limit:.3f}", rates, *notes])

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 against the number of spectra, a curve for every method."""
        figure, axes = sheet.one(3.2, share=0.7)
        for i, (method, style) in enumerate(STYLES.items()):
            mine = sorted((row for row in self.rows if row.method == method), key=lambda row: row.spectra)
            if mine:
                found, color = intervals(mine), COLORS[method]
                x = column(mine, "spectra") * (1 + APART * (i - len(STYLES) // 2))
                axes.errorbar(
                    x, found.value, yerr=found.reach, capsize=2, color=color, label=method, **style
                )  # fmt: skip
        axes.axhline(self.limit, color=LIMIT, linewidth=1.0, label="exact limit of these stars")
        axes.set_xscale("log")
        budgets = sorted({row.spectra for row in self.rows})
        axes.set_xticks(budgets, [f"{n:,}" for n in budgets])
        axes.minorticks_off()
        axes.set_xlabel("training spectra, each seen once")
        axes.set_ylabel("$R^2$ of log $g$")
        light_grid(axes)
        legend_below(figure, axes, columns=3, handlelength=3)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "R² of log g of five methods against the number of spectra they learnt from, each seen once; the "
            "learning rate of every network was chosen on other stars. Points of one number are set apart a "
            "little along the axis",
            R2, EXACT, f"Error bars: 95 %, {counted(self.rows)}",
        )  # fmt: skip


def cells(row: BudgetRow) -> list[str]:
    """The cells of a row of the table."""
    scores = [interval(row), interval(row, "efficiency"), f"{row.mae:.3f}"]
    rate = "-" if row.rate is None else f"{row.rate:g}"
    parameters = "-" if row.parameters is None else f"{row.parameters:,}"
    step = "-" if row.step_s is None else f"{1e3 * row.step_s:.0f}"
    return [f"{row.spectra:,}", row.method, str(row.seeds), *scores, rate, parameters, step]
