"""The panels of the figure of `residuals`, drawn from its rows."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import SubFigure
from scipy.stats import norm

from crlb.palette import BACKGROUND, BOUND, COLOR_MAP, LIMIT
from experiments.residuals.rows import METHODS, ErrorMap, Parity, ProfileRow, Pulls
from experiments.study.cells import log_ticks
from experiments.study.plotting import COLORS, Style
from experiments.study.rows import column

STYLES: dict[str, Style] = {
    "SpecViT": {"color": COLORS["SpecViT"]},
    "posterior mean": {"color": LIMIT, "linestyle": "--"},
}
Maps = Mapping[str, Mapping[str, ErrorMap]]


def plot_maps(figure: SubFigure, maps: Maps) -> None:
    """Rows: bias, scatter; columns: both methods over T_eff, both over SNR."""
    panels = figure.subplots(2, len(maps) * len(METHODS), sharey=True, sharex="col")
    for line, statistic in zip(panels, ("bias", "scatter"), strict=True):
        plot_statistic(figure, line, maps, statistic)
    columns = [(key, name) for key in maps for name in METHODS]
    for upper, lower, (key, name) in zip(*panels, columns, strict=True):
        upper.set_title(name)
        lower.set_xlabel(maps[key][name].across.title)
        if key == "snr":
            log_ticks(lower, [3, 5, 10, 20])
            lower.set_xlim(*_filled(maps[key][name]))


def plot_statistic(figure: SubFigure, line: Sequence[Axes], maps: Maps, statistic: str) -> None:
    """One row of maps with its colours."""
    found = [maps[key][name] for key in maps for name in METHODS]
    values = [np.array(getattr(one, statistic), float) for one in found]
    top = float(np.nanmax(np.abs(np.concatenate([one.ravel() for one in values]))))
    scale = Normalize(-top if statistic == "bias" else 0, top)
    for axes, one, colors in zip(line, found, values, strict=True):
        mesh = axes.pcolormesh(*one.mesh, colors, cmap=COLOR_MAP, norm=scale)
    figure.colorbar(mesh, ax=line, label=f"{statistic} (dex)", pad=0.01, aspect=14)
    line[0].set_ylabel(found[0].up.title)


def _filled(found: ErrorMap) -> tuple[float, float]:
    """Outer edges of the columns that hold stars."""
    edges, counts = np.array(found.across.edges), np.array(found.n).sum(axis=0)
    return float(edges[:-1][counts > 0].min()), float(edges[1:][counts > 0].max())


def plot_parity(figure: SubFigure, panels: Sequence[Axes], parity: Mapping[str, Parity]) -> None:
    """Number of stars over truth and estimate."""
    top = max(np.max(parity[name].counts) for name in METHODS)
    for axes, name in zip(panels, METHODS, strict=True):
        found = parity[name]
        counts, edges = np.array(found.counts, float), (found.truth_edges, found.pred_edges)
        shown = np.where(counts > 0, counts, np.nan)
        mesh = axes.pcolormesh(*edges, shown, cmap=COLOR_MAP, norm=LogNorm(1, top))
        ends = [found.truth_edges[0], found.truth_edges[-1]]
        axes.plot(ends, ends, color="white", linewidth=1.6)
        axes.plot(ends, ends, color="black", linewidth=0.8)
        axes.set_title(name)
        axes.set_xlabel("true log $g$ (dex)")
    panels[0].set_ylabel("estimated log $g$ (dex)")
    figure.colorbar(mesh, ax=panels, label="stars per cell", pad=0.01)


def plot_profile(axes: Axes, profile: Sequence[ProfileRow]) -> None:
    """Mean residual by true log g; where 68 % of them lie, posterior sigma and bound."""
    rows = [row for row in profile if row.methods]
    place = np.array([(row.low + row.high) / 2 for row in rows])
    network, exact = ([row.methods[name] for row in rows if row.methods] for name in METHODS)
    for name, found in zip(METHODS, (network, exact), strict=True):
        axes.plot(place, column(found, "bias"), label=f"{name}: bias", **STYLES[name])
    axes.fill_between(
        place, [one.p16 for one in network], [one.p84 for one in network],
        color=COLORS["SpecViT"], alpha=0.18, linewidth=0, label="SpecViT: middle 68 %",
    )  # fmt: skip
    bias = column(exact, "bias")
    for key, centre, label, color, dashes in (
        ("sigma", bias, r"posterior mean $\pm$ its $\sigma$", LIMIT, ":"),
        ("bound", 0 * bias, r"$\pm$ median Cramér-Rao bound", BOUND, "-"),
    ):
        width = column(rows, key)
        axes.plot(place, centre + width, label=label, linewidth=0.8, color=color, linestyle=dashes)
        axes.plot(place, centre - width, linewidth=0.8, color=color, linestyle=dashes)
    axes.axhline(0, color=BACKGROUND, linewidth=0.5, zorder=0)
    axes.set_ylim(-1.75, 3.9)
    axes.set_xlabel("true log $g$ (dex)")
    axes.set_ylabel("residual (dex)")
    axes.legend(loc="upper right", labelspacing=0.25)


def plot_pulls(axes: Axes, pulls: Mapping[str, Pulls], label: str) -> None:
    """Densities of normalised residuals beside a standard normal."""
    for name in METHODS:
        found = pulls[name]
        axes.stairs(found.density, found.edges, label=name, linewidth=1.2, **STYLES[name])
    grid = np.linspace(-5, 5, 201)
    axes.plot(grid, norm.pdf(grid), ":", color="0.6", linewidth=1.0, label="normal, deviation 1")
    axes.set_xlim(-4.5, 4.5)
    moments = [f"{name}: mean {pulls[name].mean:+.2f}, deviation {pulls[name].std:.2f}" for name in METHODS]
    axes.set_title("\n".join(moments))
    axes.set_xlabel(label)
    axes.set_ylabel("density")
