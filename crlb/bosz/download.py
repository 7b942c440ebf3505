"""Download of many files over several connections: resumable, checked, whole files only.

A file grows as NAME.part, with its size and validators beside it in NAME.part.json. Only when it has the size
the server announced and passes `check_whole` does it get its name; so a file that bears its name is whole.
"""

import csv
import fcntl
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console

from crlb.bosz.background import as_they_end
from crlb.bosz.http import fetch, probe_size
from crlb.bosz.meter import Meter, metering
from crlb.bosz.mirror import local_mirror
from crlb.bosz.names import ARCHIVE, Node
from crlb.bosz.tries import Failed, Hole, Refused, Settings, Stopped, Unreachable
from crlb.errors import DataError, Interrupted, Locked, MissingInputError, OutputError, UsageError
from crlb.files.console import console as plain_console
from crlb.files.output import writing
from crlb.files.text_input import read_text

HOLES = "holes.csv"  # in the folder: files the archive does not have; delete it to ask again
LOCK = ".download.lock"
SPARE = 50_000_000  # bytes left free on the disk
MOST_LOST = 3  # files in a row for which the server did not answer: then it is not asked for the others
MOST_FAILED = 25  # in a row, for whatever reason: likewise
CONTACT_S = 15.0  # beside one silence, for the first answer: names, connections, the size of a file
GO_ON = "run the same command again, it goes on where it stopped"


@dataclass
class Report:
    """What a download did, by file name.

    Args:
        fetched: downloaded now.
        present: found whole.
        holes: the archive has no such file.
        failed: name -> why; another try may help.
        refused: name -> why; none will.
    """

    fetched: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def download(
    nodes: Sequence[Node],
    folder: str | Path,
    *,
    mirror: str = ARCHIVE,
    connections: int = 4,
    settings: Settings | None = None,
    console: Console | None = None,
) -> Report:
    """Fetches the files of `nodes` into `folder`; those already there are left alone.

    Args:
        nodes: the nodes whose files are wanted.
        folder: existing; one flat folder for all files.
        mirror: where the archive's paths start: http(s)://, file:// or a local folder, which may be flat too.
        connections: files fetched at a time.
        settings: how long to wait for the server, and how often to try again. Where no answer comes for
            three files in a row (or as many as there are connections), the others are not tried.
        console: where the progress is shown, by default stderr.

    Raises:
        UsageError: connections is not positive, or the mirror is neither a URL nor a folder.
        OutputError: the folder does not exist, or the disk is too small.
        DiskError: the disk is full, read-only or failing.
        Locked: another download writes into the folder.
        MissingInputError: the server refuses files, so that another try would not help.
        Interrupted: Ctrl-C, the server cannot be reached, or some files failed after all retries; the same
            call goes on where it stopped.
    """
    folder, settings = Path(folder), settings or Settings()
    if connections < 1:
        raise UsageError(f"connections must be at least 1, found {connections}")
    if not folder.is_dir():
        raise OutputError(f"cannot write into {folder}: it is not an existing folder; create it first")
    local_mirror(mirror)
    with _lock(folder):
        report, wanted = _sort_out(nodes, folder)
        with metering(len(wanted), console or plain_console(stderr=True)) as meter:
            _fetch_all(wanted, folder, mirror, connections, settings, report, meter)
    _check(report, nodes, mirror)
    return report


def _check(report: Report, nodes: Sequence[Node], mirror: str) -> None:
    """Raises what is to be said of files that did not come."""
    urls, n = {node.name: node.url(mirror) for node in nodes}, len(nodes)
    if report.failed:
        name, reason = next(iter(report.failed.items()))
        raise Interrupted(
            f"{len(report.failed)} of {n} files could not be fetched, the first {urls[name]}: {reason}; "
            f"{GO_ON}"
        )
    if report.refused:
        name, reason = next(iter(report.refused.items()))
        raise MissingInputError(
            f"{len(report.refused)} of {n} files cannot be had, the first {urls[name]}: {reason}; "
            "give another --mirror"
        )


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Only one download at a time writes into a folder; the system frees the lock of a killed one."""
    try:
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(f"another download is writing into {folder}; wait for it or stop it") from error
        yield


def _sort_out(nodes: Sequence[Node], folder: Path) -> tuple[Report, list[Node]]:
    """Splits the nodes into those already present or missing in the archive, and those still wanted."""
    report, wanted, holes = Report(), [], read_holes(folder)
    for node in dict.fromkeys(nodes):
        if _is_here(node, folder):
            report.present.append(node.name)
        elif node.name in holes:
            report.holes.append(node.name)
        else:
            wanted.append(node)
    return report, wanted


def _is_here(node: Node, folder: Path) -> bool:
    """Whether the node's file lies in the folder, as it came or unpacked since."""
    names = {node.name, node.name.removesuffix(".gz").removesuffix(".bz2")}
    return any((folder / name).is_file() for name in names)


