"""The figure of `efficiency`: by property, the share of each cell, and maps."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from experiments.efficiency.rows import Cell, ExcessMap, Group
from experiments.study.cells import log_ticks, plot_map
from experiments.study.plotting import COLORS, PAGE_WIDTH_IN, Style, light_grid
from experiments.study.rows import intervals

MAPS = (
    ("excess", "excess $\\langle(p-m)^2\\rangle$ (dex$^2$)"),
    ("relative", "excess / posterior variance"),
)


def plot(groups: Mapping[str, Group], found: ExcessMap) -> Figure:
    """Efficiency and share of the excess by property, and the excess over two of them."""
    figure = plt.figure(figsize=(PAGE_WIDTH_IN, 6.2))
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.5, 1])[:, 0]
    panels = upper.subplots(2, len(groups), sharex="col", sharey="row", height_ratios=[1.3, 1])
    for (top, bottom), group in zip(panels.T, groups.values(), strict=True):
        plot_efficiency(top, group.scored)
        plot_shares(bottom, group.scored)
        bottom.set_xlabel(group.title, fontsize=7)
    panels[1, 0].set_ylim(bottom=0)
    log_ticks(panels[1, list(groups).index("snr")], [3, 5, 10, 20])
    panels[0, 0].set_ylabel("$R^2/R^2_{Bayes}$ of log $g$")
    panels[1, 0].set_ylabel("share per cell (%)")
    panels[0, 0].legend(frameon=False, loc="lower left")
    panels[1, 0].legend(frameon=False, loc="upper left")
    for axes, (key, title) in zip(lower.subplots(1, 2), MAPS, strict=True):
        plot_map(axes, found, key, title, Normalize(vmin=0), "magma_r")
    return figure


def edges_of(scored: Sequence[Cell]) -> np.ndarray:
    """Low and high edge of every cell."""
    return np.array([(cell.low, cell.high) for cell in scored], float)


def plot_efficiency(axes: Axes, scored: Sequence[Cell]) -> None:
    """Network and posterior mean with intervals, and what the network's spectra lead one to expect."""
    low, high = edges_of(scored).T
    place, width, color = (low + high) / 2, high - low, COLORS["SpecViT"]
    axes.axhline(1, color="0.6", linewidth=0.6)
    for name, label, shift, marker, tone in (
        ("control", "posterior mean", -0.08, "^", COLORS["limit"]),
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
        ("share_of_excess", "of the excess", excess),
        ("share_of_stars", "of the stars", {"color": "black", "linestyle": "--"}),
    ):
        axes.stairs([100 * getattr(cell, key) for cell in scored], edges, label=label, **style)
