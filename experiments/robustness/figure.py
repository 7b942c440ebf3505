"""The figure of `robustness`, from its rows alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.robustness.rows import CaseRow, NoiseRow
from experiments.study.plotting import COLORS, PAGE_WIDTH_IN, Style, light_grid
from experiments.study.rows import intervals
from specvit_jax import metrics

READERS: dict[str, Style] = {  # in the order of the table
    "SpecViT": {"color": COLORS["SpecViT"], "marker": "o"},
    "survey": {"color": COLORS["MLP"], "marker": "X"},
    "Ridge": {"color": COLORS["Ridge"], "marker": "s"},
}
LOWEST = -0.5  # R2 on an axis
PANELS = (
    ("width", 100, "change of line width (%)"),
    ("velocity", 1, "velocity (km/s)"),
    ("tilt", 100, "tilt of the continuum (%)"),
    ("scale", 100, "error of the scale (% rms)"),
    ("sky residuals", 100, "sky-line pixels hit (%)"),
    ("masked", 100, "pixels lost (%)"),
)
STYLES = {3.0: ":", 10.0: "--", 30.0: "-"}  # sigma of the residuals


def plot(noise: Sequence[NoiseRow], limits: Mapping[str, float], rows: Sequence[CaseRow]) -> Figure:
    """R2 over noise, and over every distortion for every reader."""
    figure, axes = plt.subplots(2, 4, figsize=(PAGE_WIDTH_IN, 3.9))
    plot_noise(axes[0, 0], noise, limits)
    panels = [panel for panel in PANELS if any(row.kind == panel[0] for row in rows)]
    for place, (kind, unit, label) in zip(axes.flat[1:], panels, strict=False):
        plot_panel(place, rows, kind, unit)
        place.set_xlabel(label)
    for place in axes.flat[: 1 + len(panels)]:
        light_grid(place)
    for place in axes.flat[1 + len(panels) :]:
        place.remove()
    for place in axes[:, 0]:
        place.set_ylabel("$R^2$ of log $g$")
    handles, names = axes[0, 1].get_legend_handles_labels()
    where: Style = {"loc": "center", "bbox_to_anchor": (0.88, 0.28)}  # where the eighth panel would be
    figure.legend(handles, names, frameon=False, title="read by", fontsize=7, **where)
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
    axes.set_xlabel("noise in the test (times usual)")
    axes.legend(frameon=False)


def plot_panel(axes: Axes, rows: Sequence[CaseRow], kind: str, unit: float) -> None:
    """R2 over the strength of a distortion, by reader (colour) and variant (dashes); none stands at zero."""
    shown = [reader for reader in READERS if any(row.reader == reader for row in rows)]
    for reader in shown:
        mine = [row for row in rows if row.reader == reader]
        origin = [row for row in mine if row.kind == "none"]
        for i, found in enumerate(variants(mine, kind)):
            line = sorted([*origin, *found.rows], key=lambda row: row.amount)
            style = READERS[reader] | {"label": reader if i == 0 else None, "linestyle": found.dashes}
            plot_line(axes, [unit * row.amount for row in line], line, style)
    axes.set_ylim(bottom=max(axes.get_ylim()[0], LOWEST))
    if len(forms := variants(rows, kind)) > 1:
        styles: list[Style] = [{"linestyle": form.dashes, "label": form.name} for form in forms]
        handles = [Line2D([], [], color="0.4", **style) for style in styles]
        axes.legend(handles=handles, frameon=False, handlelength=2.8)


class Variant(NamedTuple):
    """A line of a panel."""

    rows: list[CaseRow]
    name: str
    dashes: str


def variants(rows: Sequence[CaseRow], kind: str) -> list[Variant]:
    """The rows of a panel by line: one for each strength of residuals, lost pixels alone and in blocks."""
    if kind == "masked":
        forms = (("masked", "single", "-"), ("masked in blocks", "in blocks", "--"))
        return [
            Variant([row for row in rows if row.kind == form], name, dashes) for form, name, dashes in forms
        ]
    found = [row for row in rows if row.kind == kind]
    return [
        Variant([row for row in found if row.sigma == sigma], f"{sigma:g} sigma", STYLES.get(sigma, "-"))
        for sigma in sorted({row.sigma for row in found})
    ]


def plot_line(axes: Axes, x: Sequence[float], rows: Sequence[metrics.Score], style: Style) -> None:
    """R2 of rows with intervals."""
    found = intervals(rows)
    axes.errorbar(x, found.value, yerr=found.reach, elinewidth=0.6, **style)
