"""Progress of long work on stderr: a bar on a terminal, now and then a plain line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 10.0  # between plain lines

Advance = Callable[[int], None]


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
    from rich.progress import Progress

    from crlb.files.console import console

    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda n: bar.advance(task, n)


class PlainLines:
    """A line every ten seconds: "predict: 1200 of 5000 stars, 41/s, 93 s left"."""

    def __init__(self, what: str, total: int, done: int = 0, unit: str = "stars") -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self.start = done
        self.begun = self.told_at = time.monotonic()

    def advance(self, n: int) -> None:
        """Counts `n` more, and says so if nothing was said for long."""
        self.done += n
        now = time.monotonic()
        if now - self.told_at < LINE_EVERY_S or self.done >= self.total:
            return
        self.told_at = now
        rate = (self.done - self.start) / (now - self.begun)
        left = (self.total - self.done) / rate if rate else float("inf")
        line = f"{self.what}: {self.done} of {self.total} {self.unit}, {rate:.3g}/s, {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)
