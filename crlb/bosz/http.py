"""One file from a server or a local mirror: resumed with an HTTP Range, retried, checked, renamed."""

import http.client
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from crlb.bosz.names import Node
from crlb.bosz.part import MayPass, Part, finish, forget, part_path, read_note, write_note
from crlb.bosz.sizes import bytes_per_file
from crlb.errors import UsageError
from crlb.files.output import writing

CHUNK = 1 << 16  # bytes
GONE = (404, 410)  # status: not found, gone for good
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # status: too early, too many requests, server in trouble
MAX_WAIT_S = 60.0  # before a file is tried again
MOST_TIMES, BESIDE = 4, 2**20  # bytes for each that a file is expected to have, and beside them
PROBES = 3  # files asked for their size before a download starts


@dataclass(frozen=True)
class Settings:
    """How long a server is waited for, and how often a file is tried again.

    Args:
        retries: further tries after a failure that may pass.
        timeout_s: longest silence of the server, s.
        backoff_s: wait before the first retry, s; doubles with every further one, up to a minute.
    """

    retries: int = 5
    timeout_s: float = 30.0
    backoff_s: float = 1.0

    def __post_init__(self) -> None:
        if self.retries < 0 or self.timeout_s <= 0 or self.backoff_s < 0:
            raise UsageError(f"retries and backoff_s must not be negative, timeout_s positive, found {self}")


class Hole(Exception):
    """The archive has no such file."""


class Failed(Exception):
    """A file could not be fetched."""


class Refused(Exception):
    """The server does not give a file, and will not if it is asked again."""


class Stopped(Exception):
    """The download was stopped; the part is kept."""


def local_mirror(mirror: str) -> Path | None:
    """Returns the folder of a mirror given as file:// or path, None for http(s).

    Raises:
        UsageError: it is neither an http(s) URL nor an existing folder.
    """
    scheme = urlsplit(mirror).scheme
    if scheme in ("http", "https"):
        return None
    folder = Path(unquote(urlsplit(mirror).path)) if scheme == "file" else Path(mirror)
    if not folder.is_dir():
        raise UsageError(f"mirror must be an http(s) or file URL or an existing folder, found {mirror}")
    return folder


def _local_file(node: Node, folder: Path) -> Path | None:
    return next((path for path in (folder / node.path, folder / node.name) if path.is_file()), None)


def probe_size(nodes: Sequence[Node], mirror: str, settings: Settings) -> float:
    """Size of one file in bytes: of the first of `nodes` the mirror has, else a rough estimate."""
    folder = local_mirror(mirror)
    for node in nodes[:PROBES]:
        if folder is not None:
            path = _local_file(node, folder)
            size = None if path is None else path.stat().st_size
        else:
            size = _announced_size(node.url(mirror), settings)
        if size is not None:
            return float(size)
    return bytes_per_file(nodes[0])


def _announced_size(url: str, settings: Settings) -> int | None:
    try:
        with urlopen(Request(url, method="HEAD"), timeout=settings.timeout_s) as answer:
            return _integer(answer.headers.get("Content-Length"))
    except HTTPError as error:
        error.close()
        return None
    except (OSError, http.client.HTTPException):
        return None  # the download itself will say what is wrong


def fetch(
    node: Node,
    mirror: str,
    folder: Path,
    settings: Settings,
    stop: threading.Event,
    received: Callable[[int], None],
) -> None:
    """Puts the file of a node into the folder, whole.

    Args:
        node: the node whose file is wanted.
        mirror: where the archive's paths start, as in `download`.
        folder: where the file goes.
        settings: how long to wait, and how often to try again.
        stop: when set, the transfer ends soon and keeps its part.
        received: called with the number of bytes of every chunk.

    Raises:
        Hole: the mirror does not have the file.
        Failed: all tries failed.
        Refused: the server says that it will not give the file.
        Stopped: `stop` was set.
        OutputError, DiskError: the disk refused.
    """
    target, source = folder / node.name, local_mirror(mirror)
    for attempt in range(settings.retries + 1):
        if stop.is_set():
            raise Stopped("stopped")
        try:
            if source is None:
                _transfer(node, mirror, target, settings, stop, received)
            else:
                _copy(_local_file(node, source), target, received)
            return
        except MayPass as error:
            reason = str(error)
        if attempt < settings.retries:
            stop.wait(min(settings.backoff_s * 2**attempt, MAX_WAIT_S))
    raise Failed(f"{reason} (tried {settings.retries + 1} times)")


