"""Texts of strangers on a terminal: no control character of a name or a file reaches it.

Escape sequences can clear what was said before, or say something else. Here they become visible.
"""

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LAYOUT = "\n\t"  # control characters that a text of several lines may have


def printable(text: str, keep: str = "") -> str:
    r"""Returns a text without control characters: "\x1b" (one character) becomes the four \, x, 1, b.

    Lone surrogates (names of files that are not UTF-8) and marks that turn the direction of writing count.

    Args:
        text: whatever stands in a file, or is the name of one.
        keep: characters that stay.
    """
    if text.isprintable():
        return text
    return "".join(one if _is_harmless(one) or one in keep else _escaped(one) for one in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


class _Escaping:
    """A stream for text whose control characters are escaped, line ends and tabs aside."""

    def __init__(self, stream: Any) -> None:
        # rich, whose own sequences move the cursor, writes to what it finds under this name.
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Writes the text; returns the length of what was given."""
        self.rich_proxied_file.write(printable(text, LAYOUT))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes some texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def escaping() -> Iterator[None]:
    """Inside, what is printed to stdout and stderr has no control characters.

    Bars and tables of rich need the console of `crlb.files.console`, which does the same with its texts.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Escaping(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def stream(name: str) -> Any:
    """Returns "stdout" or "stderr" itself, for what escapes its texts on its own."""
    found = getattr(sys, name)
    return getattr(found, "rich_proxied_file", found)
