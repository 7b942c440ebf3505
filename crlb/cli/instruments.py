"""`crlb instruments` and `crlb instrument new`: spectrographs that are known, and how to describe another."""

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.checks import Checks
from crlb.cli.forward_model import File
from crlb.cli.output import write_csv, write_outputs
from crlb.files.records import Record, write_json
from crlb.files.text import text_of

if TYPE_CHECKING:
    from crlb.observation.spectrograph import Spectrograph


@dataclass(frozen=True, kw_only=True)
class Instruments(Checks):
    """Lists the spectrographs that --instrument knows: arms, pixels, resolving power, what a grid shows.

    To copy and paste:
      crlb instruments
      crlb instruments gaia-rvs mine.yaml
      crlb instruments --grid grid.h5 --json instruments.json
    """

    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME|FILE ...]")] = ()
    """Which ones: names or YAML files; default: all that are built in."""
    grid: File = None
    """The grid of model spectra that should show them, HDF5; default: the embedded grid."""
    json: File = None
    """Write the list."""
    csv: File = None
    """Write the table."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def inputs(self) -> dict[str, Path | None]:
        """Returns the files read: argument -> file."""
        from crlb.instruments.find import instrument_file

        found = {f"instrument {i + 1}": instrument_file(name) for i, name in enumerate(self.names)}
        return {"--grid": self.grid, **found}

    def __call__(self) -> None:
        from crlb.grids.grid_file import default_grid_path, grid_reach
        from crlb.instruments.find import find_instrument, instrument_names

        reach = grid_reach(self.grid or default_grid_path())
        rows = tuple(
            row
            for name in self.names or instrument_names()
            for row in arm_rows(name, find_instrument(name), *reach)
        )
        result = InstrumentList(rows, *reach)
        print(result.table())
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.csv: lambda path: write_csv(result.as_rows(), path),
            },
            self.overwrite,
        )


@dataclass(frozen=True)
class ArmRow(Record):
    """One arm of a spectrograph.

    Args:
        name: what --instrument takes.
        instrument: in words.
        arm: its name.
        start: lower edge of its first pixel, vacuum Å.
        end: upper edge of its last pixel, vacuum Å.
        n_pix: number of pixels.
        resolving_power: wavelength over full width at half maximum, median over the pixels.
        pixels_per_fwhm: median number of pixels in a full width at half maximum.
        calibrated: whether the noise of a magnitude is known.
        covered: share of the pixels that the grid reaches.
        sharp: whether the grid is as sharp as the arm, to a quarter.
        source: where the facts come from.
    """

    name: str
    instrument: str
    arm: str
    start: float
    end: float
    n_pix: int
    resolving_power: float
    pixels_per_fwhm: float
    calibrated: bool
    covered: float
    sharp: bool
    source: str


def arm_rows(name: str, found: "Spectrograph", low: float, high: float, power: float) -> list[ArmRow]:
    """Returns a row for every arm of a spectrograph.

    Args:
        name: what --instrument takes.
        found: the spectrograph.
        low: start of the grid, vacuum Å.
        high: its end, vacuum Å.
        power: its resolving power.
    """
    import numpy as np

    from crlb.observation.line_spread import TOO_BROAD

    rows, start = [], 0
    for arm, n in found.arms:
        part = found.detector.take(np.arange(start, start + n))
        start += n
        own = float(np.median(part.wave / part.lsf_fwhm))
        reached = (part.low >= low) & (part.high <= high)
        rows.append(
            ArmRow(
                name=name, instrument=found.name, arm=arm, start=float(part.low[0]), end=float(part.high[-1]),
                n_pix=n, resolving_power=own,
                pixels_per_fwhm=float(np.median(part.lsf_fwhm / (part.high - part.low))),
                calibrated=found.calibrated, covered=float(reached.mean()), sharp=power * TOO_BROAD >= own,
                source=found.noise.source,
            )
        )  # fmt: skip
    return rows


@dataclass(frozen=True)
class InstrumentList(Record):
    """Spectrographs beside a grid.

    Args:
        arms: one row per arm.
        grid_start: first wavelength of the grid, vacuum Å.
        grid_end: its last one.
        grid_resolving_power: its resolving power.
    """

    arms: tuple[ArmRow, ...]
    grid_start: float
    grid_end: float
    grid_resolving_power: float

    def as_rows(self) -> list[dict[str, str]]:
        """Returns a row per arm, as text."""
        return [{one.name: str(getattr(arm, one.name)) for one in fields(arm)} for arm in self.arms]

    def table(self) -> str:
        """Returns the list as text."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE, title="instruments")
        heads = ["--instrument", "arm", "Å (vacuum)", "pixels", "R"]
        heads += ["pixels\nper FWHM", "noise of\na magnitude", "grid shows"]
        for head in heads:
            table.add_column(head, justify="left" if head in heads[:2] else "right")
        for arm in self.arms:
            table.add_row(
                arm.name, arm.arm, f"{arm.start:.0f}-{arm.end:.0f}", str(arm.n_pix),
                f"{arm.resolving_power:.0f}", f"{arm.pixels_per_fwhm:.1f}",
                "known" if arm.calibrated else "--snr only", _shown(arm),
            )  # fmt: skip
        words = (
            f"The grid covers {self.grid_start:.0f} to {self.grid_end:.0f} Å at a resolving power of "
            f"{self.grid_resolving_power:.0f}; pixels beyond are left out, arms that are sharper by more "
            "than a quarter are refused. Sources: --json."
        )
        return text_of(table, words)


