"""Spectra of many files one after the other; what cannot be used keeps its place. No jax is loaded here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crlb.errors import DataError
from crlb.files.observed import Observed, Origin
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed


@dataclass(frozen=True, eq=False)
class Spoilt:
    """A spectrum that cannot be used, and why; it keeps its row in every table."""

    origin: Origin
    reason: str
    flags: frozenset[str] = frozenset()


def spectra_of(paths: Sequence[Path], options: ReadOptions, skip: int = 0) -> Iterator[Observed | Spoilt]:
    """Yields the spectra of files one after the other; for one that cannot be used, why.

    A file that cannot be read counts as one spectrum that cannot be used, unless none of the files can.

    Args:
        paths: the files.
        options: how they are to be understood.
        skip: spectra at the beginning that are not wanted.

    Raises:
        DataError: none of the files can be read: why the first one cannot.
        MissingInputError: a file is not there.
        UsageError: an option does not fit the files.
    """
    failed: list[Spoilt] = []
    reason: DataError | None = None
    opened = False
    for path in paths:
        try:
            file = open_observed(path, options)
        except DataError as error:
            reason = reason or error
            failed.append(Spoilt(Origin(str(path), ""), str(error)))
        else:
            opened = True
            wanted = failed[skip:]
            skip, failed = max(skip - len(failed), 0), []
            yield from wanted
            if skip < file.n:
                yield from _each(file.each(skip), path, file.first + skip)
            skip = max(skip - file.n, 0)
    if reason is not None and not opened:
        raise reason
    yield from failed[skip:]


def _each(spectra: Iterator[Observed | DataError], path: Path, first: int) -> Iterator[Observed | Spoilt]:
    for row, one in enumerate(spectra, start=first):
        yield Spoilt(Origin(str(path), "", row=row), str(one)) if isinstance(one, DataError) else one
