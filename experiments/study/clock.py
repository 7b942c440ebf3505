"""Time spent on an experiment, all its starts together."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from crlb.files.records import Record, write_json


@dataclass(frozen=True)
class Spent(Record):
    """Seconds of all starts in a folder."""

    seconds: float


class Clock:
    """Runs from now on, on top of what earlier starts have left in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.begin = path, time.monotonic()
        self.before = Spent.from_json(json.loads(path.read_text())).seconds if path.exists() else 0.0

    @property
    def seconds(self) -> float:
        """Of all starts up to now."""
        return self.before + time.monotonic() - self.begin

    def keep(self) -> None:
        """Writes the time up to now, so that a start that is cut off counts as far as it got."""
        write_json(Spent(round(self.seconds, 1)), self.path, overwrite=True)
