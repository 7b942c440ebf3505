"""What commands print and write: consoles, tables, files that exist whole or not at all."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crlb.files.output import new_file

if TYPE_CHECKING:
    from rich.console import Console


def console(stderr: bool = False) -> "Console":
    """Returns a console wide enough for tables also where the output is not a terminal."""
    from rich.console import Console

    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=110)


def write_outputs(writers: Mapping[Path | None, Callable[[Path], None]], overwrite: bool) -> None:
    """Runs each writer on the file it is for, whole or not at all, and says what was written."""
    for path, write in writers.items():
        if path is not None:
            with new_file(path, overwrite) as temporary:
                write(temporary)
            print(f"wrote {path}")


def write_csv(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Writes rows of equal keys as a table with a header."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
