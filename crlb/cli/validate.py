"""`crlb grid validate`: how far the emulator of a grid is from nodes it was not given."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from crlb.cli.forward_model import File, ForwardModelOptions
from crlb.cli.output import console, progress, write_outputs
from crlb.errors import UsageError
from crlb.files.records import write_json

if TYPE_CHECKING:
    pass

Magnitudes = Annotated[tuple[float, ...], tyro.conf.arg(metavar="AB [AB ...]")]
TESTS = ("halved", "single", "estimate")


@dataclass(frozen=True, kw_only=True)
class Validate(ForwardModelOptions):
    """Leaves nodes of a grid out and predicts them from the others, with splines of degree 3 and of 5.

    Shown are errors of the flux, and the errors they make in labels that are fitted, over the Cramer-Rao
    bound; per axis and region of label space.

    To copy and paste:
      crlb grid validate
      crlb grid validate grid.h5 --json validate.json --plot validate.png
    """

    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="GRID")] = None
    """The grid file, as --grid; without it the embedded grid."""
    degree: tyro.conf.Suppress[Literal[3, 5]] = 3
    mag: Magnitudes = (21.5, 20.0, 18.0)
    """AB magnitudes in i at which the bound is taken; regions are shown at the middle one."""
    json: File = None
    """Write everything shown, and more, with provenance."""
    plot: File = None
    """Draw errors against wavelength, and biases per axis and region: .png, .pdf or .svg."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        from crlb.observation.build import on_arm
        from crlb.validation.summary import total, validate

        grid, noise = on_arm(self.load_grid(), self.load_noise(), self.lsf_fwhm, self.wave_range)
        with progress() as bar:
            task = bar.add_task("nodes left out", total=total(grid))
            advance = lambda n: bar.advance(task, n)  # noqa: E731
            result = validate(grid, noise, self.mag, wave_range=self.wave_range, advance=advance)
        shown = {key: value for key, value in self.provenance().items() if key != "interpolation_degree"}
        result["provenance"] |= shown
        _print(result)
        write_outputs(
            {self.json: lambda path: write_json(result, path), self.plot: lambda path: _plot(result, path)},
            self.overwrite,
        )

    def grid_path(self) -> Path:
        if self.file is not None and self.grid is not None:
            raise UsageError(f"name the grid once, found {self.file} and --grid {self.grid}")
        return self.file or super().grid_path()


def _print(result: dict[str, Any]) -> None:
    screen = console()
    screen.print(_axes_table(result))
    screen.print(_regions_table(result))
    for found in result["smoothness"]:
        grown, smooth = found["halved_over_single"], found["if_smooth"]
        verdict = (
            "no verdict" if smooth < 2 else "estimate too small" if grown < smooth / 2 else "as if smooth"
        )
        words = f"flux error halved/single {grown:.2f}, {smooth:.2f} if smooth: {verdict}."
        screen.print(f"{found['axis']}, degree {found['degree']}: {words}")
    for axis in result["axes"]:
        if axis["note"]:
            screen.print(f"{axis['label']}: {axis['note']}.")
    if result["not_scored"]:
        screen.print(f"{result['not_scored']} nodes were interpolated when the grid was made: not scored.")
    screen.print(result["provenance"]["meaning"] + ".", markup=False, highlight=False)


def _axes_table(result: dict[str, Any]) -> Any:
    """Per axis, test and degree: flux error, and the bias of the worst label at every magnitude."""
    from rich.table import Table

    title = "Everywhere: flux error (%), and largest label bias over its bound"
    table = Table(box=None, padding=(0, 1, 0, 0), title=title)
    heads = ["axis", "test", "deg.", "nodes", "flux\nmedian", "\np90", "worst\npixel"]
    heads += [f"bias, SNR {snr:.0f}\nmedian/p90/max" for snr in result["snr_median"]]
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i < 2 else "right", no_wrap=True)
    for row in _ordered(result["rows"]):
        if row["region"] == "all":
            flux = [100 * row["flux_error"][name] for name in ("median", "p90", "worst_pixel")]
            bias = ["/".join(_biases(row, i)) for i in range(len(result["mags"]))]
            cells = [row["test"], str(row["degree"]), str(row["n"]), *map(_short, flux)]
            table.add_row(row["axis"], *cells, *bias)
    return table


