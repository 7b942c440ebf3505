"""Damaged files for every reader: python -m tests.fuzz --per-reader 500

Each must get a documented answer, within seconds and a GiB of memory. The command ends with 1 where one got
a traceback or hung, or where changed content was accepted in spite of a checksum; such files are kept.
"""

import faulthandler
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import tyro

from crlb.errors import UsageError, run_cli
from tests.fuzz.readers import READERS
from tests.fuzz.trial import ANSWERS, Trial, try_reader

NOTES = """
A file has one to four of these: bits and bytes flipped, the end cut off, bytes put in, blocks exchanged,
sizes and numbers declared otherwise, blocks blank; half of the archives and gzip files are packed again
afterwards, so that their own sums agree. *Refused*: one of the documented errors, within 10 s and a GiB of
memory. *Accepted changed*: what is read is another, but valid, content, which only a checksum can tell; "of
others" are files without one. A damaged lock counts as somebody's until it is old; the state of a half-
written table that is damaged lets the table begin anew.
"""


@dataclass(frozen=True)
class Fuzz:
    """Reads damaged copies of good files with every reader and counts the answers."""

    per_reader: int
    """Damaged files for each reader."""
    seed: int = 0
    """Of the damage; the same one gives the same files."""
    readers: tuple[str, ...] = tuple(READERS)
    """Which readers; default: all."""
    out: Path | None = None
    """File for the table, in Markdown."""

    def __call__(self) -> None:
        unknown = [name for name in self.readers if name not in READERS]
        if unknown or self.per_reader < 1:
            raise UsageError(
                f"readers must be of {', '.join(READERS)}, and per-reader positive, found "
                f"{', '.join(unknown)} and {self.per_reader}"
            )
        begun, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="fuzz-"))
        trials = [self.tried(name, folder) for name in self.readers]
        page = self.head(time.monotonic() - begun, trials) + table(trials) + NOTES
        print(page)
        if self.out is not None:
            self.out.write_text(page)
        if any(trial.wrong(READERS[trial.reader]) for trial in trials):
            sys.exit(f"some got no documented answer; they lie in {folder}")

    def tried(self, name: str, folder: Path) -> Trial:
        """One reader, in a folder of its own; what went wrong is printed."""
        place = folder / name.replace(" ", "-").replace(":", "")
        place.mkdir()
        found = try_reader(name, READERS[name], self.per_reader, self.seed, place)
        print(f"{name}: {dict(found.counts)}", *found.worst, sep="\n", file=sys.stderr)
        return found

    def head(self, seconds: float, trials: list[Trial]) -> str:
        """Date, command, time and the total, as the first lines of the page."""
        files = sum(trial.tried for trial in trials)
        given = f"--per-reader {self.per_reader} --seed {self.seed}"
        if self.readers != tuple(READERS):
            given += " --readers " + " ".join(f'"{name}"' for name in self.readers)
        return (
            f"# Damaged files, and what the readers say\n\n`python -m tests.fuzz {given}`, {date.today()}: "
            f"{files:,} files, {seconds / 60:.1f} minutes.\n\n"
        )


def table(trials: list[Trial]) -> str:
    """Counts by reader and answer, and their sums, as a Markdown table."""
    rows = [(trial.reader, trial.tried, *(trial.counts[answer] for answer in ANSWERS)) for trial in trials]
    sums = ("all", *(sum(row[i] for row in rows) for i in range(1, len(ANSWERS) + 2)))
    sealed = {name for name, reader in READERS.items() if reader.sealed}
    lines = [f"| reader | tried | {' | '.join(ANSWERS)} |", "|---|" + "---:|" * (len(ANSWERS) + 1)]
    for name, *numbers in (*rows, sums):
        cells = " | ".join(f"{number:,}" for number in numbers)
        lines.append(f"| {name}{' (checksum)' if name in sealed else ''} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    faulthandler.enable()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    run_cli(lambda: tyro.cli(Fuzz)())
