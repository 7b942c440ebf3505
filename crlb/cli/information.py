"""`crlb information`: where in the spectrum the information about a label sits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crlb.cli.forward_model import File
from crlb.cli.output import check_outputs, console, unit, write_csv, write_json, write_outputs
from crlb.cli.star import StarWithNuisances

if TYPE_CHECKING:
    from crlb.observation.star import Star

MIN_SHARE_NAMED = 0.004  # of the information near a line, below which the figure does not name it


@dataclass(frozen=True, kw_only=True)
class Information(StarWithNuisances):
    """Where in the spectrum the information about a label sits: per Å, cumulative, and the best windows.

    Conditional: all else known. Marginal: what is left when the other labels (and nuisances) must be found
    from the same spectrum; its sum is 1/bound^2.

    To copy and paste:
      crlb information --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 21.5
      crlb information --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --plot info.png --csv info.csv
    """

    target: str = "log_g"
    """The label in question."""
    window: float = 10.0
    """Width of the windows that are ranked, Å."""
    n_windows: int = 12
    """How many of them."""
    json: File = None
    """Write the windows and sums, with provenance."""
    csv: File = None
    """Write the information of every pixel."""
    plot: File = None
    """Draw it: .png, .pdf or .svg."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        check_outputs(self.json, self.csv, plot=self.plot, overwrite=self.overwrite)
        result, columns = self._compute(self.observed())
        _print_windows(result)
        rows = [
            dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(rows, path),
                self.plot: lambda path: _plot(result, columns, path),
            },
            self.overwrite,
        )

    def _compute(self, star: "Star") -> tuple[dict[str, Any], dict[str, Any]]:
        """The summary, and columns per pixel."""
        from crlb.fisher.information import cumulative_share, per_angstrom, pixel_information, ranked_windows

        found = pixel_information(star.jac, 1 / star.variance, self.target, label_names=star.label_names)
        windows = ranked_windows(star.wave, found.marginal, width=self.window, n=self.n_windows)
        columns = {
            "wave": star.wave,
            "flux": star.flux,
            "conditional": per_angstrom(found.conditional, star.wave),
            "marginal": per_angstrom(found.marginal, star.wave),
            "cumulative_conditional": cumulative_share(found.conditional),
            "cumulative_marginal": cumulative_share(found.marginal),
        }
        total = {"conditional": float(found.conditional.sum()), "marginal": float(found.marginal.sum())}
        result = {
            "target": self.target,
            "label_names": list(star.label_names),
            "mag": self.mag,
            "snr": star.snr,
            "information": total,
            "bound": total["marginal"] ** -0.5,
            "windows": [
                vars(window) | {"features": [near.feature.name for near in window.features]}
                for window in windows
            ],
            "provenance": self.provenance(),
        }
        return result, columns


def _print_windows(result: Mapping[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    target = result["target"]
    table = Table(
        box=box.SIMPLE, title=f"{target}: best windows at mag {result['mag']:g}, SNR {result['snr']:.1f}"
    )
    for head, side in (
        ("vacuum Å", "right"),
        ("share", "right"),
        ("sum", "right"),
        ("lines within 5 Å", "left"),
    ):
        table.add_column(head, justify=side)  # type: ignore[arg-type]
    running = 0.0
    for window in result["windows"]:
        running += window["share"]
        names = ", ".join(dict.fromkeys(window["features"])) or "-"
        span = f"{window['low']:.1f}-{window['high']:.1f}"
        table.add_row(span, f"{window['share']:.1%}", f"{running:.1%}", names)
    screen = console()
    screen.print(table)
    kept = result["information"]["marginal"] / result["information"]["conditional"]
    screen.print(
        f"Bound {result['bound']:.4g} {unit(target)}; unknown: {', '.join(result['label_names'])}. "
        f"{kept:.1%} of the information with all else known. Shares are of the former."
    )


def _plot(result: Mapping[str, Any], columns: Mapping[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    wave, name = columns["wave"], result["target"]
    figure, (top, middle, bottom) = plt.subplots(3, sharex=True, figsize=(9.0, 6.0), layout="constrained")
    top.plot(wave, columns["flux"], color="0.2", linewidth=0.5)
    top.set_ylabel("flux (median 0.5)")
    middle.plot(wave, columns["conditional"], color="0.7", linewidth=0.6, label="all else known")
    middle.plot(wave, columns["marginal"], color="#b2182b", linewidth=0.7, label="all else unknown")
    middle.set(ylabel=f"information on {name}\n(1/{unit(name)}$^2$/Å)", yscale="log")
    middle.set_ylim(max(columns["conditional"].max() * 1e-5, 1e-12))
    middle.legend(frameon=False, loc="upper left", ncols=2)
    bottom.plot(wave, columns["cumulative_conditional"], color="0.6")
    bottom.plot(wave, columns["cumulative_marginal"], color="#b2182b")
    bottom.set(xlabel="vacuum wavelength (Å)", ylabel="cumulative share", xlim=(wave[0], wave[-1]))
    _name_lines(top, columns)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def _name_lines(axes: Any, columns: Mapping[str, Any]) -> None:
    """Names the lines that hold information, above the spectrum, each name once per 15 Å."""
    from crlb.fisher.features import FEATURES

    wave, density = columns["wave"], columns["marginal"]
    share = density / density.sum()
    last = -1e9
    for feature in sorted(FEATURES, key=lambda feature: feature.wave):
        near = abs(wave - feature.wave) < 4.0
        if share[near].sum() < MIN_SHARE_NAMED or feature.wave - last < 15.0:
            continue
        last = feature.wave
        axes.axvline(feature.wave, color="0.85", linewidth=0.6, zorder=0)
        axes.annotate(
            feature.name, (feature.wave, 1.02), xycoords=("data", "axes fraction"), rotation=90, fontsize=6,
            ha="center",
        )  # fmt: skip
