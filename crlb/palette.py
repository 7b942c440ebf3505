"""Colours, type and paper of all figures: a colour has one meaning, also in grey and to the colour-blind.

A figure is drawn for a `Sheet`: a page (`PAGE`) or one column of it (`COLUMN`).

A method, a limit or a bound has its own colour in every figure (`METHODS`, `LIMIT`, `BOUND`). What else is to
be told apart in one figure takes `steps(n)`, colours of one ramp from dark to light; marker and dashes differ
as well. The lightness L* (CIE 1976) of neighbours differs by 12 at least; tests compute it, and the distances
that are left of colours with deuteranopia.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_WIDTH_IN, PAGE_WIDTH_IN = 3.5, 7.2  # of a two-column journal page
TYPE_PT = 7.0  # the smallest type
ARM_WIDTH = 24  # characters of the name of an arm in a column

LIMIT = "#000000"  # what no estimator passes: the exact limit, the posterior mean
BOUND = "#727272"  # Cramér-Rao: what binds unbiased estimators
METHODS = {  # in the order of legends; L* beside them
    "SpecViT, taught": "#510011",  # 14
    "SpecViT": "#c20a28",  # 41
    "Template fit": "#0aa59d",  # 61
    "CNN": "#febb2f",  # 80
    "MLP": "#3d3198",  # 28
    "LightGBM": "#409240",  # 54
    "Ridge": "#24adf1",  # 67
}
PUBLISHED = "#a8a8a8"  # what others have published, drawn thin
BACKGROUND = "0.92"  # bands and grids behind everything

COLOR_MAP = "cividis"  # of numbers; lightness grows evenly, as it does without red and green
RAMP = ("#002545", "#3b3468", "#764370", "#a45871", "#c47864", "#d49e60", "#e8c25f")  # L* 14 to 80
DATA, MODEL = "#9a9a9a", "#002545"  # an observed spectrum; the model beside it
# On dark paper greys are turned round and the model is light; other colours are mixed with white.
ON_DARK = {LIMIT: "#ffffff", BOUND: "#8d8d8d", PUBLISHED: "#575757", DATA: "#7d7d7d", MODEL: "#b9cde0"}
WHITE_ON_DARK = 0.36  # share of white in them
MARKERS = "osD^vPX*"
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))

SYMBOLS = {
    "T_eff": r"$T_\mathrm{eff}$",
    "log_g": "log $g$",
    "M_H": "[M/H]",
    "a_M": r"[$\alpha$/M]",
    "C_M": "[C/M]",
}
STYLE: dict[Any, Any] = {
    **dict.fromkeys(
        (
            *("font.size", "axes.labelsize", "axes.titlesize", "figure.titlesize", "figure.labelsize"),
            *("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"),
        ),
        TYPE_PT,
    ),
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "image.cmap": COLOR_MAP,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Sheet:
    """The paper that a figure is drawn for.

    Args:
        width: inches.
    """

    width: float

    @property
    def narrow(self) -> bool:
        """Whether there is no room for one panel beside another."""
        return self.width < PAGE_WIDTH_IN

    def panels(
        self, n: int, height: float, widths: Sequence[float | int] = (), **options: Any
    ) -> "tuple[Figure, list[Axes]]":
        """Returns a figure of n panels, beside each other on a page and one above the other in a column.

        Args:
            n: their number.
            height: of a panel with its axes, inches.
            widths: ratios on a page; default: all alike.
            options: of `matplotlib.figure.Figure.subplots`.
        """
        rows, columns = (n, 1) if self.narrow else (1, n)
        if widths and not self.narrow:
            options |= {"width_ratios": widths}
        return self.grid(rows, columns, height, **options)

    def grid(self, rows: int, columns: int, height: float, **options: Any) -> "tuple[Figure, list[Axes]]":
        """Returns a figure of rows of panels, each so high in inches, row by row."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self.width, rows * height))
        return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)

    def one(self, height: float, share: float = 1.0) -> "tuple[Figure, Axes]":
        """Returns a figure of one panel, as wide as `share` of a page, or a column."""
        whole = self if self.narrow else Sheet(share * self.width)
        figure, (axes,) = whole.grid(1, 1, height)
        return figure, axes

    def wrapped(self, names: Sequence[str], width: int = ARM_WIDTH) -> list[str]:
        """Returns names as they are, in a column broken into lines."""
        return [textwrap.fill(name, width) for name in names] if self.narrow else list(names)


PAGE, COLUMN = Sheet(PAGE_WIDTH_IN), Sheet(COLUMN_WIDTH_IN)


def steps(n: int) -> tuple[str, ...]:
    """Returns n colours of `RAMP`, dark to light; of more than six every other one is light.

    Raises:
        ValueError: fewer than one or more than twelve.
    """
    if not 1 <= n <= 12:
        raise ValueError(f"n must be 1 to 12 colours, found {n}; draw fewer series in one panel")
    places = [round(i * 1000 / max(1, n - 1)) / 1000 for i in range(n)]
    found = [_between(place) for place in places]
    half = (n + 1) // 2
    return tuple(found if n <= 6 else [found[i // 2 + half * (i % 2)] for i in range(n)])


def looks(n: int) -> list[dict[str, Any]]:
    """Returns colour, marker and dashes of n series as keywords of matplotlib."""
    marks, dashes = islice(cycle(MARKERS), n), islice(cycle(DASHES), n)
    return [
        {"color": color, "marker": mark, "linestyle": dash}
        for color, mark, dash in zip(steps(n), marks, dashes, strict=True)
    ]


def on_dark(color: str) -> str:
    """Returns what a colour of this palette, as #rrggbb, becomes on dark paper: the same hue, lighter."""
    share = WHITE_ON_DARK
    mixed = "#" + "".join(f"{round(255 * share + (1 - share) * part):02x}" for part in _channels(color))
    return ON_DARK.get(color, mixed)


def symbol(name: str) -> str:
    """Returns how a label is written in a figure; one of another name without its underscores."""
    return SYMBOLS.get(name, name.replace("_", " "))


def symbol_with_unit(name: str, unit: str) -> str:
    """Returns the label as the text of an axis."""
    return f"{symbol(name)} ({unit})" if unit else symbol(name)


@contextmanager
def styled() -> Iterator[None]:
    """The style of all figures, for drawing and for writing them: tick labels are made when written."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def settled(figure: "Figure") -> "Figure":
    """Returns the figure with its layout and all its text made in the style of now."""
    figure.draw_without_rendering()
    return figure


def _between(place: float) -> str:
    """The colour at a place of the ramp from 0 to 1, linear between its entries."""
    at = place * (len(RAMP) - 1)
    low = min(int(at), len(RAMP) - 2)
    pairs = zip(_channels(RAMP[low]), _channels(RAMP[low + 1]), strict=True)
    return "#" + "".join(f"{round(a + (at - low) * (b - a)):02x}" for a, b in pairs)


def _channels(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
