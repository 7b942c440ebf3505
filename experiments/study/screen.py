"""Numbers on a screen of 80 columns: what a study prints when it is done; its table.md has them all."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from crlb.files.console import console

WIDTH = 80  # characters
Cells = Sequence[float | None]


def by_bin(title: str, bins: Sequence[str], n: Sequence[int], rows: Mapping[str, Cells]) -> Table:
    """A row for the stars of every bin in SNR, then one for every method.

    Args:
        title: of the table.
        bins: "low-high" of every bin, and what else is a column.
        n: stars in each.
        rows: method -> its number in every bin; None: too few stars.
    """
    out = Table(title=title, box=box.SIMPLE, padding=0, pad_edge=False, collapse_padding=True)
    out.add_column("SNR per pixel")
    for one in bins:
        out.add_column(one, justify="right", no_wrap=True)
    out.add_row("stars", *map(str, n))
    for name, cells in rows.items():
        out.add_row(name, *("-" if value is None else f"{value:.3f}" for value in cells))
    return out


def text_of(*tables: Table) -> str:
    """Tables as lines of at most `WIDTH` characters, without colours."""
    page = console(width=WIDTH, force_terminal=False, no_color=True)
    page.width = WIDTH
    with page.capture() as captured:
        for table in tables:
            page.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
