"""How the figures of the experiments look; they are plotted from results alone.

Every figure is drawn for a page and for one column of it; what it shows is told by its caption.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.legend import Legend
from PIL import Image

from crlb.files.output import new_file
from crlb.files.records import Record
from crlb.palette import BACKGROUND, BOUND, LIMIT, METHODS, styled
from crlb.palette import COLUMN as COLUMN
from crlb.palette import PAGE as PAGE
from crlb.palette import Sheet as Sheet
from experiments.study.rows import CurvePoint, Run, column, intervals

Style: TypeAlias = dict[str, Any]  # keywords of matplotlib
COLORS = METHODS | {"limit": LIMIT, "Cramer-Rao": BOUND}
PNG_DPI = 200
# Sentences that captions share.
R2 = "R² is one minus the mean squared error over the variance of the label"
EXACT = "the exact limit is the R² of the posterior mean, which no estimator exceeds on average"
SNR = "SNR is the median over pixels of noiseless flux over noise, per pixel of 0.427 Å"


class Drawn(Protocol):
    """A result that has a figure."""

    def plot(self, sheet: Sheet = ...) -> Figure: ...
    def caption(self) -> str: ...


def save(result: Drawn, folder: Path, stem: str = "figure", caption: str = "caption.md") -> list[Path]:
    """Writes STEM.png and STEM.pdf for a page, STEM_column.pdf, and the caption; returns the files."""
    png, page, narrow = (folder / f"{stem}{ending}" for ending in (".png", ".pdf", "_column.pdf"))
    with styled():
        for sheet, pdf in ((PAGE, page), (COLUMN, narrow)):
            figure = result.plot(sheet)
            with new_file(pdf, overwrite=True) as temporary:
                figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})
            if sheet is PAGE:
                save_png(figure, png)
            plt.close(figure)
    with new_file(folder / caption, overwrite=True) as temporary:
        temporary.write_text(result.caption() + "\n", encoding="utf-8")
    return [png, page, narrow, folder / caption]


def save_png(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG of 256 colours."""
    content = io.BytesIO()
    figure.savefig(content, dpi=PNG_DPI, format="png")
    with Image.open(content) as image, new_file(path, overwrite=True) as temporary:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        few.save(temporary, format="PNG", optimize=True, dpi=(PNG_DPI, PNG_DPI))


def bars(axes: Axes, rows: Sequence[Run], names: Sequence[str], key: str = "r2", **style: Any) -> None:
    """Horizontal dots with intervals, the first row on top.

    A dot rather than a bar: R2 has no meaningful zero here.
    """
    places, found = range(len(rows)), intervals(rows, key)
    look: Style = {"color": COLORS["SpecViT"], "marker": "o"} | style
    axes.errorbar(found.value, places, xerr=found.reach, linestyle="none", capsize=2, elinewidth=0.8, **look)
    axes.set_yticks(list(places), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    light_grid(axes, "x")


def light_grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Pale lines behind everything else."""
    axes.grid(axis=axis, color=BACKGROUND, linewidth=0.4)
    axes.set_axisbelow(True)


def curve(axes: Axes, rows: Sequence[CurvePoint], endless: float, style: Style) -> None:
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


def legend_below(figure: Figure | SubFigure, *panels: Axes, columns: int, **options: Any) -> Legend:
    """A legend under the figure, every name of the panels once, in `columns` or as many as fit."""
    shown: dict[str, Any] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            shown.setdefault(name, handle)
    for ncols in range(min(columns, len(shown)), 0, -1):
        found = figure.legend(
            shown.values(), shown.keys(), loc="outside lower center", ncols=ncols, **options
        )
        if ncols == 1 or found.get_window_extent().width <= figure.bbox.width:
            break
        found.remove()
    return found


def sentences(*parts: str) -> str:
    """Parts of a caption as sentences."""
    return " ".join(f"{part[:1].upper()}{part[1:].rstrip('.')}." for part in parts if part)


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
