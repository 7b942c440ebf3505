"""Draws the R2-SNR figure from its results file; nothing is recomputed here."""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

COLUMN_WIDTH_IN = 3.5  # one column of a two-column journal page
STYLES: dict[str, dict[str, Any]] = {  # told apart in grey by marker, line and lightness
    "SpecViT": {"color": "#b2182b", "marker": "o", "linestyle": "-", "zorder": 5},
    "Ridge": {"color": "#4393c3", "marker": "s", "linestyle": (0, (5, 1.5)), "zorder": 4},
}
PUBLISHED_STYLES = {"SpecViT": "-", "Ridge": (0, (5, 1.5)), "Cramer-Rao": (0, (1, 1.2))}
RC: dict[Any, Any] = {
    "font.size": 7,
    "axes.labelsize": 8,
    "legend.fontsize": 6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,
}


def draw_ceiling(axes: Axes, ceiling: dict[str, Any]) -> None:
    """The Cramer-Rao R2_max of the nodes: median, and the band from the 10th to the 90th percentile."""
    snr = [row["snr_median"] for row in ceiling["bins"]]
    r2_max = {key: [row["r2_max"][key] for row in ceiling["bins"]] for key in ("p10", "median", "p90")}
    axes.fill_between(snr, r2_max["p10"], r2_max["p90"], color="0.88", zorder=0, linewidth=0)
    axes.plot(
        snr,
        r2_max["median"],
        color="0.45",
        linestyle="--",
        marker="D",
        zorder=3,
        label="Cramér-Rao $R^2_{max}$ of unbiased estimators: median star, band 10-90 %",
    )
    top = axes.secondary_xaxis("top")
    top.set_xticks(snr, [f"{row['mag']:g}" for row in ceiling["bins"]])
    top.xaxis.set_minor_locator(NullLocator())
    top.set_xlabel("AB magnitude ($i$)")


def draw_exact_limit(axes: Axes, ceiling: dict[str, Any]) -> None:
    """R2 of the posterior mean, which no estimator exceeds, with its Monte-Carlo interval."""
    snr = [row["snr_median"] for row in ceiling["bins"]]
    exact = {key: [row["r2_bayes"][key] for row in ceiling["bins"]] for key in ("low", "value", "high")}
    axes.fill_between(snr, exact["low"], exact["high"], color="0.1", alpha=0.25, zorder=2, linewidth=0)
    axes.plot(
        snr,
        exact["value"],
        color="black",
        linestyle="-",
        linewidth=1.6,
        marker="^",
        zorder=6,
        label="exact limit $R^2_{Bayes}$ of any estimator (band 95 %)",
    )


def draw_estimator(axes: Axes, name: str, result: dict[str, Any]) -> None:
    """R2 per SNR bin at the bin's median SNR, with its bootstrap interval."""
    bins = [row for row in result["by_snr"] if row["r2"] is not None]
    snr = [row["snr_median"] for row in bins]
    style = STYLES[name]
    axes.fill_between(
        snr,
        [row["r2_low"] for row in bins],
        [row["r2_high"] for row in bins],
        color=style["color"],
        alpha=0.3,
        linewidth=0,
        zorder=style["zorder"] - 2,
    )
    label = f"{name}: $R^2$ {result['overall']['r2']:.2f} over all {result['overall']['n']:,} spectra"
    axes.plot(snr, [row["r2"] for row in bins], label=label, **style)


def draw_published(axes: Axes, published: dict[str, Any]) -> None:
    """The curves of the original study, thin: they belong to another grid and another SNR column."""
    for name, curve in published["curves"].items():
        label = "Cramér-Rao" if name == "Cramer-Rao" else name
        axes.plot(
            curve["snr"],
            curve["r2"],
            color="0.55",
            linewidth=0.6,
            linestyle=PUBLISHED_STYLES[name],
            zorder=1,
            label=f"published {label} (another grid)",
        )


def caption(results: dict[str, Any]) -> str:
    """What a reader needs beside the axes: grid, samples, and how SNR and R2 are defined."""
    test, ceiling = results["test"], results["ceiling"]
    low, high = test["mag"]
    counts = ", ".join(str(row["n"]) for row in results["estimators"]["Ridge"]["by_snr"] if row["n"])
    sentences = [
        f"Grid: {results['grid']['title']}; {ceiling['bins'][0]['n']} nodes under the bound,",
        f"{ceiling['bins'][0]['r2_bayes']['n']} stars per magnitude under the exact limit.",
        f"Test: {test['n']:,} spectra, mag {low:g}-{high:g}, labels uniform over the grid's box, the same",
        f"noise for every method; n per bin {counts}. Bands: 95 % bootstrap.",
        f"Training: {'; '.join(result['training'] for result in results['estimators'].values())}.",
        "SNR: median over usable pixels (0.427 Å) of flux/error. R² of a bin uses its own variance;",
        f"the ceilings use Var(log g) = {ceiling['variance']:.3f} dex². No estimator exceeds the exact",
        "limit on average; the Cramér-Rao line binds unbiased estimators and its median star only.",
    ]
    return textwrap.fill(" ".join(sentences), 86)


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Writes ``figure.png`` and ``figure.pdf`` of a results file into its folder; returns their paths."""
    with plt.rc_context(RC):
        figure, axes = plt.subplots(figsize=(COLUMN_WIDTH_IN, 4.9))
        axes.set(xscale="log", xlim=(1.6, 110), ylim=(-0.05, 1.04))
        axes.set_xlabel("median SNR per pixel of 0.427 Å")
        axes.set_ylabel("$R^2$ of log $g$")
        ticks = [2, 3, 5, 10, 20, 50, 100]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(color="0.93", linewidth=0.4)
        axes.set_axisbelow(True)
        for name, result in results["estimators"].items():
            draw_estimator(axes, name, result)
        draw_exact_limit(axes, results["ceiling"])
        draw_ceiling(axes, results["ceiling"])
        draw_published(axes, results["published"])
        figure.subplots_adjust(left=0.125, right=0.985, top=0.925, bottom=0.43)
        figure.legend(loc="upper left", bbox_to_anchor=(0.01, 0.365), frameon=False, handlelength=2.6)
        figure.text(0.025, 0.152, caption(results), fontsize=5.2, va="top", linespacing=1.25, color="0.2")
        paths = [folder / "figure.png", folder / "figure.pdf"]
        figure.savefig(paths[0], dpi=300)
        figure.savefig(paths[1], metadata={"CreationDate": None})
        plt.close(figure)
    return paths


if __name__ == "__main__":
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/r2_vs_snr/results.json")
    print(*draw(json.loads(source.read_text()), source.parent), sep="\n")
