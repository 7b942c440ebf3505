"""How the figures of the experiments look; they are plotted from results alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.files.output import new_file
from crlb.files.records import Record
from experiments.study.rows import CurvePoint, Run, column, intervals

Style: TypeAlias = dict[str, Any]  # keywords of matplotlib

COLUMN_WIDTH_IN, PAGE_WIDTH_IN = 3.5, 7.2  # of a two-column journal page
COLORS = {  # of the methods, told apart in grey by marker, line and lightness as well
    "SpecViT": "#b2182b",
    "SpecViT, taught": "#7f0015",
    "LightGBM": "#1b7837",
    "Ridge": "#4393c3",
    "CNN": "#e08214",
    "MLP": "#8073ac",
    "Template fit": "#35978f",
    "limit": "black",
    "Cramer-Rao": "0.45",
}
RC: dict[Any, Any] = {
    "font.size": 7,
    "axes.labelsize": 8,
    "legend.fontsize": 6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}


def save(plot: Callable[[], Figure], folder: Path) -> list[Path]:
    """Plots a figure in the common style and writes it as PNG and PDF; returns the files."""
    paths = [folder / "figure.png", folder / "figure.pdf"]
    with plt.rc_context(RC):
        figure = plot()
        with new_file(paths[0], overwrite=True) as temporary:
            figure.savefig(temporary, dpi=300)
        with new_file(paths[1], overwrite=True) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None})
        plt.close(figure)
    return paths


def bars(axes: Axes, rows: Sequence[Run], key: str = "r2", color: str = COLORS["SpecViT"]) -> None:
    """Horizontal dots with intervals, the first row on top, named by their arms.

    A dot rather than a bar: R2 has no meaningful zero here.
    """
    places, found = range(len(rows)), intervals(rows, key)
    axes.errorbar(found.value, places, xerr=found.reach, fmt="o", color=color, capsize=2, elinewidth=0.8)
    axes.set_yticks(list(places), [row.arm for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    light_grid(axes, "x")


def light_grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Pale lines behind everything else."""
    axes.grid(axis=axis, color="0.93", linewidth=0.4)
    axes.set_axisbelow(True)


def curve(axes: Axes, rows: Sequence[CurvePoint], endless: int, style: Style) -> None:
    """R2 against the number of training spectra: a band around it, an error bar where they are endless.

    Args:
        axes: where.
        rows: the points of one curve.
        endless: place of endless spectra on the axis.
        style: of the line.
    """
    finite, rest = ([row for row in rows if (row.n is None) == end] for end in (False, True))
    x, found = column(finite, "n"), intervals(finite)
    axes.fill_between(x, found.low, found.high, color=style["color"], alpha=0.2, linewidth=0)
    axes.plot(x, found.value, **style)
    for row in rest:
        one = intervals([row])
        axes.errorbar([endless], one.value, yerr=one.reach, capsize=2, **style | {"label": None})


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """A legend under the figure, every name of the axes once."""
    handles, names = axes.get_legend_handles_labels()
    shown = dict(zip(names, handles, strict=True))
    figure.legend(shown.values(), shown.keys(), frameon=False, loc="outside lower center", ncols=columns)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def interval(row: Record | None, key: str = "r2", digits: int = 3) -> str:
    """A score with its interval; a dash where there is none, say of too few spectra."""
    value = getattr(row, key, None)
    if value is None:
        return "-"
    low, high = getattr(row, f"{key}_low"), getattr(row, f"{key}_high")
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