def _ordered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All axes together last; within an axis by test, then degree."""
    order = {axis: i for i, axis in enumerate(dict.fromkeys(row["axis"] for row in rows))}
    key = lambda row: (row["axis"] == "all", order[row["axis"]], TESTS.index(row["test"]), row["degree"])  # noqa: E731
    return sorted(rows, key=key)


def _biases(row: dict[str, Any], mag: int | None = None) -> list[str]:
    from crlb.validation.summary import largest_bias

    return [_short(largest_bias(row, quantile, mag)) for quantile in ("median", "p90", "max")]


def _short(value: float) -> str:
    """Three digits after the point where they matter: at most five characters."""
    return f"{value:.3f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _regions_table(result: dict[str, Any]) -> Any:
    """Per axis and region, every second node left out: both degrees side by side, and which is better."""
    from rich.table import Table

    middle = result["snr_median"][len(result["mags"]) // 2]
    degrees = sorted({row["degree"] for row in result["rows"]})
    title = (
        f"Every second node left out, by region: flux error (%) and largest label bias at SNR {middle:.0f}"
    )
    table = Table(box=None, padding=(0, 1, 0, 0), title=title)
    heads = [f"flux,\ndegree {d}" for d in degrees] + [f"bias, degree {d}\nmedian/p90/max" for d in degrees]
    for i, head in enumerate(["axis", "region", "nodes", *heads, "better\nflux", "\np90 bias"]):
        table.add_column(head, justify="left" if i < 2 else "right", no_wrap=True)
    rows = {
        (row["degree"], row["axis"], row["region"]): row for row in result["rows"] if row["test"] == "halved"
    }
    for best in result["better"]:
        found = (
            [rows[degree, best["axis"], best["region"]] for degree in degrees]
            if best["test"] == "halved"
            else []
        )
        if found:
            cells = [_short(100 * row["flux_error"]["median"]) for row in found]
            cells += ["/".join(_biases(row)) for row in found]
            winner = str(best["flux"]), str(best["bias_p90"])
            table.add_row(best["axis"], best["region"], str(found[0]["n"]), *cells, *winner)
    return table


def _plot(result: dict[str, Any], path: Path) -> None:
    """Above: errors against wavelength; below: median and 90 % of the largest bias per axis and region."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(9.0, 8.0), layout="constrained")
    axes = [axis["label"] for axis in result["axes"] if axis["left_out_by_halving"]]
    for curve in result["spectra"]["flux_error"]:
        style = {"color": f"C{axes.index(curve['axis'])}", "ls": "-" if curve["degree"] == 3 else "--"}
        percent = [100 * x for x in curve["mean"]]
        above.plot(
            result["spectra"]["wave"], percent, **style, label=f"{curve['axis']}, degree {curve['degree']}"
        )
    above.set(yscale="log", xlabel="vacuum wavelength (Å)", ylabel="mean flux error, single nodes out (%)")
    above.legend(frameon=False, ncols=len(axes), fontsize=8)
    _plot_bias(result, axes, below)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def _plot_bias(result: dict[str, Any], axes: list[str], panel: Any) -> None:
    from crlb.validation.summary import largest_bias

    regions = list(dict.fromkeys(row["region"] for row in result["rows"]))
    for row in result["rows"]:
        if row["test"] == "halved" and row["axis"] != "all":
            lane = axes.index(row["axis"]) + (0.4 if row["degree"] == 5 else 0.0)
            place = regions.index(row["region"]) + 0.8 * (lane - len(axes) / 2 + 0.3) / len(axes)
            style = {"color": f"C{axes.index(row['axis'])}", "marker": "o" if row["degree"] == 3 else "s"}
            low, high = (max(largest_bias(row, quantile), 1e-4) for quantile in ("median", "p90"))
            panel.plot([place, place], [low, high], color=style["color"], lw=1)
            panel.plot(place, low, **style, mfc=style["color"] if row["degree"] == 3 else "white", ms=4)
    snr = result["snr_median"][len(result["mags"]) // 2]
    panel.axhline(0.2, color="0.7", lw=0.8, zorder=0)
    panel.set(yscale="log", ylabel=f"largest label bias / bound at SNR {snr:.0f}, every second node out")
    panel.set_xticks(range(len(regions)), regions, rotation=30, ha="right", fontsize=8)
    panel.set_title("median (circle: degree 3, square: 5) to 90 % of nodes", fontsize=9)
