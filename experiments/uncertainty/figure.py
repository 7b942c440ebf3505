"""The figure of `uncertainty`, from its rows alone."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from crlb.palette import BACKGROUND, COLOR_MAP, LIMIT, steps
from experiments.study.cells import log_ticks
from experiments.study.plotting import COLORS, PAGE, Sheet, Style, legend_below, light_grid
from experiments.study.rows import intervals
from experiments.uncertainty.rows import NAMES, Curves, ForecastBin, Sigmas

STYLES: dict[str, Style] = {
    "network": {"color": COLORS["SpecViT"], "linestyle": "-", "marker": "o"},
    "moments": {"color": LIMIT, "linestyle": "--", "marker": "^"},
    "posterior": {"color": steps(5)[3], "linestyle": "-.", "marker": "s"},
}


def plot(found: Sequence[ForecastBin], curves: Curves, sigmas: Sigmas, sheet: Sheet = PAGE) -> Figure:
    """Calibration and sigmas on top, scores by SNR below."""
    columns = 2 if sheet.narrow else 3
    figure, panels = sheet.grid(6 // columns, columns, 2.0 if sheet.narrow else 2.3)
    plot_calibration(panels[0], curves)
    plot_pit(panels[1], curves)
    plot_sigmas(panels[2], sigmas)
    plot_scores(panels[3:], [one for one in found if one.snr_high is not None])
    legend_below(figure, panels[0], panels[5], columns=5, handlelength=3)
    return figure


def plot_scores(panels: Sequence[Axes], bins: Sequence[ForecastBin]) -> None:
    """Coverage, sharpness and excess NLL by SNR."""
    plot_coverage(panels[0], bins)
    plot_by_snr(panels[1], bins, "sharpness", "network")
    plot_by_snr(panels[1], bins, "sharpness", "moments", {}, 1.02)
    panels[1].set_ylabel("mean $\\sigma$ of log $g$ (dex)")
    plot_by_snr(panels[2], bins, "excess_nll", "network")
    part: Style = {"label": "part of the excess by the mean", "linestyle": ":", "markerfacecolor": "white"}
    plot_by_snr(panels[2], bins, "excess_mean", "network", part)
    panels[2].set_ylabel("excess (nat)")
    panels[2].set_ylim(bottom=0)
    for axes in panels:
        log_ticks(axes, [3, 5, 10, 15])
        axes.set_xlabel("median SNR per pixel")
        light_grid(axes)


def plot_calibration(axes: Axes, curves: Curves) -> None:
    """Coverage of central intervals minus their level."""
    levels = np.array(curves.levels)
    for key, name in NAMES.items():
        one = getattr(curves, key)
        off = 100 * (np.array(one.covered) - levels)
        axes.plot(100 * levels, off, label=name, **STYLES[key] | {"markersize": 2.5, "markevery": 4})
    for one, grey in (
        (curves.posterior, BACKGROUND),
        (curves.network, "0.84"),
    ):  # 95 % of chance
        chance = 196 * np.sqrt(levels * (1 - levels) / one.n)
        axes.fill_between(100 * levels, -chance, chance, color=grey, linewidth=0, zorder=0)
    axes.axhline(0, color="0.6", linewidth=0.6)
    axes.set_xlabel("level of central interval (%)")
    axes.set_ylabel("coverage $-$ level (%)")


def plot_pit(axes: Axes, curves: Curves) -> None:
    """Histograms of the forecast probability of a label below the true one."""
    for key, name in NAMES.items():
        one, look = getattr(curves, key), STYLES[key]
        axes.stairs(one.density, curves.edges, label=name, color=look["color"], linestyle=look["linestyle"])
    axes.axhline(1, color="0.6", linewidth=0.6)
    axes.set_ylim(0, 1.9)
    axes.set_xlabel("probability integral")
    axes.set_ylabel("density")


def plot_sigmas(axes: Axes, found: Sigmas) -> None:
    """Number of stars over exact and predicted sigma."""
    counts, edges = np.array(found.counts, float), np.array(found.edges)
    filled = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    ends = (edges[filled[0]], edges[filled[-1] + 1]) if len(filled) else (edges[0], edges[-1])
    norm = LogNorm(1, max(10, counts.max()))
    mesh = axes.pcolormesh(edges, edges, np.where(counts > 0, counts, np.nan), cmap=COLOR_MAP, norm=norm)
    axes.plot(ends, ends, color="white", linewidth=1.6)
    axes.plot(ends, ends, color="black", linewidth=0.8)
    ticks = [tick for tick in (0.01, 0.05, 0.2, 1.0) if ends[0] <= tick <= ends[1]]
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.set_xlabel("exact posterior $\\sigma$ (dex)")
    axes.set_ylabel("predicted $\\sigma$ (dex)")
    axes.figure.colorbar(mesh, ax=axes, label="stars per cell", pad=0.02, aspect=30)


def plot_coverage(axes: Axes, bins: Sequence[ForecastBin]) -> None:
    """Coverage of the 68 and 95 % intervals by SNR."""
    for key in NAMES:
        for level in (68, 95):
            plot_by_snr(axes, bins, f"cover_{level}", key)
    for share in (0.68, 0.95):
        axes.axhline(share, color="0.6", linewidth=0.6)
    axes.set_ylim(0.55, 1.01)
    axes.set_ylabel("coverage (68, 95 %)")


def plot_by_snr(
    axes: Axes,
    bins: Sequence[ForecastBin],
    score: str,
    key: str,
    style: Style | None = None,
    shift: float = 1.0,
) -> None:
    """A score of one forecast with its interval at the median SNR (times `shift`) of every bin."""
    rows = [(one.snr_median, getattr(one, key)) for one in bins]
    rows = [(snr, forecast) for snr, forecast in rows if getattr(forecast, score) is not None]
    found, place = intervals([forecast for _, forecast in rows], score), [shift * snr for snr, _ in rows]
    looks = STYLES[key] | (style or {})
    axes.errorbar(place, found.value, yerr=found.reach, elinewidth=0.7, **looks)
