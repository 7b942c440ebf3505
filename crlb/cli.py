"""The console script `crlb`: ceilings, and the grids of spectra they are computed from."""

import csv as csv_module
import json as json_module
import math
import shlex
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from crlb.errors import UsageError, run_cli
from crlb.labels import LABELS
from crlb.output import check_output, new_file

if TYPE_CHECKING:
    from crlb.grid import SpectralGrid

PLOT_SUFFIXES = (".png", ".pdf", ".svg")
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


@dataclass(frozen=True)
class Ceiling:
    """How well an unbiased estimator can know log g, per magnitude: R2_max and the Cramer-Rao bound.

    R2_max = 1 - bound^2 / variance, clipped to 0..1 at every node of the grid, then quantiles over nodes.

    To copy and paste:
      crlb ceiling --mag 20 21.5 22.5
      crlb ceiling --grid grid.h5 --noise noise.h5 --labels T_eff log_g --json ceiling.json --plot ceiling.png
    """

    mag: Annotated[tuple[float, ...], tyro.conf.arg(metavar="AB [AB ...]")] = (
        18.0,
        20.0,
        21.5,
        22.0,
        22.5,
        23.0,
    )
    """AB magnitudes in i, one bin each."""
    grid: File = None
    """Grid of model spectra, HDF5; without it the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: File = None
    """Curves of the instrument and the sky, HDF5 or CSV; without it the built-in ones."""
    labels: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="LABEL [LABEL ...]")] = None
    """Unknown labels (T_eff in K; log_g, M_H, a_M, C_M in dex), the others count as known; default: all of
    the grid's."""
    target: str = "log_g"
    """The label whose bound is computed."""
    variance: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Variance of the target over the stars in question, dex^2 (K^2 for T_eff); default: uniform over the
    grid's range, (high - low)^2 / 12."""
    exptime_s: float = 900.0
    """Length of one exposure, s."""
    n_exp: int = 12
    """Number of exposures."""
    seeing_arcsec: float = 0.8
    """Seeing (full width at half maximum), arcsec, 0.5 to 1.5."""
    lsf_fwhm: float = 1.6
    """Full width at half maximum of the line-spread function, Å."""
    json: File = None
    """Write everything shown, with provenance."""
    csv: File = None
    """Write the table."""
    plot: File = None
    """Draw R2_max against SNR: .png, .pdf or .svg."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        self._check_outputs()
        from rich.progress import Progress

        from crlb.ceiling import ceiling
        from crlb.emulator import make_emulator
        from crlb.grid import default_grid_path, load_grid
        from crlb.instrument import to_detector
        from crlb.noise import Exposure
        from crlb.noise_curves import builtin_noise, load_noise

        path = self.grid or default_grid_path()
        exposure = Exposure(self.exptime_s, self.n_exp, self.seeing_arcsec)
        noise = builtin_noise() if self.noise is None else load_noise(self.noise)
        emulator = make_emulator(to_detector(load_grid(path), lsf_fwhm=self.lsf_fwhm))
        with Progress(console=_console(stderr=True), transient=True) as progress:
            task = progress.add_task("bounds at the nodes", total=len(emulator.nodes))
            result = ceiling(
                emulator,
                noise,
                self.mag,
                label=self.target,
                labels=self.labels,
                variance=self.variance,
                exposure=exposure,
                advance=lambda n: progress.advance(task, n),
            )
        result["provenance"] |= {
            "command": shlex.join(["crlb", *sys.argv[1:]]),
            "grid_file": str(path),
            "noise_file": None if self.noise is None else str(self.noise),
            "lsf_fwhm": self.lsf_fwhm,
        }
        _print_ceiling(result)
        self._write(result)

    def _check_outputs(self) -> None:
        """Refuses what cannot be written before anything is computed."""
        for path in (self.json, self.csv, self.plot):
            if path is not None:
                check_output(path, self.overwrite)
        if self.plot is not None and self.plot.suffix not in PLOT_SUFFIXES:
            raise UsageError(f"--plot must end in {', '.join(PLOT_SUFFIXES)}, found {self.plot}")

    def _write(self, result: dict[str, Any]) -> None:
        if self.json is not None:
            with new_file(self.json, self.overwrite) as path:
                path.write_text(json_module.dumps(result, indent=2, ensure_ascii=False) + "\n")
        if self.csv is not None:
            with new_file(self.csv, self.overwrite) as path:
                _write_csv(result, path)
        if self.plot is not None:
            with new_file(self.plot, self.overwrite) as path:
                _plot_ceiling(result, path)
        for written in (self.json, self.csv, self.plot):
            if written is not None:
                print(f"wrote {written}")


@dataclass(frozen=True)
class Synthesize:
    """Computes a grid of spectra with the built-in LTE synthesis (not BOSZ) and writes it.

    To copy and paste:
      crlb grid synthesize --out grid.h5
      crlb grid synthesize --out giants.h5 --T-eff 4000 4250 4500 --log-g 1 1.5 2 --M-H -1 -0.5 0
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The grid file to create."""
    T_eff: tuple[float, ...] = tuple(3750.0 + 250 * i for i in range(10))
    """Effective temperatures of the nodes, K."""
    log_g: tuple[float, ...] = tuple(1 + 0.5 * i for i in range(9))
    """log10 of surface gravity in cm/s^2, dex."""
    M_H: tuple[float, ...] = tuple(-2.5 + 0.25 * i for i in range(14))
    """Metallicities relative to the Sun, dex."""
    rtol: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Largest relative flux error of the compressed file, at any node and pixel; default: as embedded."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        check_output(self.out, self.overwrite)
        for name, axis in (("T-eff", self.T_eff), ("log-g", self.log_g), ("M-H", self.M_H)):
            increasing = all(a < b for a, b in pairwise(axis)) and all(map(math.isfinite, axis))
            if not axis or not increasing:
                raise UsageError(f"--{name} must be increasing values, found {axis}")
        import numpy as np

        from crlb.synthesis.build import RTOL, build_grid

        axes = np.array(self.T_eff), np.array(self.log_g), np.array(self.M_H)
        build_grid(self.out, axes=axes, rtol=self.rtol or RTOL, overwrite=self.overwrite)
        print(f"wrote {self.out}")


@dataclass(frozen=True)
class Info:
    """Shows what a grid file holds: axes, wavelengths, resolving power, origin.

    To copy and paste:
      crlb grid info
      crlb grid info grid.h5
    """

    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="FILE")] = None
    """The grid file; without it the embedded grid."""

    def __call__(self) -> None:
        from crlb.grid import default_grid_path, load_grid

        path = self.file or default_grid_path()
        _print_grid(load_grid(path), path)


@dataclass(frozen=True)
class Grid:
    """Makes and shows grids of model spectra."""

    action: (
        Annotated[Synthesize, tyro.conf.subcommand("synthesize")]
        | Annotated[Info, tyro.conf.subcommand("info")]
    )

    def __call__(self) -> None:
        self.action()


Command = Annotated[Ceiling, tyro.conf.subcommand("ceiling")] | Annotated[Grid, tyro.conf.subcommand("grid")]


def parse(args: list[str] | None = None) -> Ceiling | Grid:
    """Returns the command that `args` (default: the command line) ask for, not yet run."""
    return tyro.cli(
        Command,
        prog="crlb",
        description=__doc__,
        args=args,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def main() -> None:
    """Entry point of the console script: float64 throughout."""
    command = parse()
    import jax

    jax.config.update("jax_enable_x64", True)
    run_cli(command)


def _console(stderr: bool = False) -> Any:
    """A console wide enough for the table also where the output is not a terminal."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=110)


