"""How the cost of a flux and of a Fisher matrix grows, from what `benchmarks/cost.py` measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from crlb.palette import looks
from experiments.study.plotting import PAGE, Sheet, legend_below, light_grid, sentences

QUANTITIES = ("flux", "Fisher matrix")
WORDS = {"nodes": "nodes of the grid", "pixels": "pixels", "labels": "labels", "spectra": "spectra at once"}


@dataclass(frozen=True)
class Cost:
    """Times per spectrum.

    Args:
        sweeps: what varies -> its value -> quantity -> milliseconds per spectrum.
        otherwise: the value of each where another one varies.
    """

    sweeps: Mapping[str, Mapping[int, Mapping[str, float]]]
    otherwise: Mapping[str, int]

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> "Cost":
        """The times in what the benchmark has written."""
        sweeps = {
            what: {int(value): row for value, row in rows.items()} for what, rows in found["sweeps"].items()
        }
        return cls(sweeps, found["otherwise"])

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """A panel for everything that varies: four beside each other, or two by two in a column."""
        rows, columns = (2, 2) if sheet.narrow else (1, 4)
        figure, panels = sheet.grid(rows, columns, 1.9 if sheet.narrow else 2.4, sharey=True)
        for axes, (what, found) in zip(panels, self.sweeps.items(), strict=True):
            for quantity, look in zip(QUANTITIES, looks(2), strict=True):
                axes.plot(list(found), [row[quantity] for row in found.values()], label=quantity, **look)
            axes.set(xscale="linear" if what == "labels" else "log", yscale="log", xlabel=WORDS[what])
            axes.set_xticks(list(found), list(map(str, found)), rotation=45)
            axes.minorticks_off()
            light_grid(axes)
        for axes in panels[::columns]:
            axes.set_ylabel("ms per spectrum")
        legend_below(figure, panels[0], columns=2)
        return figure

    def caption(self) -> str:
        """What the figure shows."""
        others = ", ".join(f"{value:,} {name}" for name, value in self.otherwise.items() if name != "rank")
        return sentences(
            "Time per spectrum of a model flux, and of its Fisher matrix (what the spectrum tells about the "
            "labels, with all derivatives) in double precision on two shared CPU cores, one size at a time",
            f"The others are {others}; where labels vary, each has 6 nodes",
            "A single spectrum pays for the start of the computation alone",
        )
