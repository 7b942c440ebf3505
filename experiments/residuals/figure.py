"""The figure of `experiments.residuals.experiment`, drawn from its results."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from scipy.stats import norm

from experiments.study.cells import log_ticks
from experiments.study.drawing import COLORS, PAGE_WIDTH_IN

STYLES: dict[str, dict[str, Any]] = {
    "SpecViT": {"color": COLORS["SpecViT"]},
    "posterior mean": {"color": COLORS["limit"], "linestyle": "--"},
}
MARKS = {"posterior": "residual / posterior $\\sigma$", "bound": "residual / Cramér-Rao bound"}


def draw_all(results: dict[str, Any], methods: Sequence[str]) -> Figure:
    """Maps of bias and scatter on top, then parity and profile, then pulls."""
    figure = plt.figure(figsize=(PAGE_WIDTH_IN, 8.4))
    rows = figure.subfigures(3, 1, squeeze=False, height_ratios=[1.55, 1, 0.85])[:, 0]
    draw_maps(rows[0], results["maps"], methods)
    panels = rows[1].subplots(1, 3, width_ratios=[1, 1, 1.35])
    draw_parity(rows[1], panels[:2], results["parity"], methods)
    draw_profile(panels[2], results["profile"], methods)
    for axes, key in zip(rows[2].subplots(1, 2), MARKS, strict=True):
        draw_pulls(axes, {name: results["pulls"][name][key] for name in methods}, MARKS[key])
    figure.suptitle(f"Log $g$ of {results['test']['n']:,} test stars: estimate $-$ truth", fontsize=8)
    return figure


def draw_maps(figure: Any, maps: dict[str, Any], methods: Sequence[str]) -> None:
    """Rows: bias, scatter; columns: both methods over T_eff, both over SNR."""
    panels = figure.subplots(2, 2 * len(methods), sharey=True, sharex="col")
    columns = [(key, name) for key in maps for name in methods]
    for line, (statistic, cmap) in enumerate((("bias", "RdBu_r"), ("scatter", "magma_r"))):
        every = np.array([value for key, name in columns for value in _values(maps[key][name], statistic)])
        top = float(np.nanmax(np.abs(every)))
        scale = Normalize(-top, top) if statistic == "bias" else Normalize(0, top)
        for axes, (key, name) in zip(panels[line], columns, strict=True):
            found = maps[key][name]
            edges = (found["across"]["edges"], found["up"]["edges"])
            mesh = axes.pcolormesh(*edges, np.array(found[statistic], float), cmap=cmap, norm=scale)
            if line == 0:
                axes.set_title(name, fontsize=7)
            else:
                axes.set_xlabel(found["across"]["title"], fontsize=7)
        figure.colorbar(mesh, ax=panels[line], label=f"{statistic} (dex)", pad=0.01, aspect=14)
        panels[line, 0].set_ylabel(maps["T_eff"][methods[0]]["up"]["title"])
    for axes, (key, name) in zip(panels[1], columns, strict=True):
        if key == "snr":
            log_ticks(axes, [3, 5, 10, 20])
            axes.set_xlim(*_filled(maps[key][name]))


def _values(found: dict[str, Any], statistic: str) -> list[float]:
    return [value for row in found[statistic] for value in row if value is not None]


def _filled(found: dict[str, Any]) -> tuple[float, float]:
    """Outer edges of the columns that hold stars."""
    edges, counts = np.array(found["across"]["edges"]), np.array(found["n"]).sum(axis=0)
    return float(edges[:-1][counts > 0].min()), float(edges[1:][counts > 0].max())


def draw_parity(figure: Any, panels: Sequence[Axes], parity: dict[str, Any], methods: Sequence[str]) -> None:
    """Number of stars over truth and estimate."""
    top = max(np.max(parity[name]["counts"]) for name in methods)
    for axes, name in zip(panels, methods, strict=True):
        found = parity[name]
        counts = np.array(found["counts"], float)
        edges = (found["truth_edges"], found["pred_edges"])
        norm = LogNorm(1, top)
        mesh = axes.pcolormesh(*edges, np.where(counts > 0, counts, np.nan), cmap="viridis", norm=norm)
        ends = [found["truth_edges"][0], found["truth_edges"][-1]]
        axes.plot(ends, ends, color="white", linewidth=1.6)
        axes.plot(ends, ends, color="black", linewidth=0.8)
        axes.set_title(name, fontsize=7)
        axes.set_xlabel("true log $g$ (dex)")
    panels[0].set_ylabel("estimated log $g$ (dex)")
    figure.colorbar(mesh, ax=panels, label="stars per cell", pad=0.01)


def draw_profile(axes: Axes, profile: Sequence[dict[str, Any]], methods: Sequence[str]) -> None:
    """Mean residual by true log g; where 68 % of them lie, posterior sigma and bound."""
    rows = [row for row in profile if "methods" in row]
    place = np.array([(row["low"] + row["high"]) / 2 for row in rows])
    for name in methods:
        found = [row["methods"][name] for row in rows]
        axes.plot(place, [one["bias"] for one in found], label=f"{name}: mean", **STYLES[name])
    network = [row["methods"][methods[0]] for row in rows]
    axes.fill_between(
        place, [one["p16"] for one in network], [one["p84"] for one in network],
        color=COLORS["SpecViT"], alpha=0.18, linewidth=0, label=f"{methods[0]}: 16 to 84 %",
    )  # fmt: skip
    bias = np.array([row["methods"][methods[1]]["bias"] for row in rows])
    for key, centre, label, color, dashes in (
        ("sigma", bias, r"posterior mean $\pm$ median posterior $\sigma$", COLORS["limit"], ":"),
        ("bound", 0 * bias, r"$\pm$ median Cramér-Rao bound", COLORS["Cramer-Rao"], "-"),
    ):
        width = np.array([row[key] for row in rows])
        axes.plot(place, centre + width, label=label, linewidth=0.8, color=color, linestyle=dashes)
        axes.plot(place, centre - width, linewidth=0.8, color=color, linestyle=dashes)
    axes.axhline(0, color="0.8", linewidth=0.5, zorder=0)
    axes.set_ylim(-1.75, 2.6)
    axes.set_xlabel("true log $g$ (dex)")
    axes.set_ylabel("residual (dex)")
    axes.legend(frameon=False, loc="upper right", fontsize=5.5)


def draw_pulls(axes: Axes, pulls: dict[str, Any], label: str) -> None:
    """Densities of normalised residuals beside a standard normal."""
    for name, found in pulls.items():
        text = f"{name}: mean {found['mean']:+.2f}, std {found['std']:.2f}, KS {found['ks']:.3f}"
        axes.stairs(found["density"], found["edges"], label=text, linewidth=1.0, **STYLES[name])
    grid = np.linspace(-5, 5, 201)
    axes.plot(grid, norm.pdf(grid), color="0.6", linewidth=0.8, label="standard normal")
    axes.set_xlim(-4.5, 4.5)
    axes.set_ylim(0, 1.45 * axes.get_ylim()[1])
    axes.set_xlabel(label)
    axes.set_ylabel("density")
    axes.legend(frameon=False, loc="upper left", fontsize=5.5)
