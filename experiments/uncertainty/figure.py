"""The figure of `experiments.uncertainty.experiment`, drawn from its results."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments.study.cells import log_ticks
from experiments.study.drawing import COLORS, PAGE_WIDTH_IN

STYLES: dict[str, dict[str, Any]] = {
    "network": {"color": COLORS["SpecViT"], "linestyle": "-"},
    "moments": {"color": COLORS["limit"], "linestyle": "--"},
    "posterior": {"color": "#35978f", "linestyle": "-."},
}


def draw_all(results: dict[str, Any], names: Mapping[str, str]) -> Figure:
    """Calibration and sigmas on top, scores by SNR below."""
    figure, panels = plt.subplots(2, 3, figsize=(PAGE_WIDTH_IN, 4.6))
    draw_calibration(panels[0, 0], results["curves"], names)
    draw_pit(panels[0, 1], results["curves"], names)
    draw_sigmas(panels[0, 2], results["sigmas"])
    bins = [found for found in results["bins"] if found["snr_high"] is not None]
    draw_coverage(panels[1, 0], bins, names)
    draw_by_snr(panels[1, 1], bins, "sharpness", ("network", "moments"))
    panels[1, 1].set_ylabel("mean $\\sigma$ of log $g$ (dex)")
    draw_by_snr(panels[1, 2], bins, "excess_nll", ("network",), "all")
    draw_by_snr(panels[1, 2], bins, "excess_mean", ("network",), "by its mean", ":")
    panels[1, 2].legend(frameon=False)
    panels[1, 2].set_ylabel("NLL above exact moments (nat)")
    panels[1, 2].set_ylim(bottom=0)
    for axes in panels[1]:
        log_ticks(axes, [3, 5, 10, 15])
        axes.set_xlabel("median SNR per pixel")
        axes.grid(color="0.93", linewidth=0.4)
    whole = results["bins"][0]
    figure.suptitle(
        f"Log $g$ of {whole['n']:,} stars, predicted $\\sigma$: correlation of ln $\\sigma$ with the exact "
        f"posterior's {whole['network']['correlation']:.3f}",
        fontsize=8,
    )
    return figure


def draw_calibration(axes: Axes, curves: dict[str, Any], names: Mapping[str, str]) -> None:
    """Coverage of central intervals minus their level."""
    levels = np.array(curves["levels"])
    for key, name in names.items():
        off = 100 * (np.array(curves[key]["covered"]) - levels)
        axes.plot(100 * levels, off, label=f"{name} ({curves[key]['n']:,})", **STYLES[key])
    for key, grey in (("posterior", "0.95"), ("network", "0.85")):  # 95 % of chance, for so many stars
        chance = 196 * np.sqrt(levels * (1 - levels) / curves[key]["n"])
        axes.fill_between(100 * levels, -chance, chance, color=grey, linewidth=0, zorder=0)
    axes.axhline(0, color="0.6", linewidth=0.6)
    axes.set_xlabel("level of central interval (%)")
    axes.set_ylabel("coverage $-$ level (%)")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.45 * (high - low))
    axes.legend(frameon=False, fontsize=5.5, loc="upper left")


def draw_pit(axes: Axes, curves: dict[str, Any], names: Mapping[str, str]) -> None:
    """Histograms of the forecast probability of a label below the true one."""
    for key, name in names.items():
        label = f"{name}: KS {curves[key]['ks']:.3f}"
        axes.stairs(curves[key]["density"], curves["edges"], label=label, **STYLES[key])
    axes.axhline(1, color="0.6", linewidth=0.6)
    axes.set_ylim(0, 1.9)
    axes.set_xlabel("PIT: forecast probability below truth")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=5.5, loc="lower center")


def draw_sigmas(axes: Axes, found: dict[str, Any]) -> None:
    """Number of stars over exact and predicted sigma."""
    counts, edges = np.array(found["counts"], float), np.array(found["edges"])
    filled = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    ends = (edges[filled[0]], edges[filled[-1] + 1]) if len(filled) else (edges[0], edges[-1])
    norm = LogNorm(1, max(10, counts.max()))
    mesh = axes.pcolormesh(edges, edges, np.where(counts > 0, counts, np.nan), cmap="viridis", norm=norm)
    axes.plot(ends, ends, color="white", linewidth=1.6)
    axes.plot(ends, ends, color="black", linewidth=0.8)
    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if ends[0] <= tick <= ends[1]]
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.set_xlabel("exact posterior $\\sigma$ (dex)")
    axes.set_ylabel("predicted $\\sigma$ (dex)")
    axes.figure.colorbar(mesh, ax=axes, label="stars per cell", pad=0.02)


def draw_coverage(axes: Axes, bins: Sequence[dict[str, Any]], names: Mapping[str, str]) -> None:
    """Coverage of the 68 and 95 % intervals by SNR."""
    for key in names:
        for level in (68, 95):
            draw_by_snr(axes, bins, f"cover_{level}", (key,))
    for share in (0.68, 0.95):
        axes.axhline(share, color="0.6", linewidth=0.6)
    axes.set_ylim(0.55, 1.01)
    axes.set_ylabel("coverage of 68 and 95 % intervals")


def draw_by_snr(
    axes: Axes,
    bins: Sequence[dict[str, Any]],
    score: str,
    keys: Sequence[str],
    label: str | None = None,
    dashes: str | None = None,
) -> None:
    """A score with its interval at the median SNR of every bin."""
    for i, key in enumerate(keys):
        rows = [(found["snr_median"], found[key]) for found in bins if found[key][score] is not None]
        value, low, high = (np.array([row[score + end] for _, row in rows]) for end in ("", "_low", "_high"))
        place = np.array([snr for snr, _ in rows]) * (1 + 0.02 * i)
        style = STYLES[key] | ({"linestyle": dashes} if dashes else {})
        axes.errorbar(
            place, value, yerr=[value - low, high - value], marker="o", elinewidth=0.7, label=label, **style
        )
