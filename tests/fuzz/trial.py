"""Damaged copies of a good file, read one by one, and what the reader said to each."""

import dataclasses
import faulthandler
import hashlib
import io
import random
import sys
import traceback
import warnings
from collections.abc import Iterable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from crlb.errors import EXPECTED
from tests.fuzz.guard import OutOfTime, in_memory, in_time
from tests.fuzz.readers import Reader

LIMIT_S = 10.0  # for one file; most take milliseconds
LOST_S = 150.0  # in a library that no signal reaches: the command ends
MEMORY = 2**30  # bytes more than the process has
REFUSED, EQUAL, CHANGED, TRACEBACK, HANG = (
    "refused",
    "accepted equal",
    "accepted changed",
    "traceback",
    "hang",
)
ANSWERS = (REFUSED, EQUAL, CHANGED, TRACEBACK, HANG)


@dataclass(frozen=True)
class Trial:
    """What became of the damaged files of one reader: how many got each answer; the worst, in words."""

    reader: str
    counts: Mapping[str, int]
    worst: tuple[str, ...]

    @property
    def tried(self) -> int:
        return sum(self.counts.values())

    def wrong(self, reader: Reader) -> int:
        """Answers that no file may get: traceback, hang, and changed content behind a checksum."""
        return self.counts[TRACEBACK] + self.counts[HANG] + reader.sealed * self.counts[CHANGED]


def try_reader(name: str, reader: Reader, n: int, seed: int, folder: Path) -> Trial:
    """Makes a good file in `folder` and reads `n` damaged copies in its place; the worst ones are kept."""
    path = folder / reader.file
    reader.make(path)
    good = path.read_bytes()
    known = digest(reader.read(path))
    counts, worst = dict.fromkeys(ANSWERS, 0), []
    for number in range(n):
        content = reader.damage(good, random.Random(f"{seed} {name} {number}"))
        path.write_bytes(content)
        answer, words = answered(reader, path, known)
        counts[answer] += 1
        if answer in (TRACEBACK, HANG) or (answer == CHANGED and reader.sealed):
            (folder / f"{number}-{reader.file}").write_bytes(content)
            worst.append(f"{name} {number}: {answer}: {words}")
    return Trial(name, counts, tuple(worst))


def answered(reader: Reader, path: Path, known: str) -> tuple[str, str]:
    """The answer to one file, and what was said if nothing documented was."""
    faulthandler.dump_traceback_later(LOST_S, exit=True, file=sys.__stderr__)
    try:
        with warnings.catch_warnings(), in_time(LIMIT_S), in_memory(MEMORY), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            found = reader.read(path)
    except EXPECTED:
        return REFUSED, ""
    except OutOfTime as error:
        return HANG, _where(error)
    except Exception as error:
        return TRACEBACK, _where(error)
    finally:
        faulthandler.cancel_dump_traceback_later()
    if digest(found) == known:
        return EQUAL, ""
    return (REFUSED if found is None else CHANGED), ""


def _where(error: BaseException) -> str:
    lines = [f"{Path(one.filename).name}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__}: {str(error)[:200]} ({' '.join(lines[-6:])})"


def digest(value: object) -> str:
    """SHA-256 of what a reader returned, NaN equal to itself."""
    found = hashlib.sha256()
    for part in _parts(value):
        found.update(part + b"\0")
    return found.hexdigest()


def _parts(value: Any) -> Iterable[bytes]:
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        yield f"{array.dtype.str} {array.shape}".encode()
        yield repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name.encode()
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            yield repr(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, list | tuple):
        yield f"{len(value)}".encode()
        for item in value:
            yield from _parts(item)
    else:
        yield repr(value).encode("utf-8", "replace")
