"""The figure of `efficiency`: by property, the share of each cell, and maps."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from experiments.study.cells import draw_map, log_ticks
from experiments.study.drawing import COLORS, PAGE_WIDTH_IN

ENDS = ("", "_low", "_high")


def draw(results: dict[str, Any]) -> Figure:
    """Efficiency and share of the excess by property, and the excess over two of them."""
    figure = plt.figure(figsize=(PAGE_WIDTH_IN, 6.2))
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.5, 1])[:, 0]
    panels = upper.subplots(2, len(results["groups"]), sharex="col", sharey="row", height_ratios=[1.3, 1])
    for (top, bottom), group in zip(panels.T, results["groups"].values(), strict=True):
        scored = [found for found in group["cells"] if "efficiency" in found]
        draw_efficiency(top, scored)
        draw_shares(bottom, scored)
        bottom.set_xlabel(group["title"], fontsize=7)
    panels[1, 0].set_ylim(bottom=0)
    log_ticks(panels[1, list(results["groups"]).index("snr")], [3, 5, 10, 20])
    panels[0, 0].set_ylabel("$R^2/R^2_{Bayes}$ of log $g$")
    panels[1, 0].set_ylabel("share per cell (%)")
    for axes in panels[:, 0]:
        axes.legend(frameon=False, loc="lower left" if axes is panels[0, 0] else "upper left")
    for axes, key, title in zip(
        lower.subplots(1, 2),
        ("excess", "relative"),
        ("excess $\\langle(p-m)^2\\rangle$ (dex$^2$)", "excess / posterior variance"),
        strict=True,
    ):
        draw_map(axes, results["map"], key, title, Normalize(vmin=0), "magma_r")
    score, spectra = results["all"], results["network"]["spectra"]
    figure.suptitle(
        f"Log $g$ of {score['n']:,} stars: $R^2/R^2_{{Bayes}}$ of SpecViT ({spectra:,} spectra) "
        f"{score['efficiency']:.3f}, posterior mean {score['control']:.3f}",
        fontsize=8,
    )
    return figure


def draw_efficiency(axes: Axes, scored: Sequence[dict[str, Any]]) -> None:
    """Network and posterior mean with intervals, and what the network's spectra lead one to expect."""
    place = np.array([(found["low"] + found["high"]) / 2 for found in scored])
    width = np.array([found["high"] - found["low"] for found in scored])
    axes.axhline(1, color="0.6", linewidth=0.6)
    color = COLORS["SpecViT"]
    for name, label, shift, marker, tone in (
        ("control", "posterior mean", -0.08, "^", COLORS["limit"]),
        ("efficiency", "SpecViT", 0.08, "o", color),
    ):
        value, low, high = (np.array([found[f"{name}{end}"] for found in scored]) for end in ENDS)
        axes.errorbar(
            place + shift * width, value, yerr=[value - low, high - value], label=label,
            fmt=marker, color=tone, elinewidth=0.6, markersize=2.5,
        )  # fmt: skip
    value, low, high = (np.array([found[f"expected{end}"] for found in scored]) for end in ENDS)
    axes.plot(place, value, color=color, label="SpecViT, expected")
    axes.fill_between(place, low, high, color=color, alpha=0.25, linewidth=0)
    axes.grid(color="0.93", linewidth=0.4)
    axes.set_axisbelow(True)


def draw_shares(axes: Axes, scored: Sequence[dict[str, Any]]) -> None:
    """Share of the total excess in each cell beside its share of the stars."""
    edges = [scored[0]["low"], *(found["high"] for found in scored)]
    for key, label, style in (
        ("share_of_excess", "of the excess", {"color": COLORS["SpecViT"], "alpha": 0.35, "fill": True}),
        ("share_of_stars", "of the stars", {"color": "black", "linestyle": "--"}),
    ):
        axes.stairs([100 * found[key] for found in scored], edges, label=label, **style)
