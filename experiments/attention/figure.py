"""Table and figure of `attention`, from its results alone."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.study.drawing import COLORS, PAGE_WIDTH_IN, markdown

LOOKS: dict[str, dict[str, Any]] = {
    "trained": {"color": COLORS["SpecViT"], "marker": "o"},
    "unwhitened": {"color": COLORS["CNN"], "marker": "s"},
    "random": {"color": "0.6", "marker": "x"},
}
FILTERS = {
    "prior": "optimal, with the prior",
    "unbiased": "optimal, unbiased",
    "known": "optimal if the other labels were known",
}


def table(results: dict[str, Any]) -> str:
    """Cosines with the filters, then rank correlations."""
    parts = [networks(results), cosines(results), response(results), correlations(results)]
    return "\n\n".join(parts)


def networks(results: dict[str, Any]) -> str:
    """What the networks are."""
    heads = ["network", "R2 of log g", "share of a patch that is its own", "largest possible cosine (median)"]
    rows = [
        [
            name,
            f"{row['r2']:.3f}",
            f"{row['locality']:.2f}",
            f"{results['limits'][name]['prior']['median']:.3f}",
        ]
        for name, row in results["networks"].items()
    ]
    return markdown(heads, rows)


def cosines(results: dict[str, Any]) -> str:
    """Gradient of log g against each filter."""
    heads = ["network", "cosine of d log g / d flux with", "median (95 %)", "10 % of stars below", "above"]
    rows = [
        [
            row["network"],
            FILTERS.get(row["filter"], f"optimal for {row['filter']}"),
            f"{row['median']:.3f} ({row['median_low']:.3f} to {row['median_high']:.3f})",
            f"{row['p10']:.2f}",
            f"{row['p90']:.2f}",
        ]
        for row in results["cosines"]
    ]
    return markdown(heads, rows)


def response(results: dict[str, Any]) -> str:
    """What a change of each label does to the estimated log g."""
    labels = list(next(iter(results["response"].values())))
    heads = ["median of d(estimated log g) / d label", *labels]
    rows = [
        [name, *(f"{found[label]['network']:.3g}" for label in labels)]
        for name, found in results["response"].items()
    ]
    best = next(iter(results["response"].values()))
    return markdown(
        heads, [*rows, ["optimal filter", *(f"{best[label]['optimal']:.3g}" for label in labels)]]
    )


def correlations(results: dict[str, Any]) -> str:
    """Rank correlation over patches with the information."""
    heads = ["network", "measure", "information on", "rank correlation (95 %)", "shifted patches (95 %)"]
    rows = [
        [
            row["network"],
            row["measure"],
            row["label"],
            f"{row['rho']:.2f} ({row['rho_low']:.2f} to {row['rho_high']:.2f})",
            f"{row['chance_low']:.2f} to {row['chance_high']:.2f}",
        ]
        for row in results["correlations"]
    ]
    return markdown(heads, rows)


def draw(results: dict[str, Any]) -> Figure:
    """Information, attention and sensitivity along the spectrum; below, how they agree."""
    figure = plt.figure(figsize=(PAGE_WIDTH_IN, 7.4))
    grid = figure.add_gridspec(4, 2, height_ratios=(1.0, 1.25, 1.0, 1.5))
    top = figure.add_subplot(grid[0, :])
    draw_information(top, results["information"])
    heads = figure.add_subplot(grid[1, :], sharex=top)
    draw_attention(figure, heads, results["patches"])
    low = figure.add_subplot(grid[2, :], sharex=top)
    draw_sensitivity(low, results["patches"])
    for axes in (top, heads):
        axes.tick_params(labelbottom=False)
    draw_correlations(figure.add_subplot(grid[3, 0]), results["correlations"])
    draw_cosines(figure.add_subplot(grid[3, 1]), results)
    return figure


def draw_information(axes: Axes, information: dict[str, Any]) -> None:
    """Information about log g, the stretches that hold most of it named."""
    density = np.array(information["per_angstrom"])
    axes.plot(information["wave"], density, color="black", linewidth=0.5)
    axes.set_ylim(0, 1.45 * density.max())
    taken: list[float] = []
    for window in information["windows"]:
        middle = (window["low"] + window["high"]) / 2
        axes.axvspan(window["low"], window["high"], color="0.85", linewidth=0)
        if window["features"] and all(abs(middle - other) > 20 for other in taken):
            taken.append(middle)
            text = window["features"][0]
            axes.text(middle, 1.42 * density.max(), text, rotation=90, fontsize=5.5, ha="center", va="top")
    axes.set_ylabel("information on log $g$\n(dex$^{-2}$ Å$^{-1}$, mean)")


def draw_attention(figure: Figure, axes: Axes, patches: dict[str, Any]) -> None:
    """Attention that patches receive in every block and head of the trained network, and its rollout."""
    edges = np.append(patches["low"], patches["high"][-1])
    heads = np.array(patches["trained"]["received"])
    depth, n_heads, n = heads.shape
    image = np.concatenate([heads.reshape(-1, n), [patches["trained"]["rollout"]]])
    image *= n / image.sum(axis=1, keepdims=True)
    places = np.arange(len(image) + 1) - 0.5
    shown = axes.pcolormesh(edges, places, image, cmap="viridis", vmin=0, vmax=np.quantile(image, 0.995))
    axes.set_ylim(len(image) - 0.5, -0.5)
    axes.set_yticks(
        [*(n_heads * i + (n_heads - 1) / 2 for i in range(depth)), len(image) - 1],
        [*(f"block {i + 1}" for i in range(depth)), "rollout"],
    )
    for i in range(1, depth + 1):
        axes.axhline(n_heads * i - 0.5, color="white", linewidth=0.8)
    figure.colorbar(shown, ax=axes, label="attention received\n(1: all patches alike)", pad=0.01)


def draw_sensitivity(axes: Axes, patches: dict[str, Any]) -> None:
    """Shares of patches in the noise of log g, beside their shares in the information."""
    edges = [*patches["low"], patches["high"][-1]]
    axes.stairs(
        patches["information"]["log_g"],
        edges,
        color="black",
        label="information (optimal filter)",
        fill=True,
        alpha=0.2,
    )
    for name, look in LOOKS.items():
        axes.stairs(
            patches[name]["sensitivity"], edges, color=look["color"], label=f"{name} network", linewidth=0.9
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.set_xlabel("vacuum wavelength (Å)")
    axes.set_ylabel("share of the noise\nof log $g$ per patch")
    axes.legend(frameon=False, ncols=4, loc="upper left")


def draw_correlations(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Rank correlations with the information on log g; grey: what shifted patches give."""
    chosen = [row for row in rows if row["label"] == "log_g"]
    measures = list(dict.fromkeys(row["measure"] for row in chosen))
    for k, (name, look) in enumerate(LOOKS.items()):
        mine = {row["measure"]: row for row in chosen if row["network"] == name}
        places = np.array([i + 0.25 * (k - 1) for i, measure in enumerate(measures) if measure in mine])
        found = [mine[measure] for measure in measures if measure in mine]
        low, high = ([row[f"chance_{end}"] for row in found] for end in ("low", "high"))
        axes.hlines(places, low, high, color="0.85", linewidth=3)
        axes.plot([row["rho"] for row in found], places, linestyle="", label=name, **look)
    axes.set_yticks(range(len(measures)), measures, fontsize=5.5)
    axes.set_ylim(len(measures) - 0.3, -0.7)
    axes.set_xlim(-0.5, 1)
    axes.axvline(0, color="0.7", linewidth=0.5)
    axes.set_xlabel("rank correlation with the information\nof patches (grey: patches shifted, 95 %)")
    axes.legend(frameon=False, loc="lower right")


def draw_cosines(axes: Axes, results: dict[str, Any]) -> None:
    """Cosine of gradient and optimal filter against SNR."""
    for name, look in LOOKS.items():
        row = next(r for r in results["cosines"] if (r["network"], r["filter"]) == (name, "prior"))
        snr = [found["snr"] for found in row["by_snr"]]
        axes.plot(snr, [found["median"] for found in row["by_snr"]], label=f"{name} network", **look)
        low, high = ([found[end] for found in row["by_snr"]] for end in ("p10", "p90"))
        axes.fill_between(snr, low, high, color=look["color"], alpha=0.15, linewidth=0)
    most = results["limits"]["trained"]["by_snr"]
    axes.plot(
        [row["snr"] for row in most],
        [row["median"] for row in most],
        color="black",
        linestyle="--",
        label="the most that whitening leaves",
    )
    axes.set_xscale("log")
    ticks = [tick for tick in (2, 3, 5, 10, 20) if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(-0.5, 1.02)
    axes.axhline(0, color="0.7", linewidth=0.5)
    axes.set_xlabel("median SNR per pixel of 0.427 Å")
    axes.set_ylabel("cosine of gradient and optimal\nfilter (median; band: 10-90 %)")
    axes.legend(frameon=False, loc="lower right")
