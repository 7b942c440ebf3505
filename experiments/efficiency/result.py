"""What `efficiency` leaves: scores and excess in cells, their table and their figure."""

from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from experiments.efficiency import figure
from experiments.efficiency.rows import Cell, ExcessMap, Group, Network, Top
from experiments.study.plotting import PAGE, R2, SNR, Sheet, interval, markdown, sentences
from experiments.study.result import Result

HEADS = [
    "cell", "n", "R2", "R2_Bayes", "R2/R2_Bayes", "of the posterior mean", "network/posterior mean",
    "expected", "excess, 0.01 dex^2", "share of excess", "share of stars",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EfficiencyResult(Result):
    """Scores and excess of all stars, in cells of one property, and of two."""

    network: Network
    all: Cell
    groups: dict[str, Group]
    map: ExcessMap
    largest: tuple[Top, ...]

    def table(self) -> str:
        """One line per cell, all stars first; then how much the largest excesses hold."""
        lines = [["all", *cells_of(self.all)]]
        for name, group in self.groups.items():
            lines += [[f"{name} {one.low:.4g} to {one.high:.4g}", *cells_of(one)] for one in group.scored]
        tops = "\n".join(
            f"- the {top.share_of_stars:.0%} of the stars with the largest excess hold "
            f"{top.share_of_excess:.0%} of it (normal deviations: {top.normal:.0%})"
            for top in self.largest
        )
        return f"{markdown(HEADS, lines)}\n\n{tops}"

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Efficiency and share of the excess by property, and the excess over two of them."""
        return figure.plot(self.groups, self.map, sheet)

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            f"How much of what could be known SpecViT reads of log g of {self.all.n:,} test stars. Upper "
            "rows: R² over that of the exact posterior (R²_Bayes) in cells of one property (all stars: "
            f"SpecViT {self.all.efficiency:.3f}, posterior mean {self.all.control:.3f}); the band is what "
            "the spectra SpecViT was trained on lead one to expect. Below: share of the excess, which is "
            "the mean squared distance (p - m)² of the network's estimate p from the posterior mean m, "
            "that lies in a cell, beside the cell's share of the stars. Maps: the excess, and the excess "
            "over the posterior variance; white: too few stars",
            R2, SNR, "Error bars: 95 %, from resampled stars",
        )  # fmt: skip


def cells_of(found: Cell) -> list[str]:
    """Numbers of a scored cell as text."""
    names = ("excess", "excess_low", "excess_high")
    hundredths = replace(found, **{name: 100 * getattr(found, name) for name in names})
    return [
        str(found.n),
        f"{found.r2:.3f}",
        f"{found.r2_bayes:.3f}",
        *(interval(found, name) for name in ("efficiency", "control", "against_mean", "expected")),
        interval(hundredths, "excess", 2),
        f"{found.share_of_excess:.1%}",
        f"{found.share_of_stars:.1%}",
    ]
