"""How a download is getting on: a bar with files and bytes on a terminal, a line now and then elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from crlb.files.progress import PlainLines


class Meter:
    """Counts files that have ended, and bytes received by all connections; says nothing of its own."""

    def __init__(self) -> None:
        self.begun, self.bytes, self.lock = time.monotonic(), 0, threading.Lock()
        self.has_answer = False  # of the server, whatever it says

    def received(self, n: int) -> None:
        """Counts bytes of an answer, none as it begins; threads may call it."""
        with self.lock:
            self.has_answer = True
            self.bytes += n

    def rate(self) -> str:
        """Returns bytes over time since the start."""
        return f"{self.bytes / 1e6 / max(time.monotonic() - self.begun, 1e-3):.2f} MB/s"

    def advance(self, files: int) -> None:
        """Counts files that have ended; 0: time has passed."""


class _Bar(Meter):
    def __init__(self, bar: Progress, total: int) -> None:
        super().__init__()
        self.bar, self.task = bar, bar.add_task("download", total=total, rate="")

    def advance(self, files: int) -> None:
        self.bar.update(self.task, advance=files, rate=self.rate())


class _Lines(Meter):
    def __init__(self, total: int) -> None:
        super().__init__()
        self.lines = PlainLines("download", total, unit="files")

    def advance(self, files: int) -> None:
        self.lines.advance(files)


@contextmanager
def metering(total: int, console: Console) -> Iterator[Meter]:
    """Yields the meter of a download of `total` files, shown on a console if that is a terminal."""
    if not console.is_terminal:
        yield _Lines(total)
        return
    with _progress(console) as bar:
        yield _Bar(bar, total)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("files {task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
