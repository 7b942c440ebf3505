"""One answer of an HTTP server: bounded in time and bytes, redirected to web addresses only, checked."""

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from crlb.bosz.tries import MayPass, NoAnswer, NoConnection, Refused, Settings, Stopped
from crlb.files.text_input import shown

WEB = ("http", "https")
REDIRECTS = (301, 302, 303, 307, 308)  # status
MOST_REDIRECTS = 5
CONNECT_S = 10.0  # longest wait for a connection to one address of a server, and for its certificate
SLICE_S = 0.2  # between two looks at whether the download was stopped
BESIDE = 2**20  # bytes of headers and chunk marks, beside the content

Answer = httpx.Response
Read = Callable[..., bytes]  # (bytes at the most, timeout in s)


class Guard:
    """What a server may take of time and send of bytes.

    Args:
        settings: longest silence and least rate; only the time counts in which something is waited for.
        most: bytes of content.
        stop: when set, the next read raises `Stopped`.
    """

    def __init__(self, settings: Settings, most: int, stop: threading.Event) -> None:
        self.settings, self.stop = settings, stop
        self.left = most + BESIDE
        self.has_begun = False  # to answer; before that the server may think
        self.waited, self.got = 0.0, 0  # s and bytes, in this stretch of `timeout_s`

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Puts itself before the reading of a new connection; httpx calls it as the `trace` of a request."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            stream = info["return_value"]
            stream.read = partial(self.receive, stream.read)

    def receive(self, read: Read, most: int, timeout: float | None = None) -> bytes:
        """Returns what has come, at most so many bytes; none at the end. The time is that of the settings.

        Raises:
            TimeoutError: nothing came for too long, or too little.
            Refused: more came than may.
            Stopped: `stop` was set.
        """
        begun = time.monotonic()
        content = self._wait_for(partial(read, most), begun)
        self.left -= len(content)
        if self.left < 0:
            raise Refused("the server sends more bytes than any spectrum of this name has")
        self._check_rate(len(content), time.monotonic() - begun)
        return content

    def _wait_for(self, read: Read, begun: float) -> bytes:
        most = self.settings.timeout_s
        while not self.stop.is_set():
            with suppress(httpcore.ReadTimeout):
                return read(min(SLICE_S, most))
            if time.monotonic() - begun > most:
                raise TimeoutError(f"nothing came for {most:g} s")
        raise Stopped("stopped")

    def _check_rate(self, size: int, waited: float) -> None:
        least, stretch = self.settings.min_rate_Bps, self.settings.timeout_s
        if self.has_begun:
            self.waited, self.got = self.waited + waited, self.got + size
        self.has_begun = True
        if self.waited < stretch:
            return
        if size and self.got < least * self.waited:
            raise TimeoutError(f"less than {least:g} bytes/s came over {stretch:g} s")
        self.waited, self.got = 0.0, 0


@contextmanager
def opened(url: str, guard: Guard, headers: Mapping[str, str], method: str = "GET") -> Iterator[Answer]:
    """Yields the answer to a request, which is no redirect, before its content is read.

    Args:
        url: http or https.
        guard: bounds all reading, that of the content, too.
        headers: of the request.
        method: GET or HEAD.

    Raises:
        NoConnection: the server could not be reached.
        NoAnswer: it did not answer in time, or not in HTTP.
        Refused: its certificate is not trusted, or it redirects to what is not followed.
        Stopped: the guard was told to stop.
    """
    with _client(guard.settings) as client:
        request = _request(client, method, url, headers, guard)
        for _ in range(MOST_REDIRECTS + 1):
            with closing(_send(client, request)) as answer:
                if answer.next_request is None:
                    yield answer
                    return
                request = answer.next_request
    raise Refused(
        f"the server redirects more than {MOST_REDIRECTS} times, the last time to {_address(request)}"
    )


def _client(settings: Settings) -> httpx.Client:
    """One connection a request, so that each has its guard; content is not unpacked on the way."""
    try:
        return httpx.Client(
            verify=ssl.create_default_context(),
            timeout=min(settings.timeout_s, CONNECT_S),
            headers={"Accept-Encoding": "identity", "Connection": "close"},
            event_hooks={"response": [_check_redirect]},
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise Refused(f"the proxy that the environment names cannot be used: {error}") from error


def _request(
    client: httpx.Client, method: str, url: str, headers: Mapping[str, str], guard: Guard
) -> httpx.Request:
    try:
        return client.build_request(method, url, headers=headers, extensions={"trace": guard.watch})
    except httpx.InvalidURL as error:
        raise Refused(f"{shown(url)} is no usable address: {error}") from error


def _send(client: httpx.Client, request: httpx.Request) -> Answer:
    try:
        return client.send(request, stream=True)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        if isinstance(_cause(error), ssl.SSLCertVerificationError):
            raise Refused(f"the certificate of {_address(request)} is not trusted: {words(error)}") from error
        raise NoConnection(
            f"no connection to {shown(request.url.netloc.decode())}: {words(error)}"
        ) from error
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError, OverflowError) as error:
        raise Refused(f"{_address(request)} is no usable address: {error}") from error
    except (OSError, httpx.TransportError) as error:
        raise NoAnswer(f"no answer: {words(error)}") from error


def _address(request: httpx.Request) -> str:
    return shown(str(request.url))


def _cause(error: BaseException) -> BaseException:
    """The error of the system that lies below one of httpx."""
    below = error.__cause__ or error.__context__
    return error if below is None else _cause(below)


def words(error: BaseException) -> str:
    """Returns what an error of the network says, as bounded text."""
    cause = _cause(error)
    return ((isinstance(cause, OSError) and cause.strerror) or str(cause) or type(cause).__name__)[:300]


def _check_redirect(answer: Answer) -> None:
    """Refuses an answer that leads elsewhere than to http(s), or from https to http."""
    if answer.status_code not in REDIRECTS:
        return
    place = answer.headers.get("Location", "")
    try:
        target, _ = answer.url.join(place), urlsplit(place).port  # which knows more of ports and brackets
    except (ValueError, httpx.InvalidURL) as error:
        raise Refused(f"the server redirects to {shown(place)}, which is no address: {error}") from error
    is_downgrade = (answer.url.scheme, target.scheme) == ("https", "http")
    if not place or target.scheme not in WEB or not target.host or is_downgrade:
        raise Refused(
            f"the server redirects to {shown(place)}, which is not followed: only http(s) is, and from https "
            "only https"
        )


def length(answer: Answer) -> int | None:
    """Bytes of content that an answer announces; None if it does not.

    Raises:
        MayPass: what it announces is no number of bytes.
    """
    found = answer.headers.get("Content-Length")
    if found is None or "Transfer-Encoding" in answer.headers:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", found.strip()):
        raise MayPass(f"the server announces an impossible Content-Length: {shown(found[:60])}")
    return int(found)


def span(answer: Answer) -> tuple[int, int] | None:
    """First byte and size of the file whose end an answer says that it holds; None if it does not."""
    found = re.fullmatch(
        r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", answer.headers.get("Content-Range", "").strip()
    )
    if found is None:
        return None
    first, last, size = map(int, found.groups())
    return (first, size) if first <= last == size - 1 else None


def validators(answer: Answer) -> tuple[str | None, str | None]:
    """ETag and date of a file, each None if it is not there or could not be sent back."""
    etag, modified = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
    return (
        etag if re.fullmatch(r'(W/)?"[!#-~]{1,200}"', etag) else None,
        modified if re.fullmatch(r"[ -~]{1,60}", modified) else None,
    )
