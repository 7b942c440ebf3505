"""`crlb grid validate`: how far the emulator of a grid is from nodes it was not given."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from crlb.cli.brightness import Brightnesses, Magnitudes
from crlb.cli.forward_model import File
from crlb.cli.output import picture, write_outputs
from crlb.errors import UsageError
from crlb.files.progress import progress
from crlb.files.records import write_json


@dataclass(frozen=True, kw_only=True)
class Validate(Brightnesses):
    """Leaves nodes of a grid out and predicts them from the others, with splines of degree 3 and of 5.

    Shown are errors of the flux, and the errors they make in labels that are fitted, over the Cramer-Rao
    bound; per axis and region of label space.

    To copy and paste:
      crlb grid validate
      crlb grid validate grid.h5 --json validate.json --plot validate.png
    """

    file: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="GRID")] = None
    """The grid file, as --grid; default: the embedded grid."""
    degree: tyro.conf.Suppress[Literal[3, 5]] = 3
    mag: Magnitudes = (21.5, 20.0, 18.0)
    """AB magnitudes in i at which the bound is taken; regions are shown at the middle one."""
    json: File = None
    """Write everything shown, and more, with provenance."""
    plot: File = None
    """Draw errors against wavelength, and biases per axis and region: .png, .pdf or .svg."""
    column: bool = False
    """Draw --plot for one column of a journal, 3.5 in wide, not for a page, 7.2 in."""
    overwrite: bool = False
    """Allow output files to be replaced."""

    def __call__(self) -> None:
        from crlb.observation.instrument import seen_by
        from crlb.observation.spectrograph import on_grid
        from crlb.validation.summary import total, validate

        fine = self.load_grid()
        seen = on_grid(self.load_spectrograph(), fine, self.wave_range)
        grid = seen_by(fine, seen.detector)
        mags = self.magnitudes(self.load()) if self.snr else self.mag
        with progress("nodes left out", total(grid), unit="nodes") as advance:
            result = validate(grid, seen.noise, mags, wave_range=self.wave_range, advance=advance)
        shown = {key: value for key, value in self.provenance().items() if key != "interpolation_degree"}
        result = replace(result, provenance=result.provenance | shown)
        print(result.table())
        write_outputs(
            {
                self.json: lambda path: write_json(result, path),
                self.plot: picture(result.plot, self.column),
            },
            self.overwrite,
        )

    def named_grid(self) -> Path | None:
        if self.file is not None and self.grid is not None:
            raise UsageError(f"name the grid once, found {self.file} and --grid {self.grid}")
        return self.file or self.grid
