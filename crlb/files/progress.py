"""Progress of long work on stderr: a bar on a terminal, now and then a plain line elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_EVERY_S = 10.0  # between plain lines

Advance = Callable[[int], None]
Item = TypeVar("Item")


@contextmanager
def progress(what: str, total: int, done: int = 0, unit: str = "stars") -> Iterator[Advance]:
    """Yields a function that is told how many more are done.

    Args:
        what: is done, for example "predict".
        total: how many there are.
        done: how many are done already; no rate counts them.
        unit: what is counted.
    """
    if not sys.stderr.isatty():
        yield PlainLines(what, total, done, unit).advance
        return
    with _bars() as bars:
        task = bars.add_task(what, total=total, completed=done)
        try:
            yield lambda n: bars.advance(task, n)
        finally:
            bars.remove_task(task)


_LOCK = threading.Lock()
_SHOWN: list["Progress"] = []  # one for each work that goes on: the same for all, as a terminal has one place


@contextmanager
def _bars() -> Iterator["Progress"]:
    """Yields the bars on the terminal, those of all threads, which are there as long as any work goes on."""
    from rich.progress import Progress

    from crlb.files.console import console

    with _LOCK:
        bars = _SHOWN[0] if _SHOWN else Progress(console=console(stderr=True), transient=True)
        _SHOWN.append(bars)
        bars.start()
    try:
        yield bars
    finally:
        with _LOCK:
            _SHOWN.pop()
            if not _SHOWN:
                bars.stop()


def track(items: Iterable[Item], what: str, total: int, unit: str) -> Iterator[Item]:
    """Yields the items, each counted once it is done with.

    Args:
        items: for example pieces of a set.
        what: is done.
        total: how many items there are.
        unit: what an item is, in the plural.
    """
    with progress(what, total, unit=unit) as advance:
        for item in items:
            yield item
            advance(1)


class PlainLines:
    """A line every ten seconds: "predict: 1200 of 5000 stars, 41/s, 93 s left"."""

    def __init__(self, what: str, total: int, done: int = 0, unit: str = "stars") -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self.start = done
        self.begun = self.told_at = time.monotonic()
        self.first: tuple[int, float] | None = None  # what was done first, and when: compiled by then

    def advance(self, n: int) -> None:
        """Counts `n` more, and says so if nothing was said for long."""
        self.done += n
        now = time.monotonic()
        if n and self.first is None:
            self.first = self.done, now
        if now - self.told_at < LINE_EVERY_S or self.done >= self.total:
            return
        self.told_at = now
        line = f"{self.what}: {self.done} of {self.total} {self.unit}, {self._pace(now)}"
        print(line, file=sys.stderr, flush=True)

    def _pace(self, now: float) -> str:
        if self.done == self.start:
            return f"{now - self.begun:.0f} s so far"
        done, since = self.first if self.first and self.first[0] < self.done else (self.start, self.begun)
        rate = (self.done - done) / (now - since)
        return f"{rate:.3g}/s, {(self.total - self.done) / rate:.0f} s left"
