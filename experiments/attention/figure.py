"""The panels of the figure of `attention`, drawn from its rows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.palette import BACKGROUND, COLOR_MAP, LIMIT, steps
from experiments.attention.rows import Correlation, Cosine, Information, Patches, Reach
from experiments.study.plotting import COLORS, Style, light_grid
from experiments.study.rows import column

LOOKS: dict[str, Style] = {
    "trained": {"color": COLORS["SpecViT"], "marker": "o"},
    "unwhitened": {"color": steps(7)[5], "marker": "s", "linestyle": "--"},
    "random": {"color": steps(7)[2], "marker": "X", "linestyle": ":"},
}


def plot_information(axes: Axes, information: Information, gap: float = 25.0) -> None:
    """Information about log g, the stretches that hold most of it named, names `gap` Å apart at least."""
    density = np.array(information.per_angstrom)
    axes.plot(information.wave, density, color="0.25", linewidth=0.5)
    axes.set_ylim(0, 1.75 * density.max())
    taken: list[float] = []
    for window in information.windows:
        middle = (window.low + window.high) / 2
        axes.axvspan(window.low, window.high, color=BACKGROUND, linewidth=0)
        if window.features and all(abs(middle - other) > gap for other in taken):
            taken.append(middle)
            text = window.features[0]
            axes.text(middle, 1.72 * density.max(), text, rotation=90, ha="center", va="top")
    axes.set_ylabel("information on log $g$\n(dex$^{-2}$ Å$^{-1}$, mean)")


def plot_attention(figure: Figure, axes: Axes, patches: Patches) -> None:
    """Attention that patches receive in every block and head of the trained network, and its rollout."""
    edges = np.append(patches.low, patches.high[-1])
    heads = np.array(patches.trained.received)
    depth, n_heads, n = heads.shape
    image = np.concatenate([heads.reshape(-1, n), [patches.trained.rollout]])
    image *= n / image.sum(axis=1, keepdims=True)
    places = np.arange(len(image) + 1) - 0.5
    shown = axes.pcolormesh(edges, places, image, cmap=COLOR_MAP, vmin=0, vmax=np.quantile(image, 0.995))
    axes.set_ylim(len(image) - 0.5, -0.5)
    axes.set_yticks(
        [*(n_heads * i + (n_heads - 1) / 2 for i in range(depth)), len(image) - 1],
        [*(f"block {i + 1}" for i in range(depth)), "rollout"],
    )
    for i in range(1, depth + 1):
        axes.axhline(n_heads * i - 0.5, color="white", linewidth=0.8)
    figure.colorbar(shown, ax=axes, label="attention received\n(1: all patches alike)", pad=0.01)


def plot_sensitivity(axes: Axes, patches: Patches) -> None:
    """Shares of patches in the noise of log g, beside their shares in the information."""
    edges = [*patches.low, patches.high[-1]]
    axes.stairs(
        patches.information["log_g"],
        edges,
        color=LIMIT,
        label="optimal filter",
        fill=True,
        alpha=0.2,
    )
    for name, look in LOOKS.items():
        shares, color = getattr(patches, name).sensitivity, look["color"]
        axes.stairs(shares, edges, color=color, linestyle=look.get("linestyle", "-"), linewidth=0.9)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("vacuum wavelength (Å)")
    axes.set_ylabel("share of the noise\nof log $g$ per patch")


def plot_correlations(axes: Axes, rows: Sequence[Correlation]) -> None:
    """Rank correlations with the information on log g; grey: what shifted patches give."""
    chosen = [row for row in rows if row.label == "log_g"]
    measures = list(dict.fromkeys(row.measure for row in chosen))
    for k, (name, look) in enumerate(LOOKS.items()):
        mine = {row.measure: row for row in chosen if row.network == name}
        places = np.array([i + 0.25 * (k - 1) for i, measure in enumerate(measures) if measure in mine])
        found = [mine[measure] for measure in measures if measure in mine]
        low, high = [row.chance_low for row in found], [row.chance_high for row in found]
        axes.hlines(places, low, high, color=BACKGROUND, linewidth=3)
        axes.plot(column(found, "rho"), places, **look | {"linestyle": ""})
    axes.set_yticks(range(len(measures)), measures)
    axes.set_ylim(len(measures) - 0.3, -0.7)
    axes.set_xlim(-0.5, 1)
    axes.axvline(0, color="0.7", linewidth=0.5)
    axes.set_xlabel("rank correlation with the information\nof patches")
    light_grid(axes, "x")


def plot_cosines(axes: Axes, cosines: Sequence[Cosine], limit: Reach) -> None:
    """Cosine of gradient and optimal filter against SNR."""
    for name, look in LOOKS.items():
        row = next(r for r in cosines if (r.network, r.filter) == (name, "prior"))
        snr = [found.snr for found in row.by_snr]
        axes.plot(snr, column(row.by_snr, "median"), label=f"{name} network", **look)
        low, high = [found.p10 for found in row.by_snr], [found.p90 for found in row.by_snr]
        axes.fill_between(snr, low, high, color=look["color"], alpha=0.15, linewidth=0)
    axes.plot(
        [row.snr for row in limit.by_snr],
        column(limit.by_snr, "median"),
        color=LIMIT,
        linestyle="-.",
        label="most that whitening leaves",
    )
    axes.set_xscale("log")
    ticks = [tick for tick in (2, 3, 5, 10, 20) if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(-0.5, 1.02)
    axes.axhline(0, color="0.7", linewidth=0.5)
    axes.set_xlabel("median SNR per pixel of 0.427 Å")
    axes.set_ylabel("cosine of gradient and optimal\nfilter")
    light_grid(axes)