def _copy(source: Path | None, target: Path, received: Callable[[int], None]) -> None:
    if source is None:
        raise Hole
    part = part_path(target)
    with writing(part):
        shutil.copyfile(source, part)
    received(part.stat().st_size)
    finish(part, target, source.stat().st_size)


def most_bytes(node: Node) -> int:
    """Bytes that a node's file may have: a few times what is expected."""
    return round(MOST_TIMES * bytes_per_file(node)) + BESIDE


def _transfer(
    node: Node,
    mirror: str,
    target: Path,
    settings: Settings,
    stop: threading.Event,
    received: Callable[[int], None],
) -> None:
    url, most = node.url(mirror), most_bytes(node)
    part = part_path(target)
    known = read_note(part, url)
    start = part.stat().st_size if known is not None and part.exists() else 0
    if known is not None and known.size == start and start > 0:
        finish(part, target, known.size)
        return
    headers = {}
    if start and known is not None and known.validator:
        headers = {"Range": f"bytes={start}-", "If-Range": known.validator}
    try:
        with urlopen(Request(url, headers=headers), timeout=settings.timeout_s) as answer:
            now = _describe(url, answer)
            goes_on = answer.status == http.client.PARTIAL_CONTENT
            if goes_on and not _continues(answer, start, known, now):
                forget(part)
                raise MayPass("the file changed on the server")
            _check_size(now.size or 0, most)
            if not goes_on:
                write_note(part, now)
            _pour(answer, part, goes_on, most, stop, received)
    except HTTPError as error:
        _judge(error, part)
    except (URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise MayPass(f"{type(error).__name__}: {error}") from error
    finish(part, target, now.size)


def _describe(url: str, answer: http.client.HTTPResponse) -> Part:
    total = answer.headers.get("Content-Length")
    if answer.status == http.client.PARTIAL_CONTENT:
        total = (answer.headers.get("Content-Range") or "").rpartition("/")[2]
    return Part(url, _integer(total), answer.headers.get("ETag"), answer.headers.get("Last-Modified"))


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 20 else None


def _continues(answer: http.client.HTTPResponse, start: int, known: Part | None, now: Part) -> bool:
    """Whether a 206 answer is the rest of the very file the part is of."""
    first = (answer.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")[0]
    return known is not None and _integer(first) == start and now == known


def _pour(
    answer: http.client.HTTPResponse,
    part: Path,
    append: bool,
    most: int,
    stop: threading.Event,
    received: Callable[[int], None],
) -> None:
    """Appends what the server sends; read1 hands on what has come, so that little is lost by a kill."""
    with writing(part), part.open("ab" if append else "wb") as file:
        while chunk := _receive(answer):
            _check_size(file.tell() + len(chunk), most)
            file.write(chunk)
            file.flush()
            received(len(chunk))
            if stop.is_set():
                raise Stopped("stopped")


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Refused(f"the server sends more than {most:,} bytes, which no spectrum of this name has")


def _receive(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise MayPass(f"connection lost: {error or type(error).__name__}") from error


def _judge(error: HTTPError, part: Path) -> None:
    """Raises what an HTTP status means."""
    error.close()
    if error.code in GONE:
        raise Hole from error
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        forget(part)
    elif error.code not in TRANSIENT:
        raise Refused(f"the server answers {error.code} {error.reason}") from error
    raise MayPass(f"the server answers {error.code} {error.reason}") from error
