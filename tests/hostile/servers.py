"""Servers that break the rules of HTTP, each in one way: functions that answer one request on a socket."""

import gzip
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.crlb.bosz.file_server import fits

Reply = Callable[[socket.socket, str], None]

PACKED = gzip.compress(random.Random(1).randbytes(60_000), 1, mtime=0)
PLAIN = fits(9, b"1")
OK, TAG = "HTTP/1.1 200 OK", 'ETag: "v1"'
PAUSE_S = 0.02


def head(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def said(*lines: str, body: bytes = b"") -> Reply:
    """Says this and closes the connection."""
    return lambda peer, request: peer.sendall(head(*lines) + body)


def whole(content: bytes, *lines: str) -> Reply:
    return said(OK, TAG, f"Content-Length: {len(content)}", *lines, body=content)


def redirect(place: str, status: int = 302) -> Reply:
    return said(f"HTTP/1.1 {status} Found", f"Location: {place}")


def silent(*lines: str) -> Reply:
    """Says this, and then nothing until the client goes."""

    def reply(peer: socket.socket, request: str) -> None:
        peer.sendall(head(*lines) if lines else b"")
        peer.recv(1)

    return reply


def trickled(content: bytes, *lines: str, piece: int = 1) -> Reply:
    """Says this, and then so many bytes at a time."""

    def reply(peer: socket.socket, request: str) -> None:
        peer.sendall(head(*lines) if lines else b"")
        for at in range(0, len(content), piece):
            peer.sendall(content[at : at + piece])
            time.sleep(PAUSE_S)

    return reply


def endless(piece: bytes, *lines: str) -> Reply:
    """Says this, and then the same for ever."""

    def reply(peer: socket.socket, request: str) -> None:
        peer.sendall(head(*lines) if lines else b"")
        many = piece * (1 + 2**15 // len(piece))
        while True:
            peer.sendall(many)

    return reply


def reset(content: bytes) -> Reply:
    """Sends half, and then a reset instead of an end."""

    def reply(peer: socket.socket, request: str) -> None:
        peer.sendall(head(OK, TAG, f"Content-Length: {len(content)}") + content[: len(content) // 2])
        time.sleep(0.1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return reply


def dropping(content: bytes, then: Reply, *lines: str) -> Reply:
    """Breaks off half-way, and answers a request for the rest in another way."""
    half = said(OK, *(lines or (TAG,)), f"Content-Length: {len(content)}", body=content[: len(content) // 2])
    return lambda peer, request: (then if "Range:" in request else half)(peer, request)


def rest(content: bytes, where: str, *lines: str) -> Reply:
    """The second half, with this Content-Range."""
    body = content[len(content) // 2 :]
    length = f"Content-Length: {len(body)}"
    return said("HTTP/1.1 206 Partial", f"Content-Range: {where}", length, *(lines or (TAG,)), body=body)


def honest(content: bytes) -> Reply:
    """Gives the file, or the rest of it."""

    def reply(peer: socket.socket, request: str) -> None:
        asked = request.partition("Range: bytes=")[2].partition("-")[0]
        if not asked or 'If-Range: "v1"' not in request:
            whole(content)(peer, request)
            return
        start = int(asked)
        where = f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}"
        length = f"Content-Length: {len(content) - start}"
        said("HTTP/1.1 206 Partial", TAG, where, length, body=content[start:])(peer, request)

    return reply


class Server:
    """Answers every request on 127.0.0.1 as `reply` does, which may be changed."""

    def __init__(self, reply: Reply, tls: ssl.SSLContext | None) -> None:
        self.reply, self.tls, self.requests = reply, tls, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.socket.getsockname()[1]}"

    def serve(self) -> None:
        """Takes connections until its socket is closed."""
        with suppress(OSError):
            while True:
                peer = self.socket.accept()[0]
                threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with ExitStack() as stack, suppress(OSError):  # the client has gone
            stack.enter_context(peer)
            peer.settimeout(20)
            if self.tls is not None:
                peer = stack.enter_context(self.tls.wrap_socket(peer, server_side=True))
            request = peer.recv(2**16).decode("latin-1")
            self.requests += 1
            self.reply(peer, request)


@contextmanager
def serving(reply: Reply, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(reply, tls)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.socket.shutdown(socket.SHUT_RDWR)
        server.socket.close()
        thread.join()
