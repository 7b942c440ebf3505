"""Results as text: tables and the sentences below them, the same on a screen and in a file."""

import math
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 110  # characters: of the longest line


def at_mag(mag: float) -> str:
    """Returns "mag 21.5, " for a title; nothing where the magnitude is not known (NaN)."""
    return "" if math.isnan(mag) else f"mag {mag:.6g}, "


def mag_cell(mag: float) -> str:
    """Returns a magnitude for a table, "-" where it is not known (NaN)."""
    return "-" if math.isnan(mag) else f"{mag:.6g}"


def text_of(*parts: "Table | str") -> str:
    """Returns tables and sentences one below the other, no colours, no line over `WIDTH`, none for ""."""
    from crlb.files.console import PlainConsole

    page = StringIO()
    console = PlainConsole(file=page, width=WIDTH, color_system=None)
    for part in parts:
        if part != "":
            console.print(part)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())
