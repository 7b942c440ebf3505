"""The figure of `robustness`, from its rows alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.palette import LIMIT, RAMP, looks
from experiments.robustness.rows import CaseRow, NoiseRow
from experiments.study.plotting import COLORS, PAGE, Sheet, Style, legend_below, light_grid
from experiments.study.rows import intervals
from specvit_jax import metrics

READERS: dict[str, Style] = {  # in the order of the table
    "SpecViT": {"color": COLORS["SpecViT"], "marker": "o"},
    "survey": {"color": RAMP[1], "marker": "X"},
    "Ridge": {"color": COLORS["Ridge"], "marker": "s"},
}
NAMES = {"survey": "SpecViT, survey conditions"}
LOWEST = -0.5  # R2 on an axis
PANELS = (
    ("width", 100, "change of line width (%)"),
    ("velocity", 1, "velocity (km/s)"),
    ("tilt", 100, "tilt of the continuum (%)"),
    ("scale", 100, "error of the scale (% rms)"),
    ("sky residuals", 100, "sky-line pixels hit (%)"),
    ("masked", 100, "pixels lost (%)"),
)
STYLES: dict[float, str] = {3.0: ":", 10.0: "--", 30.0: "-"}  # sigma of the residuals


def plot(
    noise: Sequence[NoiseRow], limits: Mapping[str, float], rows: Sequence[CaseRow], sheet: Sheet = PAGE
) -> Figure:
    """R2 over noise, and over every distortion for every reader."""
    panels = [panel for panel in PANELS if any(row.kind == panel[0] for row in rows)]
    columns = 2 if sheet.narrow else 4
    lines = -(-(1 + len(panels)) // columns)
    figure, axes = sheet.grid(lines, columns, 1.9, sharey=True)
    plot_noise(axes[0], noise, limits)
    for place, (kind, unit, label) in zip(axes[1:], panels, strict=False):
        plot_panel(place, rows, kind, unit)
        place.set_xlabel(label)
    for place in axes[: 1 + len(panels)]:
        light_grid(place)
    for place in axes[1 + len(panels) :]:
        place.remove()
    axes[0].set_ylim(LOWEST, 0.95)
    for place in axes[: 1 + len(panels) : columns]:
        place.set_ylabel("$R^2$ of log $g$")
    legend_below(figure, *axes[: 1 + len(panels)], columns=4, handlelength=2.8)
    return figure


def plot_noise(axes: Axes, noise: Sequence[NoiseRow], limits: Mapping[str, float]) -> None:
    """A line for every noise level in training, and the exact limit."""
    levels = list(dict.fromkeys(row.trained for row in noise))
    for level, look in zip(levels, looks(len(levels)), strict=True):
        mine = [row for row in noise if row.trained == level]
        plot_line(
            axes, [row.tested for row in mine], mine, look | {"label": f"noise × {level:g} in training"}
        )
    found = {float(level): value for level, value in limits.items()}
    axes.plot(list(found), list(found.values()), "_-", color=LIMIT, markersize=8, label="exact limit")
    axes.set_xscale("log", base=2)
    axes.set_xticks(levels, [f"{level:g}" for level in levels])
    axes.set_xlabel("noise in the test (times usual)")


def plot_panel(axes: Axes, rows: Sequence[CaseRow], kind: str, unit: float) -> None:
    """R2 over the strength of a distortion, by reader (colour) and variant (dashes); none stands at zero."""
    shown = [reader for reader in READERS if any(row.reader == reader for row in rows)]
    for reader in shown:
        mine = [row for row in rows if row.reader == reader]
        origin = [row for row in mine if row.kind == "none"]
        for i, found in enumerate(variants(mine, kind)):
            line = sorted([*origin, *found.rows], key=lambda row: row.amount)
            name = NAMES.get(reader, reader) if i == 0 else None
            style = READERS[reader] | {"label": name, "linestyle": found.dashes}
            plot_line(axes, [unit * row.amount for row in line], line, style)
    if len(forms := variants(rows, kind)) > 1:
        for form in forms:
            axes.plot([], [], color="0.4", linestyle=form.dashes, label=form.name)


class Variant(NamedTuple):
    """A line of a panel."""

    rows: list[CaseRow]
    name: str
    dashes: str | tuple[int, tuple[int, ...]]


def variants(rows: Sequence[CaseRow], kind: str) -> list[Variant]:
    """The rows of a panel by line: one for each strength of residuals, lost pixels alone and in blocks."""
    if kind == "masked":
        forms = (
            ("masked", "pixels lost one by one", "-"),
            ("masked in blocks", "pixels lost in blocks", (0, (4, 1, 1, 1))),
        )
        return [
            Variant([row for row in rows if row.kind == form], name, dashes) for form, name, dashes in forms
        ]
    found = [row for row in rows if row.kind == kind]
    return [
        Variant([row for row in found if row.sigma == sigma], residual_name(sigma), STYLES.get(sigma, "-"))
        for sigma in sorted({row.sigma for row in found})
    ]


def residual_name(sigma: float) -> str:
    """Residuals of sky lines in words, their strength in units of the noise."""
    return f"sky residuals of {sigma:g} sigma" if sigma else ""


def plot_line(axes: Axes, x: Sequence[float], rows: Sequence[metrics.Score], style: Style) -> None:
    """R2 of rows with intervals."""
    found = intervals(rows)
    axes.errorbar(x, found.value, yerr=found.reach, elinewidth=0.6, **style)
