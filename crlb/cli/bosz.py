"""`crlb grid index`, `download` and `build`: real BOSZ spectra from the archive into a grid file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from crlb.cli.checks import Checks, check_at_most
from crlb.errors import DataError, UsageError
from crlb.files.output import check_apart, new_file, writing
from crlb.files.text_input import read_text, shown

if TYPE_CHECKING:
    from crlb.bosz.names import Node

Range = Annotated[tuple[float, float], tyro.conf.arg(metavar="LOW HIGH")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
SHOWN = 3  # URLs
MOST_CONNECTIONS = 64
LONGEST_NAME = 1000  # characters, of a file with the folders before it


@dataclass(frozen=True)
class Selection(Checks):
    """Which spectra of BOSZ; the defaults are the box of the published study, with solar ratios."""

    edition: Literal[2017, 2024] = 2017
    """Year of the library: 2017 (Bohlin et al., ATLAS9) or 2024 (Mészáros et al., MARCS and ATLAS9)."""
    resolving_power: Annotated[str, tyro.conf.arg(metavar="R|orig")] = "20000"
    """wave / FWHM of the files. 2017: 200 to 300000; 2024: 500 to 50000, or orig (large)."""
    T_eff: Range = (3750.0, 6000.0)
    """Effective temperatures, lowest and highest, K."""
    log_g: Range = (1.0, 5.0)
    """log10 of surface gravity in cm/s^2, dex."""
    M_H: Range = (-2.5, 0.75)
    """Metallicities, dex."""
    a_M: Range = (0.0, 0.0)
    """[alpha/M], dex."""
    C_M: Range = (0.0, 0.0)
    """[C/M], dex."""
    microturbulence: int = 2
    """km/s; 2017: 2 only; 2024: 0, 1, 2 or 4."""
    atmosphere: Literal["auto", "marcs", "atlas9"] = "auto"
    """Model atmospheres of 2024 between 7500 and 8000 K, where both exist: auto takes MARCS."""
    file_format: Literal["auto", "fits", "ascii"] = "auto"
    """2017 only: fits or ascii; auto is fits."""

    def nodes(self) -> "list[Node]":
        """The nodes selected."""
        from crlb.bosz.names import select

        return select(
            self.edition,
            self._resolving_power(),
            {name: getattr(self, name) for name in ("T_eff", "log_g", "M_H", "a_M", "C_M")},
            microturbulence=self.microturbulence,
            atmosphere=self.atmosphere,
            file_format=self._file_format(),
        )

    def _resolving_power(self) -> int | Literal["orig"]:
        if self.resolving_power == "orig":
            return "orig"
        if not self.resolving_power.isdecimal():
            raise UsageError(f"--resolving-power must be a number or orig, found {self.resolving_power}")
        return int(self.resolving_power)

    def _file_format(self) -> Literal["fits", "ascii", "txt"] | None:
        return None if self.file_format == "auto" else self.file_format


@dataclass(frozen=True)
class Index(Selection):
    """Lists spectra of BOSZ selected by their labels: how many, how large, where. Reaches no network.

    Some nodes listed do not exist in the archive (1.9 to 4.7 % in 2024); a download records them as holes.

    To copy and paste:
      crlb grid index --T_eff 4000 6000 --log_g 1 5 --M_H -2.5 0.75
      crlb grid index --edition 2024 --a_M -0.25 0.5 --C_M -0.75 0.5 --out list.txt
    """

    out: File = None
    """Write the URLs, one per line."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        from crlb.bosz.sizes import bytes_per_file

        nodes = self.nodes()
        size = bytes_per_file(nodes[0])
        print(f"{len(nodes)} spectra of about {size / 1e6:.2f} MB, {size * len(nodes) / 1e9:.2f} GB in all")
        for node in nodes[:SHOWN]:
            print(node.url())
        if len(nodes) > SHOWN:
            print(f"... and {len(nodes) - SHOWN} more")
        if self.out is not None:
            with new_file(self.out, self.overwrite) as path:
                path.write_text("".join(f"{node.url()}\n" for node in nodes))
            print(f"wrote {self.out}")


