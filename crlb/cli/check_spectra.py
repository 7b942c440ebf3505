"""`crlb check`: what is in files of spectra, how they are understood, and what would be used."""

import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.cli.checks import Checks
from crlb.errors import DataError
from crlb.files.input import check_inputs
from crlb.files.records import write_json
from crlb.readers.arguments import SpectraOptions

if TYPE_CHECKING:
    from crlb.cli.checked_files import FileCheck
    from crlb.observation.templates import Templates

File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


@dataclass(frozen=True, kw_only=True)
class CheckSpectra(SpectraOptions, Checks):
    """What is in files of spectra: format, columns, units, medium, coverage, SNR, bad pixels, velocity.

    Costs about a second, loads no jax. Ends with status 65 if a file cannot be used, and says what mends it.

    To copy and paste:
      crlb check star.fits
      crlb check *.csv --wave-unit nm --wave-medium vacuum --resolving-power 11500 --json check.json
    """

    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SPECTRA [SPECTRA ...]")]
    """Files of spectra: HDF5, FITS, CSV, ECSV, text."""
    grid: File = None
    """Grid of model spectra that the velocity is measured with, HDF5; default: the embedded grid."""
    first: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """How many spectra of every file are looked at."""
    json: File = None
    """Write everything shown."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def inputs(self) -> dict[str, Path | None]:
        """Returns the files read: option or argument -> file."""
        return {f"SPECTRA {path.name}": path for path in self.files} | {"--grid": self.grid}

    def check(self) -> None:
        """Refuses options that cannot be, outputs that cannot be created, files that are not there."""
        super().check()
        self.check_values()
        check_inputs(self.inputs())

    def __call__(self) -> None:
        from crlb.observation.templates import load_templates

        templates = load_templates(self.grid)
        found = []
        for path in self.files:
            found.append(self._checked(path, templates))
            print(found[-1].text())
        if self.json is not None:
            write_json({"files": found}, self.json, self.overwrite)
            print(f"wrote {self.json}")
        if bad := [one.path for one in found if one.error]:
            named = f"{len(bad)} of {len(found)} files cannot be used: {', '.join(bad)}"
            print(f"error: {named}", file=sys.stderr)
            sys.exit(DataError.exit_code)

    def _checked(self, path: Path, templates: "Templates") -> "FileCheck":
        from crlb.cli.checked_files import FileCheck
        from crlb.observation.inspection import inspect
        from crlb.readers.read import open_observed

        try:
            file = open_observed(path, self.read_options())
        except DataError as error:
            return FileCheck(str(path), "", 0, (), (), str(error).removeprefix(f"{path}: "))
        each = list(islice(file.each(), self.first))
        spectra = tuple(inspect(one, templates) for one in each if not isinstance(one, DataError))
        refused = [str(one) for one in each if isinstance(one, DataError)]
        usable = any(one.usable for one in spectra)
        said = dict.fromkeys([*refused, *(w for one in spectra for w in one.warnings)])
        return FileCheck(
            str(path), file.format, file.n, tuple(file.understood), spectra, "" if usable else "; ".join(said)
        )
