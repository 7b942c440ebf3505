"""The figure of `robustness`, from its rows alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.robustness.rows import CaseRow, NoiseRow
from experiments.study.plotting import COLORS, PAGE_WIDTH_IN, Style, light_grid
from experiments.study.rows import intervals
from specvit_jax import metrics

READERS = ("SpecViT", "Ridge")
LOWEST = -0.5  # R2 on an axis
PANELS = (
    ("width", 100, "change of line-spread width (%)"),
    ("velocity", 1, "velocity (km/s)"),
    ("tilt", 100, "tilt of the continuum, end to end (%)"),
    ("sky residuals", 100, "sky-line pixels hit (%)"),
    ("masked", 100, "pixels lost (%)"),
)
STYLES = {3.0: ":", 10.0: "--", 30.0: "-"}  # sigma of the residuals


def plot(noise: Sequence[NoiseRow], limits: Mapping[str, float], rows: Sequence[CaseRow]) -> Figure:
    """R2 over noise, and over every distortion for both readers."""
    figure, axes = plt.subplots(2, 3, figsize=(PAGE_WIDTH_IN, 4.2))
    plot_noise(axes[0, 0], noise, limits)
    for place, (kind, unit, label) in zip(axes.flat[1:], PANELS, strict=True):
        for reader in READERS:
            plot_case(place, [row for row in rows if row.reader == reader], kind, unit)
        place.set_xlabel(label)
        place.set_ylim(bottom=max(place.get_ylim()[0], LOWEST))
        crowded = len(place.get_legend_handles_labels()[0]) > 4
        place.legend(frameon=False, ncols=1 + crowded, handlelength=2.8, fontsize=5 if crowded else 6)
    for place in axes.flat:
        light_grid(place)
    for place in axes[:, 0]:
        place.set_ylabel("$R^2$ of log $g$")
    figure.suptitle(f"Spectra unlike those in training ($R^2$ below {LOWEST} not shown)", fontsize=8)
    return figure


def plot_noise(axes: Axes, noise: Sequence[NoiseRow], limits: Mapping[str, float]) -> None:
    """A line for every noise level in training, and the exact limit."""
    levels = list(dict.fromkeys(row.trained for row in noise))
    for level, color, marker in zip(levels, ("#67a9cf", COLORS["SpecViT"], "#762a83"), "so^", strict=False):
        mine = [row for row in noise if row.trained == level]
        style = {"label": f"trained at {level:g}", "color": color, "marker": marker, "linestyle": "-"}
        plot_line(axes, [row.tested for row in mine], mine, style)
    found = {float(level): value for level, value in limits.items()}
    axes.plot(list(found), list(found.values()), color="black", marker="_", markersize=8, label="exact limit")
    axes.set_xscale("log", base=2)
    axes.set_xticks(levels, [f"{level:g}" for level in levels])
    axes.set_xlabel("noise of the test spectra (times the usual)")
    axes.legend(frameon=False)


def plot_case(axes: Axes, rows: Sequence[CaseRow], kind: str, unit: float) -> None:
    """R2 of one reader over the strength of a distortion; no distortion stands at zero."""
    reader = rows[0].reader
    style = {"color": COLORS[reader], "marker": {"SpecViT": "o", "Ridge": "s"}[reader]}
    origin = [row for row in rows if row.kind == "none"]
    for found in variants(rows, kind):
        mine = sorted([*origin, *found.rows], key=lambda row: row.amount)
        label = f"{reader}{found.name}" + (f", {found.sigma:g} sigma" if found.sigma else "")
        x = [unit * row.amount for row in mine]
        plot_line(axes, x, mine, style | {"label": label, "linestyle": found.dashes})


class Variant(NamedTuple):
    """A line of a panel."""

    rows: list[CaseRow]
    sigma: float
    name: str
    dashes: str


def variants(rows: Sequence[CaseRow], kind: str) -> list[Variant]:
    """The rows of a panel by line: one for each strength of residuals, lost pixels alone and in blocks."""
    if kind == "masked":
        forms = (("masked", "", "-"), ("masked in blocks", ", blocks", "--"))
        return [
            Variant([row for row in rows if row.kind == form], 0.0, name, dashes)
            for form, name, dashes in forms
        ]
    found = [row for row in rows if row.kind == kind]
    return [
        Variant([row for row in found if row.sigma == sigma], sigma, "", STYLES.get(sigma, "-"))
        for sigma in sorted({row.sigma for row in found})
    ]


def plot_line(axes: Axes, x: Sequence[float], rows: Sequence[metrics.Score], style: Style) -> None:
    """R2 of rows with intervals."""
    found = intervals(rows)
    axes.errorbar(x, found.value, yerr=found.reach, elinewidth=0.6, **style)
