"""Best windows of `crlb information`: where a spectrograph of a given width should look for a label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from crlb.files.records import Record
from crlb.files.text import text_of
from crlb.labels import unit_of
from crlb.palette import DASHES, LIMIT, steps, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from crlb.fisher.information import WindowBounds
    from crlb.observation.star import Star

Known = Literal["conditional", "marginal"]
WORDS: Mapping[Known, str] = {"conditional": "others known", "marginal": "all unknown"}


@dataclass(frozen=True)
class WindowBound(Record):
    """What a window of the spectrum alone tells of a label.

    Args:
        low: edge of its first pixel, vacuum Å.
        high: edge of its last pixel.
        n_pix: how many it has.
        bound: 1-sigma in the label's unit, `conditional` (all else known) and `marginal` (all else unknown,
            from this window; NaN where it cannot tell the unknowns apart).
        share: 1/bound^2 over that of all pixels in use, likewise.
        features: lines and heads of bands in it, the bluest first.
    """

    low: float
    high: float
    n_pix: int
    bound: dict[str, float]
    share: dict[str, float]
    features: tuple[str, ...]


@dataclass(frozen=True)
class BestWindows(Record):
    """The best windows of one width for a label, and the best of those that do not overlap them.

    Args:
        width: asked for, Å; windows are of whole pixels.
        n_windows: how many there are.
        conditional: the best with all else known, then the runner-up.
        marginal: likewise with all else unknown; none where no window tells the unknowns apart.
        n_undetermined: windows that do not.
        reason: why the bluest of them does not.
    """

    width: float
    n_windows: int
    conditional: tuple[WindowBound, ...]
    marginal: tuple[WindowBound, ...]
    n_undetermined: int
    reason: str


@dataclass(frozen=True, eq=False)
class SlidingBounds(Record):
    """1-sigma bounds on a label, in its unit, from every window of a width alone.

    Args:
        width: asked for, Å.
        low: edge of the first pixel of a window, vacuum Å.
        high: edge of its last pixel.
        conditional: all else known; inf where the window does not depend on the label.
        marginal: all else unknown; NaN where the window cannot tell the unknowns apart.
    """

    width: float
    low: Float[np.ndarray, " n_windows"]
    high: Float[np.ndarray, " n_windows"]
    conditional: Float[np.ndarray, " n_windows"]
    marginal: Float[np.ndarray, " n_windows"]


def slide(
    star: "Star", target: str, width: float, whole: Mapping[str, float]
) -> tuple[BestWindows, SlidingBounds]:
    """Returns the best windows of a width, Å, and the bounds from all of them.

    Args:
        star: with its unknowns.
        target: which of them is asked for.
        width: Å.
        whole: information of all pixels, 1/unit^2: `conditional` and `marginal`.

    Raises:
        UsageError: the width is that of less than two pixels, or more than they cover.
    """
    from crlb.fisher.information import window_bounds
    from crlb.fisher.windows import least_apart

    found = window_bounds(
        star.jac, 1 / star.variance, star.wave, target, width=width, label_names=star.label_names
    )
    known, unknown = (
        tuple(_window(found, i, whole) for i in least_apart(bound, found.at, 2))
        for bound in (found.conditional, found.marginal)
    )
    lost = int(np.isnan(found.marginal).sum())
    return (
        BestWindows(width, len(found.marginal), known, unknown, lost, found.reason),
        SlidingBounds(width, found.at.low, found.at.high, found.conditional, found.marginal),
    )


def _window(found: "WindowBounds", i: int, whole: Mapping[str, float]) -> WindowBound:
    from crlb.fisher.features import FEATURES

    low, high = float(found.at.low[i]), float(found.at.high[i])
    bound = {"conditional": float(found.conditional[i]), "marginal": float(found.marginal[i])}
    share = {known: bound[known] ** -2 / whole[known] for known in bound}
    names = tuple(feature.name for feature in FEATURES if low <= feature.wave <= high)
    return WindowBound(low, high, int(found.at.n_pix[i]), bound, share, names)


def best_table(target: str, best: BestWindows) -> str:
    """Returns the best windows of one width with bounds, shares and lines, and remarks, as text."""
    from rich import box
    from rich.table import Table

    title = f"{target}: best windows of {best.width:g} Å; bound ({unit_of(target)}) of a window alone, share"
    table = Table(box=box.SIMPLE, title=title)
    table.add_column("best with")
    for head in ("vacuum Å", *WORDS.values()):
        table.add_column(head, justify="right")
    table.add_column("lines in it")
    for known, words in WORDS.items():
        for name, window in zip((words, "  runner-up"), getattr(best, known), strict=False):
            table.add_row(name, *_cells(window))
    return text_of(table, _remarks(best))


def _cells(window: WindowBound) -> list[str]:
    bounds = [_bound_and_share(window, known) for known in WORDS]
    return [f"{window.low:.1f}-{window.high:.1f}", *bounds, ", ".join(window.features) or "-"]


def _bound_and_share(window: WindowBound, known: Known) -> str:
    bound, share = window.bound[known], window.share[known]
    return "-" if np.isnan(bound) else f"{bound:.4g} {share:6.1%}"


def _remarks(best: BestWindows) -> str:
    """What is printed under the table."""
    said = "All unknown: the window must tell the others too. Shares are of the information in all pixels."
    if not best.n_undetermined:
        return said
    if best.n_undetermined == best.n_windows:
        lost = "No window tells the unknowns apart"
    else:
        lost = (
            f"The best with all unknown is that of {best.n_windows - best.n_undetermined:,} windows of "
            f"{best.n_windows:,}: the others do not tell the unknowns apart"
        )
    return f"{said} {lost}; of the bluest that does not: {best.reason}."


def plot_sliding(axes: "Axes", target: str, curves: Sequence[SlidingBounds]) -> None:
    """Draws the bounds from all windows against their centres, with a point at the best of each curve."""
    shades = dict(zip(WORDS, reversed(steps(2)), strict=True))
    for curve, dashes in zip(curves, cycle(DASHES), strict=False):
        centre = (curve.low + curve.high) / 2
        for known, color in shades.items():
            bound = getattr(curve, known)
            shown = np.where(np.isfinite(bound), bound, np.nan)
            axes.plot(centre, shown, color=color, linestyle=dashes, linewidth=0.8)
            if np.isfinite(bound).any():
                best = int(np.nanargmin(shown))
                axes.plot(centre[best], shown[best], "o", color=color)
        axes.plot([], [], color=LIMIT, linestyle=dashes, label=f"{curve.width:g} Å")
    axes.set(ylabel=f"bound on {symbol(target)} ({unit_of(target)})\nfrom a window alone", yscale="log")
    axes.legend(title="window", ncols=2)
