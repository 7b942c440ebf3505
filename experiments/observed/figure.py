"""The figure of `observed`: literature against posterior, mean residuals of giants and dwarfs."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.fisher.features import FEATURES
from crlb.labels import unit_of
from crlb.palette import BACKGROUND, MARKERS, steps, symbol_with_unit
from experiments.observed.rows import Fitted, Stack
from experiments.observed.settings import TELLURIC
from experiments.study.literature import LABELS, SETS, Literature
from experiments.study.plotting import PAGE, Sheet, legend_below, light_grid

DRAWN = ("sun", "deimos_cat", "indous_cat", "mike", "stelib", "gaia_rvs", "lamost", "made_up")
LOOKS = dict(zip(DRAWN, zip(steps(8), MARKERS, strict=True), strict=True))  # colour and marker of a set
SERIOUS = {"POOR_FIT", "OUT_OF_GRID", "EDGE", "NOT_CONVERGED", "VELOCITY", "BAD_SCALE", "UNUSABLE"}
COLORS = dict(zip(("giants", "dwarfs"), (steps(3)[1], steps(3)[0]), strict=True))
STRONG = ("Ca II", "Na I", "Mg I", "K I")  # named above the residuals


def plot(
    stars: Sequence[Literature],
    shown: Mapping[str, Sequence[Fitted]],
    stacks: Sequence[Stack],
    sheet: Sheet = PAGE,
) -> Figure:
    """Three labels in a row for every setting, or in a column; residuals below."""
    shown = {name: fits for name, fits in shown.items() if fits}
    across = len(shown) if sheet.narrow else len(LABELS)
    down = len(LABELS) if sheet.narrow else len(shown)
    heights = [1.5 if sheet.narrow else 1.6] * down + [1.3] * bool(stacks)
    figure = plt.figure(figsize=(sheet.width, 1.5 * sum(heights) + 0.8))
    places = figure.add_gridspec(len(heights), across, height_ratios=heights)
    for i, (name, fits) in enumerate(shown.items()):
        by_file = {fit.file: fit for fit in fits}
        pairs = [(one, by_file[one.file]) for one in stars if one.file in by_file]
        for j, label in enumerate(LABELS):
            axes = figure.add_subplot(places[(j, i) if sheet.narrow else (i, j)])
            plot_label(axes, pairs, label)
            if j == (0 if sheet.narrow else 1):
                axes.set_title(setting_name(name, sheet))
    legend_below(figure, figure.axes[0], columns=8, columnspacing=1.0, handletextpad=0.3)
    if stacks:
        plot_stacks(figure.add_subplot(places[-1, :]), stacks, gap=110.0 if sheet.narrow else 30.0)
    return figure


def setting_name(name: str, sheet: Sheet) -> str:
    """A setting as a title."""
    text = name.replace("a_M", "[α/M]").replace("R of the set", "$R$ of the set")
    return text.replace(", $R$", ",\n$R$") if sheet.narrow else text


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
    axes.set(
        xlim=(low, high), ylim=(low, high), xlabel=f"literature {symbol_with_unit(label, unit_of(label))}"
    )
    axes.set_ylabel(f"posterior {symbol_with_unit(label, unit_of(label))}")
    axes.locator_params(nbins=3 if label == "T_eff" else 5)
    light_grid(axes)


def plot_stacks(axes: Axes, stacks: Sequence[Stack], gap: float) -> None:
    """Mean residual with the error of the mean, and strong lines, names `gap` Å apart at least."""
    for one in stacks:
        mean, scatter = (np.array(values, float) for values in (one.mean, one.scatter))
        wave, color = np.array(one.wave), COLORS.get(one.group, "0.5")
        axes.plot(wave, 100 * mean, color=color, linewidth=0.7, label=f"{one.group} ({one.n})")
        axes.fill_between(
            wave, 100 * (mean - scatter), 100 * (mean + scatter), color=color, alpha=0.12, linewidth=0
        )
    for low, high in TELLURIC:
        axes.axvspan(low, high, color=BACKGROUND, zorder=0, linewidth=0)
    low, high = axes.get_ylim()
    last = -np.inf
    for feature in sorted(FEATURES, key=lambda one: one.wave):
        if feature.name.startswith(STRONG) and feature.wave - last > gap:
            last = feature.wave
            axes.annotate(
                feature.name, (feature.wave, 1.03), xycoords=("data", "axes fraction"), rotation=90,
                ha="center", va="bottom",
            )  # fmt: skip
    axes.set(xlim=(7080, 8870), ylim=(max(low, -8), min(high, 8)), xlabel="wavelength at rest, vacuum (Å)")
    axes.set_ylabel("data/model $-$ 1 (%)")
    axes.legend(loc="lower left", ncols=2)
    light_grid(axes)
