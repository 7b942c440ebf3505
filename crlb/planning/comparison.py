"""Instruments side by side: the result of `crlb compare`, its table and its figure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crlb.files.records import Json, Record
from crlb.files.text import mag_cell, text_of
from crlb.labels import unit_of
from crlb.palette import BOUND, LIMIT, PAGE, Sheet, settled, styled, symbol_with_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

TOGETHER = "together"  # the row of all spectra


@dataclass(frozen=True)
class ComparedRow(Record):
    """One instrument, or all of them together, of which the numbers of a spectrum are None.

    Args:
        instrument: what --instrument takes.
        conditional_bound: 1-sigma bound by label, the others known; inf where nothing depends on it.
        marginal_bound: 1-sigma bound by label, the others unknown; NaN where they cannot be told apart.
        reason: why they cannot; empty where they can.
        start: centre of the first pixel in use, vacuum Å.
        end: centre of the last.
        n_pix: pixels in use.
        resolving_power: wavelength over full width at half maximum, both in the middle of what is used: the
            grid's, where the instrument is sharper.
        mag: AB magnitude in the band of this instrument; NaN where it has none.
        snr: median of flux/error over the pixels in use.
        snr_per_element: of a line-spread FWHM; None: the pixels of one are not known.
    """

    instrument: str
    conditional_bound: dict[str, float]
    marginal_bound: dict[str, float]
    reason: str
    start: float | None = None
    end: float | None = None
    n_pix: int | None = None
    resolving_power: float | None = None
    mag: float | None = None
    snr: float | None = None
    snr_per_element: float | None = None


@dataclass(frozen=True)
class Comparison(Record):
    """Instruments side by side.

    Args:
        label_names: the labels that are unknown.
        unknown: what else is, of every instrument.
        rows: one per instrument, and one of all of them.
        exptime_s: length of an exposure, s.
        n_exp: number of exposures.
        provenance: how it was asked for.
    """

    label_names: tuple[str, ...]
    unknown: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    exptime_s: float
    n_exp: int
    provenance: dict[str, Json]

    def as_rows(self) -> list[dict[str, object]]:
        """Returns one flat row per instrument, ready for a CSV file."""
        names = ("instrument", "start", "end", "n_pix", "resolving_power", "mag", "snr", "snr_per_element")
        return [
            {name: getattr(row, name) for name in names}
            | {f"conditional_{label}": row.conditional_bound[label] for label in self.label_names}
            | {f"marginal_{label}": row.marginal_bound[label] for label in self.label_names}
            for row in self.rows
        ]

    def table(self) -> str:
        """Returns the instruments as text."""
        besides = f" Unknown besides the labels: {', '.join(self.unknown)}." if self.unknown else ""
        words = (
            f"{self.n_exp} exposures of {self.exptime_s:g} s each. Bounds for unbiased estimators, 1 sigma: "
            f"upper number with the others known, lower one with all unknown.{besides}"
        )
        reasons = [f"{row.instrument}: {row.reason}" for row in self.rows if row.reason]
        return text_of(_table(self), words, *reasons)

    def plot(self, sheet: Sheet = PAGE) -> "Figure":
        """Returns the figure of the bounds, a panel for every label."""
        with styled():
            height = 0.9 + 0.22 * len(self.rows)
            figure, panels = sheet.panels(len(self.label_names), height, sharey=not sheet.narrow)
            places = list(range(len(self.rows)))[::-1]
            known, unknown = ("conditional_bound", "o", BOUND), ("marginal_bound", "D", LIMIT)
            looks = ((*known, "others known"), (*unknown, "all unknown"))
            for axes, label in zip(panels, self.label_names, strict=True):
                for name, marker, colour, words in looks:
                    values = [getattr(row, name)[label] for row in self.rows]
                    axes.plot(values, places, marker, color=colour, linestyle="none", label=words)
                axes.set(xscale="log", xlabel=f"1-sigma bound on {symbol_with_unit(label, unit_of(label))}")
                axes.set_yticks(places, sheet.wrapped([row.instrument for row in self.rows]))
                axes.set_ylim(-0.5, len(self.rows) - 0.5)
                axes.grid(axis="x", color="0.92")
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
            return settled(figure)


def _table(found: Comparison) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title="instruments side by side")
    heads = ["instrument", "Å (vacuum)", "pixels", "R", "mag", "SNR per\npixel", "SNR per\nFWHM"]
    heads += [f"{label}\n({unit_of(label)})" for label in found.label_names]
    for head in heads:
        table.add_column(head, justify="left" if head == "instrument" else "right", no_wrap=True)
    for row in found.rows:
        bounds = [f"{row.conditional_bound[x]:.3g}\n{row.marginal_bound[x]:.3g}" for x in found.label_names]
        table.add_row(row.instrument, *_spectrum(row), *bounds)
    return table


def _spectrum(row: ComparedRow) -> list[str]:
    """The cells of an instrument; of all together there are none."""
    if row.mag is None:
        return [""] * 6
    element = "-" if row.snr_per_element is None else f"{row.snr_per_element:.1f}"
    span, power = f"{row.start:.0f}-{row.end:.0f}", f"{row.resolving_power:.0f}"
    return [span, f"{row.n_pix}", power, mag_cell(row.mag), f"{row.snr:.1f}", element]
