"""Time spent on an experiment, all its starts together, and on the steps of this one, which are told."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock

from crlb.files.records import Record, write_json
from crlb.files.text_input import read_json


@dataclass(frozen=True)
class Spent(Record):
    """Seconds of all starts in a folder; those of the steps of the last start."""

    seconds: float
    steps: dict[str, float] = field(default_factory=dict)


class Clock:
    """Runs from now on, on top of what earlier starts have left in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.begin = path, time.monotonic()
        self.before = Spent.from_json(read_json(path, "time spent")).seconds if path.exists() else 0.0
        self.steps: dict[str, float] = {}
        self.writing = Lock()

    @property
    def seconds(self) -> float:
        """Of all starts up to now."""
        return self.before + time.monotonic() - self.begin

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Says what is done now, after the time since this start, and measures it.

        Args:
            what: is done, in a few words; several steps of one name count together. Steps may overlap.
        """
        begin = time.monotonic()
        print(f"[{timedelta(seconds=int(begin - self.begin))}] {what}", file=sys.stderr, flush=True)
        try:
            yield
        finally:
            self.steps[what] = round(self.steps.get(what, 0.0) + time.monotonic() - begin, 1)

    def keep(self) -> None:
        """Writes the time up to now, so that a start that is cut off counts as far as it got."""
        with self.writing:
            write_json(Spent(round(self.seconds, 1), dict(self.steps)), self.path, overwrite=True)
