"""The figure of `efficiency`: by property, the share of each cell, and maps."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from crlb.palette import COLOR_MAP, LIMIT
from experiments.efficiency.rows import Cell, ExcessMap, Group
from experiments.study.cells import log_ticks, plot_map
from experiments.study.plotting import COLORS, PAGE, Sheet, Style, legend_below, light_grid
from experiments.study.rows import intervals

MAPS = (
    ("excess", "excess $\\langle(p-m)^2\\rangle$ (dex$^2$)"),
    ("relative", "excess / posterior variance"),
)


def plot(groups: Mapping[str, Group], found: ExcessMap, sheet: Sheet = PAGE) -> Figure:
    """Efficiency and share of the excess by property, and the excess over two of them."""
    figure = plt.figure(figsize=(sheet.width, 9.6 if sheet.narrow else 6.2))
    half = (len(groups) + 1) // 2
    items = list(groups.items())
    parts = [items[:half], items[half:]] if sheet.narrow else [items]
    heights = [1.5] * len(parts) + [1.9 if sheet.narrow else 1]
    *uppers, lower = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for upper, some in zip(uppers, parts, strict=True):
        plot_groups(upper, dict(some))
    legend_below(uppers[-1], *uppers[-1].axes, columns=5)
    panels = lower.subplots(*((2, 1) if sheet.narrow else (1, 2)))
    for axes, (key, title) in zip(panels, MAPS, strict=True):
        plot_map(axes, found, key, title, Normalize(vmin=0), COLOR_MAP)
    return figure


def plot_groups(figure: SubFigure, groups: Mapping[str, Group]) -> None:
    """Two panels for every property, one above the other."""
    panels = figure.subplots(
        2, len(groups), sharex="col", sharey="row", height_ratios=[1.3, 1], squeeze=False
    )
    for (top, bottom), (name, group) in zip(panels.T, groups.items(), strict=True):
        plot_efficiency(top, group.scored)
        plot_shares(bottom, group.scored)
        bottom.set_xlabel(group.title.replace(", ", ",\n").replace(" of ", "\nof "))
        if name == "snr":
            log_ticks(bottom, [3, 5, 10, 20])
    panels[1, 0].set_ylim(bottom=0)
    panels[0, 0].set_ylabel(r"$R^2/R^2_\mathrm{Bayes}$ of log $g$")
    panels[1, 0].set_ylabel("share per cell (%)")


def edges_of(scored: Sequence[Cell]) -> np.ndarray:
    """Low and high edge of every cell."""
    return np.array([(cell.low, cell.high) for cell in scored], float)


def plot_efficiency(axes: Axes, scored: Sequence[Cell]) -> None:
    """Network and posterior mean with intervals, and what the network's spectra lead one to expect."""
    low, high = edges_of(scored).T
    place, width, color = (low + high) / 2, high - low, COLORS["SpecViT"]
    axes.axhline(1, color="0.6", linewidth=0.6)
    for name, label, shift, marker, tone in (
        ("control", "posterior mean", -0.08, "^", LIMIT),
        ("efficiency", "SpecViT", 0.08, "o", color),
    ):
        one = intervals(scored, name)
        axes.errorbar(
            place + shift * width, one.value, yerr=one.reach, label=label,
            fmt=marker, color=tone, elinewidth=0.6, markersize=2.5,
        )  # fmt: skip
    one = intervals(scored, "expected")
    axes.plot(place, one.value, color=color, label="SpecViT, expected")
    axes.fill_between(place, one.low, one.high, color=color, alpha=0.25, linewidth=0)
    light_grid(axes)


def plot_shares(axes: Axes, scored: Sequence[Cell]) -> None:
    """Share of the total excess in each cell beside its share of the stars."""
    ends = edges_of(scored)
    edges = [ends[0, 0], *ends[:, 1]]
    excess: Style = {"color": COLORS["SpecViT"], "alpha": 0.35, "fill": True}
    for key, label, style in (
        ("share_of_excess", "share of the excess", excess),
        ("share_of_stars", "share of the stars", {"color": "0.35", "linestyle": "--"}),
    ):
        axes.stairs([100 * getattr(cell, key) for cell in scored], edges, label=label, **style)
