"""What commands print and write: consoles, JSON, tables, checked before anything is computed."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crlb.errors import UsageError
from crlb.files.output import check_output, new_file
from crlb.labels import LABELS

PLOT_SUFFIXES = (".png", ".pdf", ".svg")


def console(stderr: bool = False) -> Any:
    """A console wide enough for tables also where the output is not a terminal."""
    from rich.console import Console

    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=110)


def progress() -> Any:
    """A progress bar on stderr that leaves nothing behind."""
    from rich.progress import Progress

    return Progress(console=console(stderr=True), transient=True)


def check_outputs(*paths: Path | None, plot: Path | None = None, overwrite: bool) -> None:
    """Refuses what cannot be written before anything is computed."""
    for path in (*paths, plot):
        if path is not None:
            check_output(path, overwrite)
    if plot is not None and plot.suffix not in PLOT_SUFFIXES:
        raise UsageError(f"--plot must end in {', '.join(PLOT_SUFFIXES)}, found {plot}")


def write_outputs(writers: Mapping[Path | None, Callable[[Path], None]], overwrite: bool) -> None:
    """Runs each writer on the file it is for, whole or not at all, and says what was written."""
    for path, write in writers.items():
        if path is not None:
            with new_file(path, overwrite) as temporary:
                write(temporary)
            print(f"wrote {path}")


def write_json(result: Mapping[str, Any], path: Path) -> None:
    """Writes a result as JSON in UTF-8; a number that is not finite is refused."""
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes rows of equal keys as a table with a header."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def unit(label: str) -> str:
    """Unit of a label, empty if unknown."""
    return LABELS[label].unit if label in LABELS else ""
