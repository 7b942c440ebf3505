"""A server of files on 127.0.0.1 that can be slow, drop connections, lie and fail, as asked."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class FileServer(ThreadingHTTPServer):
    """Answers from `files` (path -> bytes); `script` (path -> actions) bends the next GETs of a path.

    Actions: a status such as 500; "drop" closes the connection after half; "slow" sends small pieces;
    "silent" says nothing for a while; "anew" ignores Range, "naive" If-Range.
    """

    daemon_threads = True
    pause_s = 0.05
    hang_s = 1.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = defaultdict(lambda: '"v1"')
        self.script: dict[str, list] = defaultdict(list)
        self.requests: list[tuple[str, str | None, int]] = []  # path, Range, bytes sent

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def ranges(self, path: str) -> list[str | None]:
        return [asked for name, asked, _ in self.requests if name == path]

    def handle_error(self, request, client_address) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, *args) -> None:
        pass

    def do_HEAD(self) -> None:
        path = unquote(self.path[1:])
        self.send_response(200 if path in self.server.files else 404)
        self.send_header("Content-Length", str(len(self.server.files.get(path, b""))))
        self.end_headers()

    def do_GET(self) -> None:
        path = unquote(self.path[1:])
        script = self.server.script[path]
        action = script.pop(0) if script else None
        if isinstance(action, int) or path not in self.server.files:
            self.server.requests.append((path, self.headers.get("Range"), 0))
            self.send_response(action or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(path, action)

    def _send(self, path: str, action: str | None) -> None:
        content, etag = self.server.files[path], self.server.etags[path]
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        changed = self.headers.get("If-Range", etag) != etag
        if action == "anew" or (changed and action != "naive"):
            start = 0
        if action == "silent":
            time.sleep(self.server.hang_s)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", etag)
        self.end_headers()
        body = content[start:]
        body = body[: len(body) // 2] if action == "drop" else body
        self.server.requests.append((path, asked, len(body)))
        piece = max(1, len(content) // 50) if action == "slow" else len(body)
        for at in range(0, len(body), max(piece, 1)):
            self.wfile.write(body[at : at + piece])
            self.wfile.flush()
            if action == "slow":
                time.sleep(self.server.pause_s)


def fits(blocks: int, fill: bytes = b"\0") -> bytes:
    """A FITS file of a header and data of one byte over and over; a download looks at sizes only."""
    size = blocks * 2880
    cards = ("SIMPLE  =                    T", "BITPIX  = 8", "NAXIS   = 1", f"NAXIS1  = {size}", "END")
    return b"".join(card.ljust(80).encode() for card in cards).ljust(2880) + size * fill


@contextmanager
def serving() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
