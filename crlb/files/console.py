"""The console of all tables and bars: texts are texts, without markup and without control characters."""

from typing import Any

from rich.console import Console
from rich.text import Text

from crlb.terminal import LAYOUT, printable, stream

WIDTH = 110  # characters, where the output is no terminal


class PlainConsole(Console):
    """A console of rich that takes strings as they are: "[/x]" is no markup, ESC becomes visible."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"markup": False, "emoji": False, "highlight": False} | options))

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns a string as rich shows it, control characters escaped."""
        return super().render_str(printable(text, LAYOUT), **options)


def console(stderr: bool = False, **options: Any) -> PlainConsole:
    """Returns a console on stdout or stderr, wide enough for tables also where that is no terminal."""
    file = stream("stderr" if stderr else "stdout")
    found = PlainConsole(file=file, **options)
    if not found.is_terminal:
        found.width = WIDTH
    return found
