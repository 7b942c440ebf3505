"""Labels of the stars in files of spectra, written as they come: a million spectra in bounded memory."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from crlb.errors import Interrupted
from crlb.files.flags import NONE
from crlb.files.observed import Observed
from crlb.files.progress import Advance, progress
from crlb.files.tables import TableFile
from crlb.readers.many import Spoilt, spectra_of
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed
from specvit_jax.evaluation.trained import TrainedNetwork
from specvit_jax.stopping import Signals

More = Callable[[Sequence[Observed | Spoilt]], Mapping[str, Sequence[object]]]


def label_files(
    network: TrainedNetwork,
    paths: Sequence[Path],
    options: ReadOptions,
    table: TableFile,
    batch: int,
    more: More | None = None,
) -> Counter[str]:
    """Writes the labels of all stars in the files to a table, from where an interrupted run has stopped.

    Args:
        network: that reads them.
        paths: files of spectra.
        options: how these are to be understood.
        table: as `label_table` gives it, not yet entered.
        batch: spectra at once.
        more: further columns of a batch of spectra, of another method; they are columns of the table.

    Returns:
        How many of the stars of this run have each flag; "-": no flag, "stars": all of them.

    Raises:
        Interrupted: by SIGTERM or Ctrl-C; the rows so far are kept, and the same command goes on.
        DataError, MissingInputError, UsageError: as `spectra_of`.
    """
    counts: Counter[str] = Counter()
    total, unit = (open_observed(paths[0], options).n, "stars") if len(paths) == 1 else (len(paths), "files")
    with Signals() as signals, table, _progress(table, total, unit) as advance:
        told = table.rows if unit == "stars" else 0
        spectra = Watched(spectra_of(paths, options, table.rows))
        for stars in network.label(spectra, batch):
            table.append(stars.columns() | dict(more(spectra.taken) if more else {}))
            spectra.taken.clear()
            counts.update(flag for flags in stars.flags for flag in flags.split(","))
            counts["stars"] += len(stars)
            done = table.rows if unit == "stars" else spectra.files
            advance(done - told)
            told = done
            if signals.received:
                raise Interrupted(table.interrupted())
    return counts


def _progress(table: TableFile, total: int, unit: str) -> AbstractContextManager[Advance]:
    return progress("predict", total, table.rows if unit == "stars" else 0, unit)


class Watched:
    """Spectra on their way: from how many files they have come, and those that were taken last."""

    def __init__(self, spectra: Iterator[Observed | Spoilt]) -> None:
        self.spectra, self.files, self.last = spectra, 0, ""
        self.taken: list[Observed | Spoilt] = []

    def __iter__(self) -> "Watched":
        return self

    def __next__(self) -> Observed | Spoilt:
        found = next(self.spectra)
        self.files += found.origin.path != self.last
        self.last = found.origin.path
        self.taken.append(found)
        return found


def summary(counts: Counter[str]) -> str:
    """How many stars have which flag, in one line."""
    flagged = [f"{n} {flag}" for flag, n in sorted(counts.items()) if flag not in (NONE, "stars")]
    return f"{counts['stars']} stars, {counts[NONE]} without a flag" + "".join(f", {one}" for one in flagged)
