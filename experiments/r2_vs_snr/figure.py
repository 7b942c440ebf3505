"""Draws the R2-SNR figure from its results file; nothing is recomputed here."""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from experiments.study.drawing import COLORS, PAGE_WIDTH_IN, save

MARKS: dict[str, dict[str, Any]] = {  # told apart in grey by marker and line as well
    "SpecViT": {"marker": "o", "linestyle": "-", "linewidth": 1.8, "zorder": 9},
    "Template fit": {"marker": "v", "linestyle": (0, (3, 1, 1, 1)), "zorder": 8},
    "CNN": {"marker": "P", "linestyle": (0, (6, 1.2)), "zorder": 7},
    "MLP": {"marker": "X", "linestyle": (0, (2.5, 1)), "zorder": 6},
    "LightGBM": {"marker": "D", "linestyle": "-.", "zorder": 5},
    "Ridge": {"marker": "s", "linestyle": (0, (5, 1.5)), "zorder": 4},
}
SNR_RANGE, SNR_TICKS = (1.6, 110), (2, 3, 5, 10, 20, 50, 100)


def draw_ceiling(axes: Axes, ceiling: dict[str, Any]) -> None:
    """The Cramer-Rao R2_max of the nodes: median, and the band from the 10th to the 90th percentile."""
    snr = [row["snr_median"] for row in ceiling["bins"]]
    r2_max = {key: [row["r2_max"][key] for row in ceiling["bins"]] for key in ("p10", "median", "p90")}
    axes.fill_between(snr, r2_max["p10"], r2_max["p90"], color="0.9", zorder=0, linewidth=0)
    label = "Cramér-Rao $R^2_{max}$ of unbiased\nestimators: median star, band 10-90 %"
    axes.plot(snr, r2_max["median"], color="0.45", linestyle="--", marker="D", zorder=3, label=label)
    top = axes.secondary_xaxis("top")
    top.set_xticks(snr, [f"{row['mag']:g}" for row in ceiling["bins"]])
    top.xaxis.set_minor_locator(NullLocator())
    top.set_xlabel("AB magnitude ($i$)")


def draw_exact_limit(axes: Axes, ceiling: dict[str, Any]) -> None:
    """R2 of the posterior mean, which no estimator exceeds, with its Monte-Carlo interval."""
    snr = [row["snr_median"] for row in ceiling["bins"]]
    exact = {key: [row["r2_bayes"][key] for row in ceiling["bins"]] for key in ("low", "value", "high")}
    axes.fill_between(snr, exact["low"], exact["high"], color="0.1", alpha=0.25, zorder=2, linewidth=0)
    label = "exact limit $R^2_{Bayes}$ of any estimator,\nall stars of a magnitude (band 95 %)"
    axes.plot(snr, exact["value"], "k^-", linewidth=1.6, zorder=10, label=label)


def draw_limit_of_bins(axes: Axes, limit: dict[str, Any]) -> None:
    """R2_Bayes of the test stars of every bin: what the methods below are to be compared with."""
    rows = limit["by_snr"]
    axes.plot(
        [row["snr_median"] for row in rows],
        [row["r2_bayes"] for row in rows],
        "k_",
        markersize=7,
        markeredgewidth=1.4,
        zorder=11,
        label="exact limit of the test stars of a bin",
    )


def draw_method(
    axes: Axes, name: str, rows: list[dict[str, Any]], key: str, label: str | None = None
) -> None:
    """A score per SNR bin at the bin's median SNR, with its bootstrap interval."""
    rows = [row for row in rows if row[key] is not None]
    snr = [row["snr_median"] for row in rows]
    low, high = ([row[f"{key}_{end}"] for row in rows] for end in ("low", "high"))
    color, marks = COLORS[name], MARKS[name]
    axes.fill_between(snr, low, high, color=color, alpha=0.13, linewidth=0, zorder=marks["zorder"] - 3)
    axes.plot(snr, [row[key] for row in rows], color=color, label=label, **marks)


def draw_published(axes: Axes, published: dict[str, Any]) -> None:
    """The curves of the original study, thin: they belong to another grid and another SNR column."""
    label: str | None = "thin dots: as published (another grid)"
    for name, curve in published["curves"].items():
        color = COLORS[name]
        axes.plot(curve["snr"], curve["r2"], ":", color=color, linewidth=0.7, zorder=1, label=label)
        label = None