def _print_ceiling(result: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    label, unit = result["label"], LABELS[result["label"]].unit if result["label"] in LABELS else ""
    table = Table(box=box.SIMPLE, title=f"{label}: R2_max and 1-sigma bound ({unit})")
    heads = ["mag", "SNR", "n", *(f"R2_max\n{q}" for q in ("p10", "median", "p90", "mean"))]
    heads += [*(f"bound\n{q}" for q in ("p10", "median", "p90")), "Schur\ndecay"]
    for head in heads:
        table.add_column(head, justify="right")
    for row in _rows(result):
        mag, snr, n, *rest = row.values()
        r2, bound, decay = rest[:4], rest[4:7], rest[7]
        numbers = [*(f"{x:.4f}" for x in r2), *(f"{x:.4g}" for x in bound), f"{decay:.3f}"]
        table.add_row(f"{mag:g}", f"{snr:.1f}", str(n), *numbers)
    console = _console()
    console.print(table)
    provenance = result["provenance"]
    console.print(f"Grid: {result['grid']}", markup=False, highlight=False)
    console.print(f"Noise: {result['noise']}", markup=False, highlight=False)
    console.print(
        f"Unknown labels: {', '.join(result['label_names'])}. Variance {result['variance']:.4g} {unit}^2. "
        f"SNR: {provenance['snr_definition']}."
    )
    console.print(f"{provenance['meaning'][0].upper()}{provenance['meaning'][1:]}.")


def _rows(result: dict[str, Any]) -> list[dict[str, float]]:
    """The table, one flat row per magnitude."""
    return [
        {"mag": b["mag"], "snr_median": b["snr_median"], "n": b["n"]}
        | {f"r2_max_{q}": value for q, value in b["r2_max"].items()}
        | {f"bound_{q}": value for q, value in b["bound"].items()}
        | {"schur_decay_median": b["schur_decay"]["median"]}
        for b in result["bins"]
    ]


def _write_csv(result: dict[str, Any], path: Path) -> None:
    rows = _rows(result)
    with path.open("w", newline="") as file:
        writer = csv_module.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _plot_ceiling(result: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    rows = sorted(_rows(result), key=lambda row: row["snr_median"])
    column = {name: [row[name] for row in rows] for name in rows[0]}
    figure, axes = plt.subplots(figsize=(5.0, 3.6), layout="constrained")
    axes.fill_between(
        column["snr_median"],
        column["r2_max_p10"],
        column["r2_max_p90"],
        color="0.85",
        label="10-90 % of nodes",
    )
    axes.plot(column["snr_median"], column["r2_max_median"], "k.-", label="median node")
    axes.set(
        xscale="log",
        xlabel="SNR per pixel (median over pixels and nodes)",
        ylabel=f"R$^2_{{max}}$ of {result['label']} (unbiased estimators)",
        ylim=(-0.02, 1.02),
    )
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def _print_grid(grid: "SpectralGrid", path: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("what", "value", title=escape(str(path)), show_header=False)
    for name, axis in zip(grid.label_names, grid.axes, strict=True):
        unit = LABELS[name].unit if name in LABELS else ""
        table.add_row(f"{name} ({unit})", f"{len(axis)} nodes: " + " ".join(f"{x:g}" for x in axis))
    table.add_row("nodes", str(len(grid.nodes)))
    table.add_row("wave", f"{len(grid.wave)} pixels, {grid.wave[0]:.2f} to {grid.wave[-1]:.2f} Å in vacuum")
    table.add_row("resolving power", f"{grid.resolving_power:g}")
    table.add_row("flux", f"{grid.flux.min():.3g} to {grid.flux.max():.3g} {escape(grid.flux_unit)}")
    table.add_row("continuum", "no" if grid.cont is None else "yes")
    table.add_row("source", escape(grid.source))
    _console().print(table)


if __name__ == "__main__":
    main()
