"""Blocks of numbers in Markdown: where they stand in a text, and how words and tables are set in them."""

import posixpath
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from crlb.errors import DataError

WIDTH = 118  # of a line, before the indent of its block
BEGIN = re.compile(r"<!-- numbers: *(\S*) *-->")
BLOCK = re.compile(
    r"^(?P<indent> *)<!-- numbers: (?P<name>\S+) -->\n(?P<body>.*?)^ *<!-- end -->$", re.DOTALL | re.MULTILINE
)

LINK = re.compile(r"\]\((?!#|https?:)([^)\s]+)\)")


@dataclass(frozen=True)
class Rewritten:
    """A text with the numbers of today, and the names of the blocks that had others."""

    text: str
    changed: tuple[str, ...]


def rewrite(text: str, blocks: Mapping[str, Callable[[], str]]) -> Rewritten:
    """Returns a text with every block between `<!-- numbers: NAME -->` and `<!-- end -->` written anew.

    A block keeps the indent of its first comment, so that it can stand in an item of a list.

    Args:
        text: Markdown.
        blocks: content of the blocks by their names.

    Raises:
        DataError: a block has an unknown name, is not closed, or does not stand on lines of its own.
    """
    changed = []
    found = [match["name"] for match in BLOCK.finditer(text)]
    if found != (begun := BEGIN.findall(text)):
        lost = next(name for name in begun if begun.count(name) != found.count(name))
        raise DataError(f"block {lost!r} must stand on lines of its own and be closed by <!-- end -->")
    if unknown := [name for name in found if name not in blocks]:
        raise DataError(f"there is no block of numbers {unknown[0]!r}; known are {', '.join(blocks)}")

    def written(match: re.Match[str]) -> str:
        indent, name = match["indent"], match["name"]
        body = textwrap.indent(blocks[name]().strip() + "\n", indent)
        if body != match["body"]:
            changed.append(name)
        return f"{indent}<!-- numbers: {name} -->\n{body}{indent}<!-- end -->"

    return Rewritten(BLOCK.sub(written, text), tuple(changed))


def outside(text: str) -> str:
    """Returns the prose of a text: without blocks of numbers, code fences, code spans and addresses."""
    text = BLOCK.sub("", text)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)


def linked_from(folder: str, text: str) -> str:
    """Returns a text whose links to files of the tree, given from its top, are those from a folder of it."""
    return LINK.sub(lambda match: f"]({posixpath.relpath(match[1], folder)})", text)


def paragraph(words: str) -> str:
    """Returns words as lines of the width of the page."""
    return textwrap.fill(" ".join(words.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def items(points: Iterable[str]) -> str:
    """Returns a list of points, each wrapped."""
    return "\n".join(textwrap.indent(paragraph(point), "  ").replace(" ", "-", 1) for point in points)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)])


def fixed(number: float, digits: int, sign: bool = False) -> str:
    """Returns a number as people round it, half away from zero, with a true minus; never -0."""
    rounded = Decimal(repr(float(number))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded + 0:{'+' if sign else ''},f}".replace("-", "−")


def percent(share: float, digits: int = 0) -> str:
    """Returns a share in percent, without the sign of percent."""
    return fixed(100 * share, digits)


def span(numbers: Iterable[float], digits: int) -> str:
    """Returns the smallest and the largest of numbers, or the one that they round to."""
    ends = list(numbers)
    low, high = (fixed(end, digits) for end in (min(ends), max(ends)))
    return low if low == high else f"{low} to {high}"


def days(dates: Iterable[date]) -> str:
    """Returns the day of all results, or the first and the last of several."""
    found = sorted(set(dates))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
