"""The figure of experiments/robustness/experiment.py, from its results alone."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.study.drawing import COLORS, PAGE_WIDTH_IN

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


def draw(results: dict[str, Any]) -> Figure:
    """R2 over noise, and over every distortion for both readers."""
    figure, axes = plt.subplots(2, 3, figsize=(PAGE_WIDTH_IN, 4.2))
    draw_noise(axes[0, 0], results)
    for place, (kind, unit, label) in zip(axes.flat[1:], PANELS, strict=True):
        for reader in READERS:
            draw_case(place, [row for row in results["rows"] if row["reader"] == reader], kind, unit)
        place.set_xlabel(label)
        place.set_ylim(bottom=max(place.get_ylim()[0], LOWEST))
        crowded = len(place.get_legend_handles_labels()[0]) > 4
        place.legend(frameon=False, ncols=1 + crowded, handlelength=2.8, fontsize=5 if crowded else 6)
    for place in axes.flat:
        place.grid(color="0.93", linewidth=0.4)
        place.set_axisbelow(True)
    for place in axes[:, 0]:
        place.set_ylabel("$R^2$ of log $g$")
    figure.suptitle(f"Spectra unlike those in training ($R^2$ below {LOWEST} not shown)", fontsize=8)
    return figure


def draw_noise(axes: Axes, results: dict[str, Any]) -> None:
    """A line for every noise level in training, and the exact limit."""
    levels = list(dict.fromkeys(row["trained"] for row in results["noise"]))
    for level, color, marker in zip(levels, ("#67a9cf", COLORS["SpecViT"], "#762a83"), "so^", strict=False):
        mine = [row for row in results["noise"] if row["trained"] == level]
        lines(axes, [row["tested"] for row in mine], mine, f"trained at {level:g}", color, marker, "-")
    found = {float(level): value for level, value in results["limits"].items()}
    axes.plot(list(found), list(found.values()), color="black", marker="_", markersize=8, label="exact limit")
    axes.set_xscale("log", base=2)
    axes.set_xticks(levels, [f"{level:g}" for level in levels])
    axes.set_xlabel("noise of the test spectra (times the usual)")
    axes.legend(frameon=False)


def draw_case(axes: Axes, rows: Sequence[dict[str, Any]], kind: str, unit: float) -> None:
    """R2 of one reader over the strength of a distortion; no distortion stands at zero."""
    reader, marker = rows[0]["reader"], {"SpecViT": "o", "Ridge": "s"}[rows[0]["reader"]]
    origin = [row for row in rows if row["kind"] == "none"]
    for found, sigma, name, style in variants(rows, kind):
        mine = sorted([*origin, *found], key=lambda row: row["amount"])
        label = f"{reader}{name}" + (f", {sigma:g} sigma" if sigma else "")
        lines(axes, [unit * row["amount"] for row in mine], mine, label, COLORS[reader], marker, style)


def variants(rows: Sequence[dict[str, Any]], kind: str) -> list[tuple[list[dict[str, Any]], float, str, str]]:
    """The rows of a panel by line: one for each strength of residuals, lost pixels alone and in blocks."""
    if kind == "masked":
        forms = (("masked", "", "-"), ("masked in blocks", ", blocks", "--"))
        return [
            ([row for row in rows if row["kind"] == form], 0.0, name, style) for form, name, style in forms
        ]
    found = [row for row in rows if row["kind"] == kind]
    sigmas = sorted({row["sigma"] for row in found})
    return [
        ([row for row in found if row["sigma"] == sigma], sigma, "", STYLES.get(sigma, "-"))
        for sigma in sigmas
    ]


def lines(
    axes: Axes,
    x: Sequence[float],
    rows: Sequence[dict[str, Any]],
    label: str,
    color: str,
    marker: str,
    style: str,
) -> None:
    """R2 of rows with intervals."""
    reach = [[row["r2"] - row["r2_low"] for row in rows], [row["r2_high"] - row["r2"] for row in rows]]
    axes.errorbar(
        x, [row["r2"] for row in rows], yerr=reach, label=label,
        color=color, marker=marker, linestyle=style, elinewidth=0.6,
    )  # fmt: skip
