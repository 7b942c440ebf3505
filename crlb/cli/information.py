"""`crlb information`: where in the spectrum the information about a label sits."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from crlb.cli.best_window import BestWindows, SlidingBounds, best_table, plot_sliding, slide
from crlb.cli.checks import check_positive
from crlb.cli.forward_model import File
from crlb.cli.output import picture, write_csv, write_outputs
from crlb.cli.star import StarWithNuisances
from crlb.files.records import Json, Record, write_json
from crlb.files.text import at_mag, text_of
from crlb.labels import unit_of
from crlb.palette import BACKGROUND, DATA, Sheet, settled, steps, styled, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crlb.fisher.information import Window
    from crlb.observation.star import Star

APART_A = 30.0  # of names above the spectrum, Å: 7 pt type on a page of 7.2 in
MIN_SHARE_NAMED = 0.004  # of the information near a line, below which the figure does not name it


@dataclass(frozen=True, kw_only=True)
class Information(StarWithNuisances):
    """Where in the spectrum the information about a label sits: per Å, cumulative, and the best windows.

    Conditional: all else known. Marginal: what is left when the other labels (and nuisances) must be found
    from the same spectrum; its sum is 1/bound^2.

    To copy and paste:
      crlb information --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 21.5
      crlb information --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --plot info.png --csv info.csv
      crlb information --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --best-window 100 240
    """

    target: str = "log_g"
    """The label in question."""
    window: float = 10.0
    """Width of the windows that are ranked, Å."""
    n_windows: int = 12
    """How many of them."""
    best_window: tuple[float, ...] = ()
    """Widths of spectrographs, Å: which window of each, alone, tells the label best; default: none."""
    json: File = None
    """Write the windows and sums, with provenance, and the bounds from every window of --best-window."""
    csv: File = None
    """Write the information of every pixel."""
    plot: File = None
    """Draw it: .png, .pdf or .svg."""
    column: bool = False
    """Draw --plot for one column of a journal, 3.5 in wide, not for a page, 7.2 in."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def check(self) -> None:
        """Refuses what `StarWithNuisances.check` does, and windows without width."""
        super().check()
        check_positive(window=self.window, n_windows=self.n_windows)
        for width in self.best_window:
            check_positive(best_window=width)

    def __call__(self) -> None:
        result, pixels = self._compute(self.observed())
        print(result.table())
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(pixels.as_rows(), path),
                self.plot: picture(lambda sheet: _plot(result, pixels, sheet), self.column),
            },
            self.overwrite,
        )

    def _compute(self, star: "Star") -> "tuple[InformationSummary, InformationSpectrum]":
        """The summary, and the information of every pixel."""
        from crlb.fisher.information import cumulative_share, per_angstrom, pixel_information, ranked_windows

        found = pixel_information(star.jac, 1 / star.variance, self.target, label_names=star.label_names)
        windows = ranked_windows(star.wave, found.marginal, width=self.window, n=self.n_windows)
        pixels = InformationSpectrum(
            star.wave,
            star.flux,
            per_angstrom(found.conditional, star.wave),
            per_angstrom(found.marginal, star.wave),
            cumulative_share(found.conditional),
            cumulative_share(found.marginal),
        )
        total = {"conditional": float(found.conditional.sum()), "marginal": float(found.marginal.sum())}
        slid = [slide(star, self.target, width, total) for width in self.best_window]
        result = InformationSummary(
            target=self.target,
            label_names=star.label_names,
            mag=self.shown(star.mag),
            snr=star.snr,
            information=total,
            bound=total["marginal"] ** -0.5,
            windows=tuple(map(_ranked, windows)),
            provenance=self.provenance(),
            best_windows=tuple(best for best, _ in slid),
            sliding=tuple(curve for _, curve in slid),
        )
        return result, pixels


@dataclass(frozen=True)
class RankedWindow(Record):
    """A stretch of spectrum, vacuum Å, its information (1/unit^2), its share, and the lines within 5 Å."""

    low: float
    high: float
    information: float
    share: float
    features: tuple[str, ...]


def _ranked(window: "Window") -> RankedWindow:
    names = tuple(near.feature.name for near in window.features)
    return RankedWindow(window.low, window.high, window.information, window.share, names)


