"""The SHA-256 of their content that files of every kind keep: its name, and what is said of it."""

import re
from collections.abc import Mapping

from crlb.errors import DataError

CHECKSUM = "sha256"
DIGEST = re.compile(r"[0-9a-f]{64}")


def said_of(is_there: bool) -> str:
    """What is said of the checksum of a file that was read: it has one, which agreed, or it has none."""
    return "SHA-256 of the content agrees" if is_there else "no checksum in the file"


def check_name(texts: Mapping[str, object]) -> None:
    """Refuses a checksum that lies under another name: a byte of it flipped, and nothing would be compared.

    Args:
        texts: what a file says of itself, by name.

    Raises:
        DataError: there is no `sha256`, but what looks like one under a name as long.
    """
    if CHECKSUM in texts:
        return
    for name, text in texts.items():
        if len(name) == len(CHECKSUM) and isinstance(text, str) and DIGEST.fullmatch(text):
            raise DataError(
                f"its checksum has the name {name!r} instead of {CHECKSUM}: it is damaged; make or fetch it "
                "again"
            )
