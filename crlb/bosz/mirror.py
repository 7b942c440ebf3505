"""Where the archive's files come from: a server, or a folder on this machine."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from crlb.bosz.answer import WEB
from crlb.bosz.names import Node
from crlb.bosz.sizes import bytes_per_file
from crlb.errors import UsageError

MOST_TIMES, BESIDE = 4, 2**20  # bytes for each that a file is expected to have, and beside them


def local_mirror(mirror: str) -> Path | None:
    """Returns the folder of a mirror given as file:// or path, None for http(s).

    Raises:
        UsageError: it is neither an http(s) URL nor an existing folder.
    """
    try:
        parts = urlsplit(mirror)
        if parts.scheme in WEB and parts.hostname and parts.port != 0:
            return None
    except ValueError as error:
        raise UsageError(f"mirror must be a URL or a folder, found {mirror}: {error}") from error
    folder = Path(unquote(parts.path)) if parts.scheme == "file" else Path(mirror)
    if not folder.is_dir():
        raise UsageError(f"mirror must be an http(s) or file URL or an existing folder, found {mirror}")
    return folder


def local_file(node: Node, folder: Path) -> Path | None:
    """The file of a node in a local mirror, laid out as the archive or flat; None if there is none."""
    return next((path for path in (folder / node.path, folder / node.name) if path.is_file()), None)


def most_bytes(node: Node) -> int:
    """Bytes that a node's file may have: a few times what is expected."""
    return round(MOST_TIMES * bytes_per_file(node)) + BESIDE
