"""The answers to a planner's questions: records, their tables and figures."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from crlb.files.records import ABSENT, Json, Record
from crlb.files.text import text_of
from crlb.labels import unit_of
from crlb.palette import LIMIT, PAGE, Sheet, settled, styled, symbol, symbol_with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

BOUND, POSTERIOR = "1-sigma bound", "posterior standard deviation"
WHAT_COUNTS = {
    BOUND: "Cramér-Rao bounds, all unknowns free: for unbiased estimators.",
    POSTERIOR: "Posterior standard deviations under the prior: the median over draws of the noise.",
}
NO_OVERHEAD = "Hours of exposure, without readout and pointing."


@dataclass(frozen=True)
class ExposuresRow(Record):
    """What one label of a star needs.

    Args:
        instrument: its name.
        mag: AB magnitude, in the band of the first instrument.
        label: the label.
        want: the sigma that is wanted, in its unit.
        n_exp: the fewest exposures in which sigma is at most that; None: there is no such number.
        hours: of exposure; None likewise.
        sigma: in these exposures; None likewise.
        snr: median of flux/error over the pixels in use, in these exposures; None likewise.
        floor: sigma in infinitely many exposures; 0 where all noise averages down.
        set_by: what the floor is set by; empty where there is none.
    """

    instrument: str
    mag: float
    label: str
    want: float
    n_exp: int | None
    hours: float | None
    sigma: float | None
    snr: float | None
    floor: float
    set_by: str

    def never(self) -> str:
        """Returns why no number of exposures suffices; empty where one does."""
        if self.n_exp is not None:
            return ""
        unit = unit_of(self.label)
        by = f", set by {self.set_by}" if self.set_by else ""
        return (
            f"{self.instrument}, mag {self.mag:.6g}: {self.label} never to {self.want:g} {unit}: "
            f"{self.floor:.3g} {unit} is the floor{by}."
        )


@dataclass(frozen=True)
class FaintestRow(Record):
    """How faint a star may be.

    Args:
        instrument: its name.
        hours: of exposure that were given.
        n_exp: whole exposures in them.
        label: the label.
        want: the sigma that is wanted, in its unit.
        mag: the faintest AB magnitude, in the band of the first instrument; None: sigma is larger for any.
        snr: median of flux/error over the pixels in use there; None likewise.
    """

    instrument: str
    hours: float
    n_exp: int
    label: str
    want: float
    mag: float | None
    snr: float | None


@dataclass(frozen=True, eq=False)
class TimeMap(Record):
    """Sigma of a label over magnitude and exposure time.

    Args:
        instrument: its name.
        label: the label.
        want: the sigma that is wanted, in its unit.
        mags: AB magnitudes, in the band of the first instrument.
        n_exp: numbers of exposures.
        hours: of exposure, for each of these.
        sigma: in the unit of the label; NaN where the labels cannot be told apart.
    """

    instrument: str
    label: str
    want: float
    mags: Float[np.ndarray, " n_mag"]
    n_exp: Float[np.ndarray, " n_time"]
    hours: Float[np.ndarray, " n_time"]
    sigma: Float[np.ndarray, "n_time n_mag"]


@dataclass(frozen=True, eq=False)
class LabelMap(Record):
    """Sigma of a label over T_eff and log g, in given exposures.

    Args:
        instrument: its name.
        label: the label.
        want: the sigma that is wanted, in its unit.
        mag: AB magnitude of all stars, in the band of this instrument.
        n_exp: number of exposures.
        hours: of exposure.
        T_eff: effective temperatures, K.
        log_g: surface gravities, dex.
        sigma: in the unit of the label; NaN where the labels cannot be told apart.
    """

    instrument: str
    label: str
    want: float
    mag: float
    n_exp: int
    hours: float
    T_eff: Float[np.ndarray, " n_heat"]
    log_g: Float[np.ndarray, " n_gravity"]
    sigma: Float[np.ndarray, "n_gravity n_heat"]


@dataclass(frozen=True, eq=False)
class Plan(Record):
    """How long and how faint.

    Args:
        quantity: what sigma is: a bound, or a posterior standard deviation.
        exptime_s: length of an exposure, s.
        exposures: what every label needs, per magnitude and instrument.
        faintest: how faint, per time and instrument.
        provenance: how it was asked for.
        time_maps: sigma over magnitude and time, where these were asked for.
        label_maps: sigma over the labels, likewise.
    """

    quantity: str
    exptime_s: float
    exposures: tuple[ExposuresRow, ...]
    faintest: tuple[FaintestRow, ...]
    provenance: dict[str, Json]
    time_maps: tuple[TimeMap, ...] | None = field(default=None, metadata=ABSENT)
    label_maps: tuple[LabelMap, ...] | None = field(default=None, metadata=ABSENT)

    def as_rows(self) -> list[dict[str, object]]:
        """Returns all rows as plain mappings, ready for a CSV file; empty where a column does not apply."""
        rows = [*map(asdict, self.exposures), *map(asdict, self.faintest)]
        names = list(dict.fromkeys(name for row in rows for name in row))
        return [{name: row.get(name) for name in names} for row in rows]

    def table(self) -> str:
        """Returns what was asked for as tables, and what they mean."""
        parts: list[Table | str] = []
        if self.exposures:
            parts += [_exposures_table(self), *(row.never() for row in self.exposures)]
        if self.faintest:
            parts.append(_faintest_table(self))
        return text_of(*parts, WHAT_COUNTS[self.quantity], NO_OVERHEAD)

    def plot_times(self, sheet: Sheet = PAGE) -> "Figure":
        """Returns the figure of sigma over magnitude and time, a panel for every instrument and label."""
        with styled():
            figure, panels = sheet.panels(len(self.time_maps or ()), 2.8)
            for axes, one in zip(panels, self.time_maps or (), strict=True):
                contours(axes, one.mags, one.hours, one.sigma, one.want)
                axes.set(yscale="log", xlabel="AB magnitude", ylabel="exposure time (h)")
                axes.yaxis.set_major_formatter("{x:g}")
                axes.set_title(_title(one, sheet))
            return settled(figure)

    def plot_labels(self, sheet: Sheet = PAGE) -> "Figure":
        """Returns the figure of sigma over T_eff and log g, hot and large to the lower left."""
        with styled():
            figure, panels = sheet.panels(len(self.label_maps or ()), 2.8)
            for axes, one in zip(panels, self.label_maps or (), strict=True):
                contours(axes, one.T_eff, one.log_g, one.sigma, one.want)
                axes.set(xlabel=symbol_with_unit("T_eff", "K"), ylabel=symbol_with_unit("log_g", "dex"))
                axes.invert_xaxis()
                axes.invert_yaxis()
                axes.set_title(f"{_title(one, sheet)}\nmag {one.mag:.4g}, {one.hours:g} h")
            return settled(figure)


def contours(
    axes: "Axes",
    x: Float[np.ndarray, " n_x"],
    y: Float[np.ndarray, " n_y"],
    sigma: Float[np.ndarray, "n_y n_x"],
    want: float,
) -> None:
    """Draws sigma in colour, light where it is small, and what is wanted as a thick line."""
    from matplotlib.colors import LogNorm

    finite = sigma[np.isfinite(sigma)]
    colour = LogNorm(finite.min(), finite.max())
    axes.pcolormesh(x, y, sigma, norm=colour, cmap="cividis_r", shading="nearest", rasterized=True)
    for chosen, width in ((levels(finite), 0.6), ([want], 2.0)):
        within = [level for level in chosen if finite.min() < level < finite.max()]
        if within:
            drawn = axes.contour(x, y, sigma, levels=within, colors=LIMIT, linewidths=width)
            axes.clabel(drawn, fmt="{:g}".format)


def levels(values: Float[np.ndarray, " n"]) -> list[float]:
    """Returns the numbers 1, 2 and 5 of every decade between the least and the largest of positive ones."""
    low, high = float(values.min()), float(values.max())
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [x for k in decades for x in (1.0 * 10.0**k, 2.0 * 10.0**k, 5.0 * 10.0**k) if low < x < high]


def _title(one: TimeMap | LabelMap, sheet: Sheet) -> str:
    (name,) = sheet.wrapped([one.instrument])
    return f"{name}: sigma of {symbol(one.label)} ({unit_of(one.label)})"


def _exposures_table(plan: Plan) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"exposures of {plan.exptime_s:g} s for a {plan.quantity}")
    heads = ("mag", "instrument", "label", "wanted", "exposures", "hours", "sigma\nthere", "SNR per\npixel")
    for head in (*heads, "floor"):
        table.add_column(head, justify="left" if head in ("instrument", "label") else "right")
    for row in plan.exposures:
        found = ["never", "-", "-", "-"] if row.n_exp is None else [
            f"{row.n_exp:,}", f"{row.hours:.4g}", f"{row.sigma:.4g}", f"{row.snr:.1f}"
        ]  # fmt: skip
        wanted = f"{row.want:g} {unit_of(row.label)}"
        table.add_row(f"{row.mag:.6g}", row.instrument, row.label, wanted, *found, f"{row.floor:.3g}")
    return table


def _faintest_table(plan: Plan) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"faintest magnitude for a {plan.quantity}")
    for head in ("hours", "exposures", "instrument", "label", "wanted", "mag", "SNR per\npixel"):
        table.add_column(head, justify="left" if head in ("instrument", "label") else "right")
    for row in plan.faintest:
        found = ["none", "-"] if row.mag is None else [f"{row.mag:.2f}", f"{row.snr:.1f}"]
        wanted = f"{row.want:g} {unit_of(row.label)}"
        table.add_row(f"{row.hours:g}", f"{row.n_exp:,}", row.instrument, row.label, wanted, *found)
    return table
