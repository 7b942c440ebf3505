"""How far the emulator of a grid is from nodes it was not given: the result, its tables and its figure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from crlb.files.records import INLINE, Json, Record
from crlb.files.text import text_of
from crlb.palette import PAGE, Sheet, settled, steps, styled, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

TESTS = ("halved", "single", "estimate")  # in the order of the table
ACCEPTABLE_BIAS = 0.2  # of the bound: adds 2 % to an error, sqrt(1 + 0.2^2); a line in the figure
SMALLEST_DRAWN = 1e-4  # of the bound: below this a bias is drawn here, the axis being logarithmic
# Below this expected growth from single to halved the two errors are too alike to judge by.
TELLING_GROWTH = 2.0

Quantile = Literal["median", "p90", "max"]


@dataclass(frozen=True)
class Spread(Record):
    """Median, 90 % quantile and maximum over nodes."""

    median: float
    p90: float
    max: float


@dataclass(frozen=True)
class FluxError(Spread):
    """Relative errors of the flux: of the median pixel over nodes, and of the worst pixel of all nodes."""

    worst_pixel: float


@dataclass(frozen=True)
class Biases(Record):
    """Biases of the labels of a fit over their Cramer-Rao bounds, without sign, at one magnitude."""

    mag: float
    by_label: dict[str, Spread] = field(metadata=INLINE)

    def largest(self, quantile: Quantile) -> float:
        """Returns the bias over bound of the label that has the largest."""
        return max(_quantile(spread, quantile) for spread in self.by_label.values())


@dataclass(frozen=True)
class Row(Record):
    """Errors of one test along one axis ("all": all axes together) in one region ("all": everywhere).

    Args:
        degree: of the splines.
        test: "halved", "single" or "estimate".
        axis: label along which nodes were left out.
        region: part of label space.
        n: nodes scored.
        flux_error: relative errors of the flux.
        slope_error: relative errors of the slopes by label, in the rms over pixels; none for an estimate.
        bias_over_bound: one entry per magnitude.
    """

    degree: int
    test: str
    axis: str
    region: str
    n: int
    flux_error: FluxError
    slope_error: dict[str, Spread]
    bias_over_bound: tuple[Biases, ...]

    def largest_bias(self, quantile: Quantile, mag: int | None = None) -> float:
        """Returns the largest bias over bound of any label, at the mag-th (None: the middle) magnitude."""
        at_mags = self.bias_over_bound
        return at_mags[len(at_mags) // 2 if mag is None else mag].largest(quantile)


@dataclass(frozen=True)
class AxisNote(Record):
    """What the tests could do on an axis, and what limits them."""

    label: str
    nodes: int
    left_out_by_halving: int
    note: str


@dataclass(frozen=True)
class Better(Record):
    """Degree of the smaller flux error, and of the smaller largest bias, of a test, axis and region."""

    test: str
    axis: str
    region: str
    flux: int
    bias_median: int
    bias_p90: int


@dataclass(frozen=True)
class Smoothness(Record):
    """How much the flux error grows from single to halved, and how much it should if spectra are smooth."""

    axis: str
    degree: int
    halved_over_single: float
    if_smooth: float

    def words(self) -> str:
        """Returns the comparison and its verdict."""
        grown, smooth = self.halved_over_single, self.if_smooth
        verdict = "as if smooth" if grown >= smooth / 2 else "estimate too small"
        verdict = "no verdict" if smooth < TELLING_GROWTH else verdict
        words = f"flux error halved/single {grown:.2f}, {smooth:.2f} if smooth: {verdict}."
        return f"{self.axis}, degree {self.degree}: {words}"


@dataclass(frozen=True)
class MeanError(Record):
    """Mean relative flux error in every bin of wavelength, single nodes of one axis left out."""

    degree: int
    axis: str
    mean: tuple[float, ...]


@dataclass(frozen=True)
class ErrorSpectra(Record):
    """Flux errors by wavelength; `wave` holds the mean of every bin, Å."""

    wave: tuple[float, ...]
    flux_error: tuple[MeanError, ...]


@dataclass(frozen=True)
class Validation(Record):
    """Errors of the emulator at nodes it was not given.

    Args:
        label_names: the labels that vary.
        mags: AB magnitudes in i at which the bound is taken.
        snr_median: median SNR per pixel at each of them.
        axes: what the tests could do on each axis.
        nodes: of the grid.
        not_scored: nodes that are interpolated themselves.
        rows: errors per degree, test, axis and region.
        better: which degree is better, per test, axis and region; biases at the middle magnitude.
        smoothness: whether errors grow as those of smooth spectra do.
        spectra: errors by wavelength.
        provenance: how the result was made.
    """

    label_names: tuple[str, ...]
    mags: tuple[float, ...]
    snr_median: tuple[float, ...]
    axes: tuple[AxisNote, ...]
    nodes: int
    not_scored: int
    rows: tuple[Row, ...]
    better: tuple[Better, ...]
    smoothness: tuple[Smoothness, ...]
    spectra: ErrorSpectra
    provenance: dict[str, Json]

    def table(self) -> str:
        """Returns errors per axis, and per region, and what they mean, as text."""
        notes = [f"{axis.label}: {axis.note}." for axis in self.axes if axis.note]
        if self.not_scored:
            notes.append(f"{self.not_scored} nodes were interpolated when the grid was made: not scored.")
        smoothness = [one.words() for one in self.smoothness]
        meaning = f"{self.provenance['meaning']}."
        return text_of(_axes_table(self), _regions_table(self), *smoothness, *notes, meaning)

    def plot(self, sheet: Sheet = PAGE) -> "Figure":
        """Returns the figure: errors against wavelength, and the largest bias per axis and region."""
        axes = [axis.label for axis in self.axes if axis.left_out_by_halving]
        with styled():
            figure, (above, below) = sheet.grid(2, 1, 2.9 if sheet.narrow else 3.2)
            self._plot_spectra(axes, above)
            columns = 2 if sheet.narrow else len(axes)
            figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=columns)
            _plot_bias(self, axes, below)
            return settled(figure)

    def caption(self) -> str:
        """Returns what the figure shows, as sentences."""
        snr = self.snr_median[len(self.mags) // 2]
        return (
            "Above: relative error of the flux of nodes that were left out one at a time and predicted from "
            "the others, mean over nodes, with cubic (solid) and quintic (dashed) splines. Below: every "
            "second node of one label left out; bias of the label that suffers most in a fit with the "
            "predicted spectra, in units of its Cramér-Rao bound, the smallest standard deviation of an "
            f"unbiased estimator, at a median signal-to-noise ratio of {snr:.0f} per pixel, by region of the "
            "labels: from the median (circle: cubic, square: quintic) to the 90th percentile of the nodes. "
            f"Grey line: {ACCEPTABLE_BIAS:g} of the bound, which adds 2 % to an error."
        )

    def _plot_spectra(self, axes: list[str], panel: "Axes") -> None:
        """Errors of the flux against wavelength, a colour for the label of the nodes left out."""
        for curve in self.spectra.flux_error:
            style = "-" if curve.degree == 3 else "--"
            percent = [100 * x for x in curve.mean]
            label = f"{symbol(curve.axis)}, degree {curve.degree}"
            color = steps(len(axes))[axes.index(curve.axis)]
            panel.plot(self.spectra.wave, percent, color=color, ls=style, label=label, lw=1.0)
        panel.set(
            yscale="log", xlabel="vacuum wavelength (Å)", ylabel="mean flux error,\nsingle nodes out (%)"
        )


def _quantile(spread: Spread, quantile: Quantile) -> float:
    return {"median": spread.median, "p90": spread.p90, "max": spread.max}[quantile]


def _axes_table(result: Validation) -> "Table":
    """Per axis, test and degree: flux error, and the bias of the worst label at every magnitude."""
    from rich.table import Table

    title = "Everywhere: flux error (%), and largest label bias over its bound"
    table = Table(box=None, padding=(0, 1, 0, 0), title=title)
    heads = ["axis", "test", "deg.", "nodes", "flux\nmedian", "\np90", "worst\npixel"]
    heads += [f"bias, SNR {snr:.0f}\nmedian/p90/max" for snr in result.snr_median]
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i < 2 else "right", no_wrap=True)
    for row in _ordered(result.rows):
        if row.region == "all":
            error = row.flux_error
            flux = [_short(100 * x) for x in (error.median, error.p90, error.worst_pixel)]
            bias = [_biases(row, i) for i in range(len(result.mags))]
            table.add_row(row.axis, row.test, str(row.degree), str(row.n), *flux, *bias)
    return table


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """All axes together last; within an axis by test, then degree."""
    order = {axis: i for i, axis in enumerate(dict.fromkeys(row.axis for row in rows))}
    return sorted(
        rows, key=lambda row: (row.axis == "all", order[row.axis], TESTS.index(row.test), row.degree)
    )


def _biases(row: Row, mag: int | None = None) -> str:
    quantiles: tuple[Quantile, ...] = ("median", "p90", "max")
    return "/".join(_short(row.largest_bias(quantile, mag)) for quantile in quantiles)


def _short(value: float) -> str:
    """Three digits after the point where they matter: at most five characters."""
    return f"{value:.3f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _regions_table(result: Validation) -> "Table":
    """Per axis and region, every second node left out: both degrees side by side, and which is better."""
    from rich.table import Table

    middle = result.snr_median[len(result.mags) // 2]
    degrees = sorted({row.degree for row in result.rows})
    title = (
        f"Every second node left out, by region: flux error (%) and largest label bias at SNR {middle:.0f}"
    )
    table = Table(box=None, padding=(0, 1, 0, 0), title=title)
    heads = [f"flux,\ndegree {d}" for d in degrees] + [f"bias, degree {d}\nmedian/p90/max" for d in degrees]
    for i, head in enumerate(["axis", "region", "nodes", *heads, "better\nflux", "\np90 bias"]):
        table.add_column(head, justify="left" if i < 2 else "right", no_wrap=True)
    rows = {(row.degree, row.axis, row.region): row for row in result.rows if row.test == "halved"}
    for best in (best for best in result.better if best.test == "halved"):
        both = [rows[degree, best.axis, best.region] for degree in degrees]
        cells = [_short(100 * row.flux_error.median) for row in both] + [_biases(row) for row in both]
        winner = str(best.flux), str(best.bias_p90)
        table.add_row(best.axis, best.region, str(both[0].n), *cells, *winner)
    return table


def _plot_bias(result: Validation, axes: list[str], panel: "Axes") -> None:
    """Median to 90 % of the largest bias of every axis and region, both degrees side by side."""
    regions = list(dict.fromkeys(row.region for row in result.rows))
    for row in result.rows:
        if row.test == "halved" and row.axis != "all":
            lane = axes.index(row.axis) + (0.4 if row.degree == 5 else 0.0)
            place = regions.index(row.region) + 0.8 * (lane - len(axes) / 2 + 0.3) / len(axes)
            color = steps(len(axes))[axes.index(row.axis)]
            marker, fill = ("o", color) if row.degree == 3 else ("s", "white")
            low, high = (max(row.largest_bias(q), SMALLEST_DRAWN) for q in ("median", "p90"))
            panel.plot([place, place], [low, high], color=color, lw=1)
            panel.plot(place, low, color=color, marker=marker, mfc=fill, ms=4)
    snr = result.snr_median[len(result.mags) // 2]
    panel.axhline(ACCEPTABLE_BIAS, color="0.7", lw=0.8, zorder=0)
    panel.set(yscale="log", ylabel=f"largest bias / bound\nat SNR {snr:.0f}, every second node out")
    panel.set_xticks(
        range(len(regions)), [_region_words(region) for region in regions], rotation=40, ha="right"
    )


def _region_words(region: str) -> str:
    """A region as text of the figure: the symbol of its label."""
    name, *rest = region.split(" ")
    return " ".join((symbol(name), *rest)).replace(">=", "≥")
