"""Download of many files over several connections: resumable, checked, whole files only.

A file grows as NAME.part, with its size and validators beside it in NAME.part.json. Only when it has the size
the server announced and passes `check_whole` does it get its name; so a file that bears its name is whole.
"""

import csv
import fcntl
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from crlb.bosz.http import Failed, Hole, Refused, Settings, Stopped, fetch, local_mirror, probe_size
from crlb.bosz.names import ARCHIVE, Node
from crlb.errors import DataError, Interrupted, Locked, MissingInputError, OutputError, UsageError
from crlb.files.console import console as plain_console
from crlb.files.text_input import read_text

HOLES = "holes.csv"  # in the folder: files the archive does not have; delete it to ask again
LOCK = ".download.lock"
SPARE = 50_000_000  # bytes left free on the disk


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
        settings: how long to wait for the server, and how often to try again.
        console: where the progress is shown, by default stderr.

    Raises:
        UsageError: connections is not positive, or the mirror is neither a URL nor a folder.
        OutputError: the folder does not exist, or the disk is too small.
        DiskError: the disk is full, read-only or failing.
        Locked: another download writes into the folder.
        MissingInputError: the server refuses files, so that another try would not help.
        Interrupted: Ctrl-C, or some files failed after all retries; the same call goes on where it stopped.
    """
    folder, settings = Path(folder), settings or Settings()
    if connections < 1:
        raise UsageError(f"connections must be at least 1, found {connections}")
    if not folder.is_dir():
        raise OutputError(f"cannot write into {folder}: it is not an existing folder; create it first")
    local_mirror(mirror)
    with _lock(folder):
        report, wanted = _sort_out(nodes, folder)
        check_disk(wanted, folder, mirror, settings)
        _fetch_all(
            wanted, folder, mirror, connections, settings, report, console or plain_console(stderr=True)
        )
    if report.failed:
        name, reason = next(iter(report.failed.items()))
        raise Interrupted(
            f"{len(report.failed)} of {len(nodes)} files could not be fetched, the first {name}: {reason}; "
            "run the same command again, it goes on where it stopped"
        )
    if report.refused:
        name, reason = next(iter(report.refused.items()))
        raise MissingInputError(
            f"{len(report.refused)} of {len(nodes)} files cannot be had, the first {name}: {reason}; "
            "give another --mirror"
        )
    return report


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
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["name", "path"])
        writer.writerow([node.name, node.path])


def check_disk(wanted: Sequence[Node], folder: Path, mirror: str, settings: Settings) -> None:
    """Raises OutputError if the files, all of the size of the first one found, do not fit on the disk."""
    if not wanted:
        return
    size = probe_size(wanted, mirror, settings)
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
    console: Console,
) -> None:
    stop, received = threading.Event(), _Counter()
    with _progress(console) as progress, ThreadPoolExecutor(connections) as pool:
        bar = progress.add_task("download", total=len(wanted), rate="")
        jobs: dict[Future[None], Node] = {
            pool.submit(fetch, node, mirror, folder, settings, stop, received.add): node for node in wanted
        }
        try:
            for job in _as_they_end(jobs, lambda: progress.update(bar, rate=received.rate())):
                _note(job, jobs[job], folder, report)
                progress.advance(bar)
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"stopped after {len(report.fetched)} of {len(wanted)} files; run the same command again, "
                "it goes on where it stopped"
            ) from error
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _as_they_end(jobs: dict[Future[None], Node], tick: Callable[[], None]) -> Iterator[Future[None]]:
    """Yields every job when it has ended, and calls `tick` about twice a second meanwhile."""
    open_jobs = set(jobs)
    while open_jobs:
        ended, open_jobs = wait(open_jobs, timeout=0.5, return_when=FIRST_COMPLETED)
        tick()
        yield from ended


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


class _Counter:
    """Bytes received by all connections, and their rate since the start."""

    def __init__(self) -> None:
        self.begun, self.bytes, self.lock = time.monotonic(), 0, threading.Lock()

    def add(self, n: int) -> None:
        with self.lock:
            self.bytes += n

    def rate(self) -> str:
        return f"{self.bytes / 1e6 / max(time.monotonic() - self.begun, 1e-3):.2f} MB/s"


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("files {task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
