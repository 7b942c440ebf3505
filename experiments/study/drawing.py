"""How the figures of the experiments look; they are drawn from results alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.files.output import new_file

COLUMN_WIDTH_IN, PAGE_WIDTH_IN = 3.5, 7.2  # of a two-column journal page
COLORS = {  # of the methods, told apart in grey by marker, line and lightness as well
    "SpecViT": "#b2182b",
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


def save(draw: Callable[[dict[str, Any]], Figure], results: dict[str, Any], folder: Path) -> list[Path]:
    """Draws the figure in the common style and writes it as PNG and PDF."""
    paths = [folder / "figure.png", folder / "figure.pdf"]
    with plt.rc_context(RC):
        figure = draw(results)
        with new_file(paths[0], overwrite=True) as temporary:
            figure.savefig(temporary, dpi=300)
        with new_file(paths[1], overwrite=True) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None})
        plt.close(figure)
    return paths


def bars(axes: Axes, rows: Sequence[dict[str, Any]], key: str = "r2", color: str = COLORS["SpecViT"]) -> None:
    """Horizontal dots with intervals, the first row on top; rows have `arm`, `key`, `key`_low, `key`_high.

    A dot rather than a bar: R2 has no meaningful zero here.
    """
    places = range(len(rows))
    value = [row[key] for row in rows]
    low = [row[key] - row[f"{key}_low"] for row in rows]
    high = [row[f"{key}_high"] - row[key] for row in rows]
    axes.errorbar(value, places, xerr=[low, high], fmt="o", color=color, capsize=2, elinewidth=0.8)
    axes.set_yticks(list(places), [row["arm"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="0.93", linewidth=0.4)
    axes.set_axisbelow(True)


def curve(axes: Axes, rows: Sequence[dict[str, Any]], endless: int, style: dict[str, Any]) -> None:
    """R2 against the number of training spectra: a band around it, an error bar where they are endless.

    Args:
        axes: where.
        rows: have `n` (None: endless), `r2`, `r2_low`, `r2_high`.
        endless: place of endless spectra on the axis.
        style: of the line.
    """
    finite, rest = ([row for row in rows if (row["n"] is None) == end] for end in (False, True))
    x = [row["n"] for row in finite]
    low, high = ([row[f"r2_{end}"] for row in finite] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.plot(x, [row["r2"] for row in finite], **style)
    for row in rest:
        reach = [[row["r2"] - row["r2_low"]], [row["r2_high"] - row["r2"]]]
        axes.errorbar([endless], [row["r2"]], yerr=reach, capsize=2, **style | {"label": None})


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def interval(row: dict[str, Any], key: str = "r2", digits: int = 3) -> str:
    """A score with its interval; a dash where there were too few spectra to score."""
    if row.get(key) is None:
        return "-"
    return f"{row[key]:.{digits}f} ({row[f'{key}_low']:.{digits}f} to {row[f'{key}_high']:.{digits}f})"