@dataclass(frozen=True)
class Download(Selection):
    """Downloads BOSZ spectra into a folder; run it again to go on where it stopped.

    Ctrl-C, kill or a lost connection cost nothing but the last moments: a partial file NAME.part is
    continued, and only whole, checked files bear their names. Files the archive does not have are listed
    in holes.csv. Without a network it ends within a minute and says why.

    To copy and paste:
      crlb grid download spectra --T_eff 4000 6000 --log_g 1 5 --M_H -2.5 0.75
      crlb grid download spectra --list list.txt --connections 8
      crlb grid download spectra --edition 2024 --mirror /data/mast
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")] = Path("bosz")
    """Where the files go; created if its parent exists."""
    list: File = None
    """URLs or file names to fetch, one per line, as `crlb grid index --out` writes; default: those
    of the labels."""
    mirror: Annotated[str | None, tyro.conf.arg(metavar="URL|FOLDER")] = None
    """Another place with the archive's paths: a URL, or a folder (also a flat one); default: MAST."""
    connections: int = 4
    """Files fetched at a time."""
    retries: int = 5
    """Further tries per file after server errors, timeouts and lost connections; waits double from 1 s."""
    timeout_s: float = 30.0
    """Longest silence of the server, s."""
    min_rate_Bps: float = 1000.0
    """Least that the server sends on a connection, bytes/s, as a mean over --timeout-s."""

    def inputs(self) -> dict[str, Path | None]:
        """Returns the file read."""
        return {"--list": self.list}

    def check(self) -> None:
        """Refuses what `Selection.check` does, and more connections than a server should bear."""
        super().check()
        check_at_most(connections=(self.connections, MOST_CONNECTIONS))

    def __call__(self) -> None:
        from crlb.bosz.download import HOLES, download
        from crlb.bosz.names import ARCHIVE
        from crlb.bosz.tries import Settings
        from crlb.files.console import console

        nodes = self.nodes() if self.list is None else _read_list(self.list)
        settings = Settings(retries=self.retries, timeout_s=self.timeout_s, min_rate_Bps=self.min_rate_Bps)
        if self.folder.parent.is_dir():
            with writing(self.folder):
                self.folder.mkdir(exist_ok=True)
        report = download(
            nodes,
            self.folder,
            mirror=self.mirror or ARCHIVE,
            connections=self.connections,
            settings=settings,
            console=console(stderr=True),
        )
        print(f"{len(report.fetched)} files downloaded into {self.folder}, {len(report.present)} were there")
        if report.holes:
            print(f"{len(report.holes)} do not exist in the archive: see {self.folder / HOLES}")


def _read_list(path: Path) -> "list[Node]":
    from crlb.bosz.names import parse_name

    lines = (line.strip() for line in read_text(path, "list of names").splitlines())
    names = [line for line in lines if line]
    for name in names:
        if len(name) > LONGEST_NAME:
            raise DataError(f"list of names {path} holds {shown(name)}, which is no name of a BOSZ spectrum")
    return [parse_name(name) for name in names]


@dataclass(frozen=True)
class Build(Checks):
    """Makes a grid file from a folder of BOSZ spectra: cut, smoothed, in vacuum, physical flux.

    To copy and paste:
      crlb grid build spectra --out grid.h5
      crlb grid build spectra --out grid.h5 --resolving-power 10000 --wave 7049 8901 --holes drop
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Files of one edition, resolving power and microturbulence, named as in the archive: FITS or text, plain
    or compressed by gzip, bzip2 or xz."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The grid file to create."""
    resolving_power: Annotated[float | None, tyro.conf.arg(metavar="R")] = None
    """wave / FWHM to smooth to; default: as the files."""
    wave: Range = (7049.0, 8901.0)
    """Vacuum wavelengths kept, Å."""
    T_eff: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="LOW HIGH")] = None
    """Effective temperatures, lowest and highest, K; default: all there are."""
    log_g: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="LOW HIGH")] = None
    """log10 of surface gravity in cm/s^2, dex; default: all."""
    M_H: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="LOW HIGH")] = None
    """Metallicities, dex; default: all."""
    a_M: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="LOW HIGH")] = None
    """[alpha/M], dex; default: all."""
    C_M: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="LOW HIGH")] = None
    """[C/M], dex; default: all."""
    atmosphere: Literal["auto", "marcs", "atlas9"] = "auto"
    """Which model where there are files of both: auto takes MARCS up to 8000 K."""
    holes: Literal["refuse", "drop", "fill", "keep"] = "refuse"
    """Nodes missing from the tensor: refuse lists them, drop leaves out axis values, fill interpolates, keep
    writes what there is and leaves the choice to whoever reads the file."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        from crlb.bosz.build import build_grid
        from crlb.bosz.find import find_spectra

        ranges = {name: getattr(self, name) for name in ("T_eff", "log_g", "M_H", "a_M", "C_M")}
        wanted = {name: bounds for name, bounds in ranges.items() if bounds is not None}
        spectra = find_spectra(self.folder, wanted, self.atmosphere)
        check_apart({"--out": self.out}, {f"FOLDER/{path.name}": path for path in spectra.values()})
        report = build_grid(
            spectra,
            self.out,
            resolving_power=self.resolving_power,
            wave_range=self.wave,
            holes=self.holes,
            overwrite=self.overwrite,
        )
        if report:
            print(report)
        print(f"wrote {self.out}")