def read_holes(folder: str | Path) -> set[str]:
    """Names of the files that the archive was found not to have, from earlier downloads into the folder.

    Raises:
        DataError: the list is damaged.
    """
    path = Path(folder) / HOLES
    if not path.exists():
        return set()
    lines = read_text(path, "list of holes").splitlines()
    try:
        return {row[0] for row in csv.reader(lines) if row and row[0] != "name"}
    except csv.Error as error:
        raise DataError(f"{path} is damaged ({error}); delete it, the archive is then asked again") from error


def _record_hole(node: Node, folder: Path) -> None:
    path = folder / HOLES
    is_new = not path.exists()
    with writing(path), path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["name", "path"])
        writer.writerow([node.name, node.path])


def _check_disk(wanted: Sequence[Node], folder: Path, size: float) -> None:
    """Raises OutputError if the files, all of about this size in bytes, do not fit on the disk."""
    need, free = size * len(wanted) + SPARE, shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"{folder} has {free / 1e9:.1f} GB free, but {len(wanted)} files of about {size / 1e6:.2f} MB "
            f"need {need / 1e9:.1f} GB; choose another folder, fewer nodes or a lower resolving power"
        )


def _fetch_all(
    wanted: list[Node],
    folder: Path,
    mirror: str,
    connections: int,
    settings: Settings,
    report: Report,
    meter: Meter,
) -> None:
    stop, tick = threading.Event(), partial(_tick, meter, settings)
    calls = ((node, partial(fetch, node, mirror, folder, settings, stop, meter.received)) for node in wanted)
    try:
        if wanted:
            _check_disk(wanted, folder, probe_size(wanted, mirror, settings, tick, meter.received))
        with closing(as_they_end(calls, connections, stop, tick)) as jobs:
            _note_all(jobs, folder, report, meter, max(MOST_LOST, connections))
    except Unreachable as error:
        raise Interrupted(
            f"no files come from {mirror}: {error}; {len(report.fetched)} of {len(wanted)} were fetched; "
            f"check the network and --mirror, then {GO_ON}"
        ) from error
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped after {len(report.fetched)} of {len(wanted)} files; {GO_ON}") from error


def _tick(meter: Meter, settings: Settings) -> None:
    """Shows that time has passed; raises Unreachable where no answer has come for too long."""
    meter.advance(0)
    most = settings.timeout_s + CONTACT_S
    if not meter.has_answer and time.monotonic() - meter.begun > most:
        raise Unreachable(f"no answer within {most:g} s")


def _note_all(
    jobs: Iterable[tuple[Node, "Future[None]"]], folder: Path, report: Report, meter: Meter, most_lost: int
) -> None:
    """Notes how every file ended; raises Unreachable once too many in a row have not come."""
    lost = failed = 0
    for node, job in jobs:
        _note(job, node, folder, report)
        meter.advance(1)
        failed = failed + 1 if isinstance(job.exception(), Failed) else 0
        lost = lost + 1 if isinstance(job.exception(), Unreachable) else 0
        if lost >= most_lost or failed >= MOST_FAILED:
            raise Unreachable(report.failed[node.name])


def _note(job: "Future[None]", node: Node, folder: Path, report: Report) -> None:
    error = job.exception()
    if error is None:
        report.fetched.append(node.name)
    elif isinstance(error, Hole):
        _record_hole(node, folder)
        report.holes.append(node.name)
    elif isinstance(error, Failed | Stopped):
        report.failed[node.name] = str(error)
    elif isinstance(error, Refused):
        report.refused[node.name] = str(error)
    else:
        raise error