def _shown(arm: ArmRow) -> str:
    if not arm.covered:
        return "nothing"
    return f"{arm.covered:.0%}" if arm.sharp else "too broad"


@dataclass(frozen=True, kw_only=True)
class NewInstrument(Checks):
    """Writes the description of a spectrograph to be filled in: YAML, every key explained.

    To copy and paste:
      crlb instrument new --out mine.yaml
      crlb instruments mine.yaml
      crlb fisher --T_eff 4800 --log_g 2.5 --M_H -0.5 --mag 20 --instrument mine.yaml
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The file to create, .yaml; a table of signal-to-noise ratios comes beside it."""
    overwrite: bool = False
    """Allow files to be replaced."""

    def outputs(self) -> dict[str, Path | None]:
        """Returns the files created."""
        return super().outputs() | {"the table beside --out": self._table()}

    def check(self) -> None:
        """Refuses what `Checks.check` does, and a name that is not one of YAML."""
        from crlb.cli.checks import check_suffix

        check_suffix("--out", self.out, (".yaml", ".yml"))
        super().check()

    def __call__(self) -> None:
        from crlb.instruments.template import table_text, template

        content = {self.out: template(self._table().name), self._table(): table_text()}
        write_outputs({path: partial(_write, text) for path, text in content.items()}, self.overwrite)

    def _table(self) -> Path:
        return self.out.with_name(f"{self.out.stem}_snr.csv")


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class ShowInstrument(Checks):
    """Prints the description of a spectrograph that is built in, as YAML: a start for one of your own.

    To copy and paste:
      crlb instrument show gaia-rvs
      crlb instrument show gaia-rvs > mine.yaml
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """Its name, as `crlb instruments` lists it."""

    def __call__(self) -> None:
        from crlb.instruments.find import preset_text

        print(preset_text(self.name), end="")


@dataclass(frozen=True)
class Instrument:
    """Describes spectrographs."""

    action: (
        Annotated[NewInstrument, tyro.conf.subcommand("new")]
        | Annotated[ShowInstrument, tyro.conf.subcommand("show")]
    )

    def check(self) -> None:
        """Refuses what the action does."""
        self.action.check()

    def __call__(self) -> None:
        self.action()
