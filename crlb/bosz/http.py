"""One file from a server or a local mirror: resumed with an HTTP Range, retried, checked, renamed."""

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from httpx import codes

from crlb.bosz.answer import CONNECT_S, Answer, Guard, length, opened, span, validators
from crlb.bosz.background import as_they_end
from crlb.bosz.mirror import local_file, local_mirror, most_bytes
from crlb.bosz.names import Node
from crlb.bosz.part import CHUNK, Part, check_size, finish, forget, part_path, pour, read_note, write_note
from crlb.bosz.sizes import bytes_per_file
from crlb.bosz.tries import (
    Failed,
    Hole,
    MayPass,
    NoAnswer,
    NoConnection,
    Refused,
    Settings,
    Stopped,
    Unreachable,
)
from crlb.files.text_input import shown

GONE = (404, 410)  # status: not found, gone for good
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # status: too early, too many requests, server in trouble
MAX_WAIT_S = 60.0  # before a file is tried again
PROBES = 3  # files asked for their size before a download starts
CONTACT_TRIES = 3  # to connect, before anything is fetched

Received = Callable[[int], None]


def probe_size(
    nodes: Sequence[Node], mirror: str, settings: Settings, tick: Callable[[], None], received: Received
) -> float:
    """Size of one file in bytes: of the first of `nodes` the mirror has, else a rough estimate.

    Args:
        nodes: whose files are wanted.
        mirror: where the archive's paths start, as in `download`.
        settings: how long to wait.
        tick: called about twice a second.
        received: called with 0 when the server answers.

    Raises:
        Unreachable: there is no connection to the mirror.
    """
    folder, asked = local_mirror(mirror), nodes[:PROBES]
    if folder is None:
        size = _asked_size([node.url(mirror) for node in asked], settings, tick, received)
    else:
        paths = (local_file(node, folder) for node in asked)
        size = next((path.stat().st_size for path in paths if path is not None), None)
    believed = size is not None and size <= most_bytes(nodes[0])
    return float(size) if size is not None and believed else bytes_per_file(nodes[0])


def _asked_size(
    urls: list[str], settings: Settings, tick: Callable[[], None], received: Received
) -> int | None:
    """The first size that the server knows."""
    stop = threading.Event()
    quick = replace(settings, timeout_s=min(settings.timeout_s, CONNECT_S))
    calls = [("size", partial(_first_size, urls, quick, stop, received))]
    with closing(as_they_end(calls, 1, stop, tick)) as jobs:
        return next(jobs)[1].result()


def _first_size(urls: list[str], settings: Settings, stop: threading.Event, received: Received) -> int | None:
    for url in urls:
        try:
            size = _announced_size(url, settings, stop, received)
        except NoAnswer:
            return None  # the download itself will say what is wrong
        except (MayPass, Refused, Stopped):
            continue  # likewise
        if size is not None:
            return size
    return None


def _announced_size(url: str, settings: Settings, stop: threading.Event, received: Received) -> int | None:
    tries = min(settings.retries + 1, CONTACT_TRIES)
    for attempt in range(tries):
        try:
            with opened(url, Guard(settings, 0, stop), {}, "HEAD") as answer:
                received(0)
                return length(answer) if answer.status_code == codes.OK else None
        except NoConnection as error:
            reason = str(error)
        if attempt + 1 < tries:
            _wait(attempt, settings, stop)
    raise Unreachable(f"{reason} (tried {tries} times)")


def _wait(attempt: int, settings: Settings, stop: threading.Event) -> None:
    stop.wait(min(settings.backoff_s * 2.0 ** min(attempt, 30), MAX_WAIT_S))


def fetch(
    node: Node, mirror: str, folder: Path, settings: Settings, stop: threading.Event, received: Received
) -> None:
    """Puts the file of a node into the folder, whole.

    Args:
        node: the node whose file is wanted.
        mirror: where the archive's paths start, as in `download`.
        folder: where the file goes.
        settings: how long to wait, and how often to try again.
        stop: when set, the transfer ends soon and keeps its part.
        received: called with the number of bytes of every chunk, and with 0 when an answer begins.

    Raises:
        Hole: the mirror does not have the file.
        Failed: all tries failed; Unreachable: the server did not answer.
        Refused: the server says that it will not give the file, or sends what is none.
        Stopped: `stop` was set.
        OutputError, DiskError: the disk refused.
    """
    target, source = folder / node.name, local_mirror(mirror)
    for attempt in range(settings.retries + 1):
        if stop.is_set():
            raise Stopped("stopped")
        try:
            if source is None:
                _transfer(node, node.url(mirror), target, Guard(settings, most_bytes(node), stop), received)
            else:
                _copy(node, source, target, stop, received)
            return
        except MayPass as error:
            kind = Unreachable if isinstance(error, NoAnswer) else Failed
            reason = str(error)
        if attempt < settings.retries:
            _wait(attempt, settings, stop)
    raise kind(f"{reason} (tried {settings.retries + 1} times)")


def _copy(node: Node, folder: Path, target: Path, stop: threading.Event, received: Received) -> None:
    received(0)
    source, part = local_file(node, folder), part_path(target)
    if source is None:
        raise Hole
    size, most = source.stat().st_size, most_bytes(node)
    check_size(size, most)
    try:
        file = source.open("rb")
    except OSError as error:
        raise Refused(f"cannot read {source}: {error.strerror}") from error
    with file:
        pour(iter(partial(file.read, CHUNK), b""), part, False, most, stop, received)
    finish(part, target, size)


def _transfer(node: Node, url: str, target: Path, guard: Guard, received: Received) -> None:
    part, most = part_path(target), most_bytes(node)
    known = read_note(part, url)
    start = part.stat().st_size if known is not None and part.exists() else 0
    if known is not None and known.size == start and start > 0:
        finish(part, target, known.size)
        return
    headers = {}
    if start and known is not None and known.validator:
        headers = {"Range": f"bytes={start}-", "If-Range": known.validator}
    with opened(url, guard, headers) as answer:
        received(0)
        goes_on = answer.status_code == codes.PARTIAL_CONTENT
        if not goes_on:
            _judge(answer, part)
        now = _describe(url, answer)
        if goes_on and not _continues(answer, start, known, now):
            forget(part)
            raise MayPass("the file changed on the server")
        check_size(now.size or 0, most)
        if not goes_on:
            write_note(part, now)
        pour(answer.iter_raw(), part, goes_on, most, guard.stop, received)
    finish(part, target, now.size)


def _describe(url: str, answer: Answer) -> Part:
    size = length(answer)
    if answer.status_code == codes.PARTIAL_CONTENT:
        size = (span(answer) or (0, None))[1]
    return Part(url, size, *validators(answer))


def _continues(answer: Answer, start: int, known: Part | None, now: Part) -> bool:
    """Whether a 206 answer is the rest of the very file the part is of."""
    found = span(answer)
    return known is not None and found is not None and found[0] == start and now == known


def _judge(answer: Answer, part: Path) -> None:
    """Raises what an HTTP status other than success means."""
    if answer.status_code == codes.OK:
        return
    if answer.status_code in GONE:
        raise Hole
    said = f"the server answers {answer.status_code} {shown(answer.reason_phrase)[1:-1]}"
    if answer.status_code == codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        forget(part)
    elif answer.status_code not in TRANSIENT:
        raise Refused(said)
    raise MayPass(said)
