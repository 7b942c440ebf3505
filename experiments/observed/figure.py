"""The figure of `observed`: literature against posterior, mean residuals of giants and dwarfs."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.fisher.features import FEATURES
from experiments.observed.data import SETS
from experiments.observed.rows import LABELS, Fitted, Literature, Stack
from experiments.observed.settings import TELLURIC
from experiments.study.plotting import PAGE_WIDTH_IN, light_grid

TITLES = {"T_eff": "$T_\\mathrm{eff}$ (K)", "log_g": "log $g$ (dex)", "M_H": "[M/H] (dex)"}
LOOKS = {  # colour and marker of a set
    "sun": ("#e6ab02", "*"),
    "deimos_cat": ("#b2182b", "s"),
    "indous_cat": ("#e08214", "D"),
    "mike": ("#8c510a", "P"),
    "stelib": ("#2166ac", "o"),
    "gaia_rvs": ("#1b7837", "^"),
    "lamost": ("#999999", "v"),
    "made_up": ("black", "x"),
}
SERIOUS = {"POOR_FIT", "OUT_OF_GRID", "EDGE", "NOT_CONVERGED", "VELOCITY", "BAD_SCALE", "UNUSABLE"}
COLORS = {"giants": "#b2182b", "dwarfs": "#2166ac"}
STRONG = ("Ca II", "Na I", "Mg I", "K I")  # named above the residuals


def plot(
    stars: Sequence[Literature], shown: Mapping[str, Sequence[Fitted]], stacks: Sequence[Stack]
) -> Figure:
    """Three labels in a row for every setting, residuals below."""
    shown = {name: fits for name, fits in shown.items() if fits}
    heights = [1.6] * len(shown) + [1.2] * bool(stacks)
    figure = plt.figure(figsize=(PAGE_WIDTH_IN, 1.5 * sum(heights) + 0.4))
    rows = figure.add_gridspec(len(heights), 3, height_ratios=heights)
    for row, (name, fits) in enumerate(shown.items()):
        by_file = {fit.file: fit for fit in fits}
        pairs = [(one, by_file[one.file]) for one in stars if one.file in by_file]
        panels = [figure.add_subplot(rows[row, i]) for i in range(len(LABELS))]
        for axes, label in zip(panels, LABELS, strict=True):
            plot_label(axes, pairs, label)
        panels[1].set_title(name, fontsize=7)
    handles, names = figure.axes[0].get_legend_handles_labels()
    flags = (
        ", ".join(sorted(SERIOUS & {flag for fits in shown.values() for flag in flags_in(fits)})) or "none"
    )
    figure.legend(
        handles, names, frameon=False, loc="outside upper center", ncols=8, title=f"open symbols: {flags}"
    )
    if stacks:
        plot_stacks(figure.add_subplot(rows[-1, :]), stacks)
    return figure


def flags_in(fits: Sequence[Fitted]) -> set[str]:
    """All flags that occur."""
    return {flag for fit in fits for flag in fit.flags}


def plot_label(axes: Axes, pairs: Sequence[tuple[Literature, Fitted]], label: str) -> None:
    """Posterior mean and sigma over the literature and its spread."""
    for name, (color, marker) in LOOKS.items():
        for i, (star, fit) in enumerate(pair for pair in pairs if pair[0].set == name):
            axes.errorbar(
                star.labels[label],
                fit.mean[label],
                xerr=star.spread[label],
                yerr=(fit.sigma or {}).get(label),
                color=color,
                marker=marker,
                markerfacecolor="white" if SERIOUS & set(fit.flags) else color,
                linestyle="none",
                elinewidth=0.4,
                markeredgewidth=0.7,
                label=SETS[name].title if i == 0 else None,
            )
    ends = np.array([axes.get_xlim(), axes.get_ylim()])
    low, high = float(ends.min()), float(ends.max())
    axes.plot([low, high], [low, high], color="0.5", linewidth=0.7, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"literature {TITLES[label]}")
    axes.set_ylabel(f"posterior {TITLES[label]}")
    light_grid(axes)


def plot_stacks(axes: Axes, stacks: Sequence[Stack]) -> None:
    """Mean residual with the error of the mean, and strong lines."""
    for one in stacks:
        mean, scatter = (np.array(values, float) for values in (one.mean, one.scatter))
        wave, color = np.array(one.wave), COLORS.get(one.group, "black")
        axes.plot(wave, 100 * mean, color=color, linewidth=0.7, label=f"{one.group} ({one.n})")
        axes.fill_between(
            wave, 100 * (mean - scatter), 100 * (mean + scatter), color=color, alpha=0.12, linewidth=0
        )
    for low, high in TELLURIC:
        axes.axvspan(low, high, color="0.92", zorder=0, linewidth=0)
    low, high = axes.get_ylim()
    for feature in FEATURES:
        if feature.name.startswith(STRONG):
            axes.annotate(
                feature.name, (feature.wave, 1.0), xycoords=("data", "axes fraction"), rotation=90,
                fontsize=4, ha="center", va="top",
            )  # fmt: skip
    axes.set(xlim=(7080, 8870), ylim=(max(low, -8), min(high, 8)), xlabel="wavelength at rest, vacuum (Å)")
    axes.set_ylabel("data/model $-$ 1 (%)")
    axes.legend(frameon=False, loc="lower left", ncols=2)
    light_grid(axes)