@dataclass(frozen=True, eq=False)
class InformationSummary(Record):
    """What one star's spectrum tells about one label.

    Args:
        target: the label.
        label_names: all unknowns: labels, then nuisances.
        mag: AB magnitude in i.
        snr: median of flux/error over the pixels in use.
        information: `conditional` (all else known) and `marginal` (all else unknown), 1/unit^2.
        bound: 1-sigma, all else unknown, in the label's unit.
        windows: the most informative first.
        provenance: how it was asked for.
        best_windows: of every width of --best-window, the window that alone tells the label best.
        sliding: the bounds from all windows of each of these widths.
    """

    target: str
    label_names: tuple[str, ...]
    mag: float
    snr: float
    information: dict[str, float]
    bound: float
    windows: tuple[RankedWindow, ...]
    provenance: dict[str, Json]
    best_windows: tuple[BestWindows, ...] = ()
    sliding: tuple[SlidingBounds, ...] = ()

    def table(self) -> str:
        """Returns the windows with shares and lines, remarks, and the best windows of each width, as text."""
        return "\n\n".join([self._ranked(), *(best_table(self.target, best) for best in self.best_windows)])

    def _ranked(self) -> str:
        """The windows with shares, running sum and lines near them, and remarks."""
        from rich import box
        from rich.table import Table

        title = f"{self.target}: best windows at {at_mag(self.mag)}SNR {self.snr:.1f}"
        table = Table(box=box.SIMPLE, title=title)
        for head in ("vacuum Å", "share", "sum"):
            table.add_column(head, justify="right")
        table.add_column("lines within 5 Å")
        running = 0.0
        for window in self.windows:
            running += window.share
            names = ", ".join(dict.fromkeys(window.features)) or "-"
            span = f"{window.low:.1f}-{window.high:.1f}"
            table.add_row(span, f"{window.share:.1%}", f"{running:.1%}", names)
        return text_of(table, self.remarks())

    def remarks(self) -> str:
        """Returns what is printed under the table."""
        kept = self.information["marginal"] / self.information["conditional"]
        return (
            f"Bound {self.bound:.4g} {unit_of(self.target)}; unknown: {', '.join(self.label_names)}. "
            f"{kept:.1%} of the information with all else known. Shares are of the former."
        )


@dataclass(frozen=True, eq=False)
class InformationSpectrum(Record):
    """The information about a label in every pixel.

    Args:
        wave: pixel centres, vacuum Å.
        flux: noiseless, median about 0.5 over the arm.
        conditional: all else known, 1/(unit^2 Å).
        marginal: all else unknown, 1/(unit^2 Å).
        cumulative_conditional: share in this pixel and all bluer ones.
        cumulative_marginal: likewise.
    """

    wave: Float[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, " n_pix"]
    conditional: Float[np.ndarray, " n_pix"]
    marginal: Float[np.ndarray, " n_pix"]
    cumulative_conditional: Float[np.ndarray, " n_pix"]
    cumulative_marginal: Float[np.ndarray, " n_pix"]

    def as_rows(self) -> list[dict[str, float]]:
        """Returns a row per pixel."""
        names = [one.name for one in fields(self)]
        columns = [np.asarray(getattr(self, name)).tolist() for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plot(result: InformationSummary, pixels: InformationSpectrum, sheet: Sheet) -> "Figure":
    """Spectrum, information per Å and its running share, and the bounds from windows where asked for."""
    name, wave, (dark, light) = result.target, pixels.wave, steps(2)
    with styled():
        figure, (top, middle, bottom, *last) = sheet.grid(3 + bool(result.sliding), 1, 1.7, sharex=True)
        top.plot(wave, pixels.flux, color=DATA, linewidth=0.5)
        top.set_ylabel("flux (median 0.5)")
        middle.plot(wave, pixels.conditional, color=light, linewidth=0.6, label="all else known")
        middle.plot(wave, pixels.marginal, color=dark, linewidth=0.7, label="all else unknown")
        middle.set(ylabel=f"information on {symbol(name)}\n(1/{unit_of(name)}$^2$/Å)", yscale="log")
        middle.set_ylim(max(pixels.conditional.max() * 1e-5, 1e-12))
        bottom.plot(wave, pixels.cumulative_conditional, color=light, linestyle="--")
        bottom.plot(wave, pixels.cumulative_marginal, color=dark)
        bottom.set(ylabel="cumulative share", xlim=(wave[0], wave[-1]))
        for axes in last:
            plot_sliding(axes, name, result.sliding)
        [bottom, *last][-1].set_xlabel("vacuum wavelength (Å)")
        figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        _name_lines(top, pixels, APART_A * (2 if sheet.narrow else 1))
        return settled(figure)


def _name_lines(axes: "Axes", pixels: InformationSpectrum, apart: float) -> None:
    """Names the lines that hold information, above the spectrum, each so many Å from the last."""
    from crlb.fisher.features import FEATURES

    wave, density = pixels.wave, pixels.marginal
    share = density / density.sum()
    last = -1e9
    for feature in sorted(FEATURES, key=lambda feature: feature.wave):
        near = abs(wave - feature.wave) < 4.0
        if share[near].sum() < MIN_SHARE_NAMED or feature.wave - last < apart:
            continue
        last = feature.wave
        axes.axvline(feature.wave, color=BACKGROUND, linewidth=0.6, zorder=0)
        axes.annotate(
            feature.name, (feature.wave, 1.02), xycoords=("data", "axes fraction"), rotation=90,
            ha="center",
        )  # fmt: skip