def annotate_gap(axes: Axes, results: dict[str, Any], name: str = "SpecViT") -> None:
    """Where R2 of SpecViT misses most of the exact limit of the same stars."""
    rows = {row["snr_low"]: row for row in results["estimators"][name]["by_snr"] if row["r2"] is not None}
    gaps = [
        (row["r2_bayes"] - rows[row["snr_low"]]["r2"], row, rows[row["snr_low"]])
        for row in results["limit"]["by_snr"]
        if row["snr_low"] in rows
    ]
    if not gaps:
        return
    gap, limit, found = max(gaps, key=lambda item: item[0])
    middle = (limit["r2_bayes"] + found["r2"]) / 2
    axes.annotate(
        f"largest gap of {name}\nto the limit: {gap:.2f} (SNR {limit['snr_low']:g}-{limit['snr_high']:g})",
        (limit["snr_median"], middle),
        (0.60, 0.25),
        textcoords="axes fraction",
        fontsize=6,
        arrowprops={"arrowstyle": "->", "linewidth": 0.6, "color": "0.3"},
        zorder=12,
    )


def caption(results: dict[str, Any]) -> str:
    """What a reader needs beside the axes: grid, samples, training, and how SNR and R2 are defined."""
    test, ceiling, (low, high) = results["test"], results["ceiling"], results["test"]["mag"]
    training = "; ".join(f"{name} {method['training']}" for name, method in results["estimators"].items())
    return " ".join(
        [
            f"Grid: {results['grid']['title']}; {ceiling['bins'][0]['n']} nodes under the bound,",
            f"{ceiling['bins'][0]['r2_bayes']['n']} stars per magnitude under the exact limit.",
            f"Test: {test['n']:,} spectra, mag {low:g}-{high:g}, labels uniform over the box, the same",
            "spectra for every method. Bands: 95 % bootstrap. SNR: median over usable pixels (0.427 Å) of",
            "flux/error. R² of a bin uses the variance of its own stars; the ceilings use Var(log g) =",
            f"{ceiling['variance']:.3f} dex². Efficiency: exact posteriors of {results['limit']['n']:,} test",
            f"stars. Training: {training}.",
            *(f"Absent: {name}." for name in results["absent"]),
        ]
    )


def draw(results: dict[str, Any]) -> Figure:
    """R2 against SNR above, efficiency below, legend and captions beside them."""
    figure = plt.figure(figsize=(PAGE_WIDTH_IN, 4.9), layout="none")
    grid = figure.add_gridspec(
        2, 1, height_ratios=(3, 1.25), left=0.075, right=0.63, top=0.915, bottom=0.085, hspace=0.07
    )
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    dress(upper, lower)
    for name, method in results["estimators"].items():
        label = f"{name}: $R^2$ {method['overall']['r2']:.3f} over all"
        draw_method(upper, name, method["by_snr"], "r2", label)
        draw_method(lower, name, method["efficiency"], "efficiency")
    draw_exact_limit(upper, results["ceiling"])
    draw_limit_of_bins(upper, results["limit"])
    draw_ceiling(upper, results["ceiling"])
    draw_published(upper, results["published"])
    annotate_gap(upper, results)
    figure.legend(loc="upper left", bbox_to_anchor=(0.64, 0.93), frameon=False, handlelength=2.8)
    text = textwrap.fill(caption(results), 62)
    figure.text(0.65, 0.085, text, fontsize=5.3, va="bottom", linespacing=1.25, color="0.2")
    return figure


def dress(upper: Axes, lower: Axes) -> None:
    """Axes, ticks and labels of the two panels."""
    upper.set(xscale="log", xlim=SNR_RANGE, ylim=(-0.05, 1.04), ylabel="$R^2$ of log $g$")
    upper.tick_params(labelbottom=False)
    lower.axhline(1, color="black", linewidth=1)
    lower.set(ylim=(0, 1.12), ylabel="$R^2 / R^2_{Bayes}$")
    lower.set_xlabel("median SNR per pixel of 0.427 Å")
    lower.set_xticks(SNR_TICKS, [str(tick) for tick in SNR_TICKS])
    for axes in (upper, lower):
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(color="0.93", linewidth=0.4)
        axes.set_axisbelow(True)


if __name__ == "__main__":
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/r2_vs_snr/results.json")
    print(*save(draw, json.loads(source.read_text()), source.parent), sep="\n")
