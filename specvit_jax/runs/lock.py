"""One writer per run directory: a lock file that tells who writes, and whether he is still there.

``lock.json`` is created by its owner alone (O_EXCL) and refreshed while he lives. ``.lock`` is empty; whoever
reads, replaces or removes ``lock.json`` holds an flock on it for that moment, which the system gives back
even when a process is killed.
"""

import errno
import fcntl
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from crlb.errors import DataError, DiskError, MissingInputError, RunLocked, disk_refusal
from crlb.files.process import born, is_same, namespace
from crlb.files.records import Record
from crlb.files.text_input import read_json, shown

HEARTBEAT_S = 10.0  # between two refreshments of the lock
STALE_S = 120.0  # without a heartbeat after which an owner on another machine counts as dead
MOST_BYTES = 2**16  # of lock.json
LAST_S = 2.0**33  # s since 1970: the year 2242
# Of a file system that has none; two numbers for the same on macOS.
NO_FLOCK = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
LOCK_FILES = ("lock.json", ".lock")


@dataclass(frozen=True)
class Owner(Record):
    """Who holds a lock."""

    host: str
    pid: int
    namespace: str  # of the process id: containers may share a host's name
    born: int | None  # start of the process, as its system counts: a process id may be used again
    since: float  # s since 1970
    heartbeat: float  # s since 1970
    token: str  # of this one acquisition

    def is_here(self) -> bool:
        """Whether his process can be seen from this one."""
        return (self.host, self.namespace) == (socket.gethostname(), namespace())

    def is_gone(self) -> bool:
        """Whether he is known to be dead: his process ended, or nothing was heard of it for long."""
        if self.is_here():
            return not is_same(self.pid, self.born)
        return time.time() - self.heartbeat > STALE_S

    def __str__(self) -> str:
        ago = max(time.time() - self.heartbeat, 0)
        since = datetime.fromtimestamp(self.since, UTC).isoformat(" ", "seconds")
        return f"process {self.pid} on {self.host} since {since}, last heartbeat {ago:.0f} s ago"


def owner_of(folder: str | Path) -> Owner | None:
    """Who holds the lock of a folder, dead or alive; None: nobody."""
    path = Path(folder) / "lock.json"
    if not os.path.lexists(path):
        return None
    try:
        return _past(_sound(Owner.from_json(read_json(path, "lock", MOST_BYTES))), path)
    except (DataError, MissingInputError) as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):  # given back this moment
            return None
        # Killed between creating and writing it, damaged, or no file at all.
        return Owner("an unknown host", 0, "", None, *2 * (_changed(path),), "")


def _sound(owner: Owner) -> Owner:
    """The owner, if he can be one: numbers that the system knows, a name that can be printed.

    Raises:
        DataError: he cannot.
    """
    times = 0 <= owner.since < LAST_S and 0 <= owner.heartbeat < LAST_S
    if not (0 < owner.pid < 2**31 and times and owner.host.isprintable()):
        raise DataError(f"a lock must name a process of a host, found {shown(owner)}")
    return owner


def _past(owner: Owner, path: Path) -> Owner:
    """The owner; a heartbeat from the future is not believed: it counts from when the file was written."""
    return replace(owner, heartbeat=_changed(path)) if owner.heartbeat > time.time() else owner


def check_free(folder: str | Path) -> None:
    """Refuses a folder that somebody else is writing into.

    Raises:
        RunLocked: naming him.
    """
    owner = owner_of(folder)
    if owner is not None and not owner.is_gone():
        way_out = (
            "wait for it or stop it" if owner.is_here() else f"wait for it, or {STALE_S:.0f} s if it died"
        )
        raise RunLocked(f"{folder} is locked by {owner}; {way_out}")


class RunLock:
    """The lock of a folder, held from ``acquire`` to ``release``; use it in a ``with``."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.file = self.folder / "lock.json"
        self.token = secrets.token_hex(8)
        self.fresh = self.folder / f".lock.json.{self.token}"
        self.since, self.refreshed = time.time(), time.monotonic()  # clocks are set, the second one never
        self.lost = ""
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._keep, name=f"lock of {folder}", daemon=True)

    def acquire(self) -> "RunLock":
        """Takes the lock, also from an owner who died; a line on stderr says so.

        Raises:
            RunLocked: a living process holds it.
            DiskError: the disk refused it.
            OSError: the folder does not exist or cannot be written into.
        """
        with _alone(self.folder):
            check_free(self.folder)
            dead = owner_of(self.folder)
            if dead is not None:
                print(f"{self.folder}: lock taken over from {dead}", file=sys.stderr)
                self.file.unlink()
            self._create()
        self.thread.start()
        return self

    def release(self) -> None:
        """Gives the lock back; one that was lost is left to its new owner."""
        self.stop.set()
        self.thread.join()
        if not self.folder.is_dir():  # removed by somebody else, and the lock with it
            return
        with _alone(self.folder):
            self.fresh.unlink(missing_ok=True)
            if self._is_mine():
                self.file.unlink()

    def check(self) -> None:
        """Refuses to go on with a lock that was lost.

        Raises:
            RunLocked: somebody else has it, or it was removed.
            DiskError: it could not be refreshed for so long that others may take it.
        """
        if self.lost:
            raise RunLocked(self.lost)
        if time.monotonic() - self.refreshed > STALE_S:
            raise DiskError(
                f"cannot write {self.file} for {STALE_S:.0f} s; the disk is full or does not answer"
            )

    def __enter__(self) -> "RunLock":
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _create(self) -> None:
        try:
            descriptor = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:  # on a file system without flock two may come this far
            check_free(self.folder)
            raise RunLocked(
                f"{self.folder} was locked by another process this very moment; try again"
            ) from None
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(self._text())
        except OSError:  # disk full: what was written would lock the folder for nobody
            self.file.unlink()
            raise

    def _text(self) -> str:
        pid, now = os.getpid(), time.time()
        owner = Owner(socket.gethostname(), pid, namespace(), born(pid), self.since, now, self.token)
        return json.dumps(asdict(owner), indent=1) + "\n"

    def _is_mine(self) -> bool:
        owner = owner_of(self.folder)
        return owner is not None and owner.token == self.token

    def _keep(self) -> None:
        while not self.lost and not self.stop.wait(HEARTBEAT_S):
            try:
                self._refresh()
            except OSError as error:  # check() speaks up if this lasts
                if disk_refusal(error) is None and not isinstance(error, FileNotFoundError):
                    self.lost = f"the lock {self.file} cannot be kept: {error}"

    def _refresh(self) -> None:
        if not self.folder.is_dir():
            self.lost = f"{self.folder} was removed by somebody else; this run stops"
            return
        with _alone(self.folder):
            if not self._is_mine():
                new = owner_of(self.folder) or "nobody: it was removed"
                self.lost = f"{self.folder} was taken over by {new}; this run stops"
                return
            self.fresh.write_text(self._text())
            os.replace(self.fresh, self.file)
            self.refreshed = time.monotonic()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time is in here, where the file system has flock; where not, O_EXCL decides."""
    with (folder / ".lock").open("a") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
        yield


def _changed(path: Path) -> float:
    """When a file was written, s since 1970; 0 where it says that it will be."""
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:  # given back meanwhile
        return 0.0
    return written if written < time.time() + STALE_S else 0.0
