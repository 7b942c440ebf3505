"""Committed result files, read as plain JSON; what is missing is named with its file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from crlb.errors import DataError, MissingInputError
from crlb.files.records import Json

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """A place in a result file.

    Attributes:
        value: the JSON value there.
        place: the file and the keys that lead there, as errors name it.
    """

    value: Json
    place: str

    def at(self, *keys: str | int) -> "Result":
        """Returns the place below these keys.

        Raises:
            DataError: there is no such key.
        """
        found = self
        for key in keys:
            found = found._below(key)
        return found

    def _below(self, key: str | int) -> "Result":
        value, place = self.value, f"{self.place}/{key}"
        if isinstance(value, dict) and isinstance(key, str) and key in value:
            return Result(value[key], place)
        if isinstance(value, list) and isinstance(key, int) and key < len(value):
            return Result(value[key], place)
        raise DataError(f"the numbers need {place}, which is not there; make that result again")

    def names(self) -> list[str]:
        """Returns the keys of the object there.

        Raises:
            DataError: there is none.
        """
        if not isinstance(self.value, dict):
            raise DataError(f"{self.place} must be an object, found {type(self.value).__name__}")
        return list(self.value)

    def number(self, *keys: str | int) -> float:
        """Returns the number there.

        Raises:
            DataError: there is none.
        """
        found = self.at(*keys)
        if isinstance(found.value, bool) or not isinstance(found.value, int | float):
            raise DataError(f"{found.place} must be a number, found {found.value!r}")
        return found.value

    def text(self, *keys: str | int) -> str:
        """Returns the string there.

        Raises:
            DataError: there is none.
        """
        found = self.at(*keys)
        if not isinstance(found.value, str):
            raise DataError(f"{found.place} must be a string, found {found.value!r}")
        return found.value

    def rows(self, *keys: str | int, **where: Json) -> list["Result"]:
        """Returns the entries of the list there that have all the values of `where`.

        Raises:
            DataError: there is no list.
        """
        found = self.at(*keys)
        if not isinstance(found.value, list):
            raise DataError(f"{found.place} must be a list, found {type(found.value).__name__}")
        entries = [found.at(i) for i in range(len(found.value))]
        return [entry for entry in entries if all(entry.at(key).value == where[key] for key in where)]

    def one(self, *keys: str | int, **where: Json) -> "Result":
        """Returns the only entry of the list there that has all the values of `where`.

        Raises:
            DataError: there is none, or more than one.
        """
        found = self.rows(*keys, **where)
        if len(found) != 1:
            words = ", ".join(f"{key} {value!r}" for key, value in where.items())
            place = self.at(*keys).place
            raise DataError(f"{place} must hold one entry with {words}; it holds {len(found)}")
        return found[0]

    @property
    def date(self) -> date:
        """The day of the run."""
        top = self.value if isinstance(self.value, dict) else {}
        return date.fromisoformat(self.text(*(() if "date" in top else ("provenance",)), "date")[:10])


class Results:
    """The result files below a folder, each read once."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._read: dict[str, Result] = {}

    def file(self, name: str) -> Result:
        """Returns what a file holds, by its path from the root.

        Raises:
            MissingInputError: there is no such file.
            DataError: it is not JSON.
        """
        if name not in self._read:
            self._read[name] = _load(self.root, name)
        return self._read[name]

    def experiment(self, name: str) -> Result:
        """Returns the committed results of an experiment."""
        return self.file(f"results/{name}/results.json")

    def benchmark(self, name: str) -> Result:
        """Returns the committed results of a benchmark."""
        return self.file(f"benchmarks/results/{name}.json")

    @cached_property
    def ceiling(self) -> Result:
        """What `crlb ceiling --bayes` gave."""
        return self.file("docs/ceiling.json")

    @cached_property
    def figure(self) -> Result:
        """What the main figure shows."""
        return self.file("docs/r2_vs_snr.json")

    def experiments(self) -> Iterator[tuple[Path, Result]]:
        """Yields path and content of the results of every experiment."""
        for path in sorted(self.root.glob("results/*/results.json")):
            yield path, self.file(path.relative_to(self.root).as_posix())


def _load(root: Path, name: str) -> Result:
    path = root / name
    try:
        return Result(json.loads(path.read_text(encoding="utf-8")), name)
    except FileNotFoundError as error:
        raise MissingInputError(f"the numbers need {path}, which does not exist; make that result") from error
    except ValueError as error:
        raise DataError(f"{path} must be JSON, but: {error}; make that result again") from error
