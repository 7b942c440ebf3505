"""What commands write: tables, files that exist whole or not at all."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crlb.files.output import new_file
from crlb.palette import COLUMN, PAGE, Sheet, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200  # of pictures made of pixels


def write_outputs(writers: Mapping[Path | None, Callable[[Path], None]], overwrite: bool) -> None:
    """Runs each writer on the file it is for, whole or not at all, and says what was written."""
    for path, write in writers.items():
        if path is not None:
            with new_file(path, overwrite) as temporary:
                write(temporary)
            print(f"wrote {path}")


def picture(plot: "Callable[[Sheet], Figure]", column: bool) -> Callable[[Path], None]:
    """Returns what writes a figure, drawn for a page or for a column, in the format its name ends in."""

    def write(path: Path) -> None:
        with styled():
            plot(COLUMN if column else PAGE).savefig(path, dpi=DPI)

    return write


def write_csv(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Writes rows of equal keys as a table with a header."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
