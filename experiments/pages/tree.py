"""Where a file of the tree stands on the site, and links between files as links between pages.

README.md is the first page, what lies below docs/ keeps its place, the table of an experiment becomes the
page `results/NAME.md`, and every other file that a page links to is taken along below `tree/`.
"""

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from experiments.tables.results import ROOT

FENCE = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[(?P<words>[^\[\]]*)\]\((?!#|https?:)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
TABLE = re.compile(r"results/(\w+)/table\.md")
PAGES = "docs/"


def address(place: str) -> str:
    """Returns where a file of the tree stands on the site.

    Args:
        place: its path from the top of the tree.
    """
    if place == "README.md":
        return "index.md"
    if place.startswith(PAGES):
        return place.removeprefix(PAGES)
    table = TABLE.fullmatch(place)
    return f"results/{table[1]}.md" if table else f"tree/{place}"


def targets(text: str, place: str) -> list[str]:
    """Returns the files of the tree that a page links to, by their paths from the top.

    Args:
        text: Markdown.
        place: path of the page from the top of the tree.
    """
    prose = FENCE.sub("", text)
    found = (_target(match["target"], place) for match in LINK.finditer(prose))
    return [target for target in found if (ROOT / target).is_file()]


def linked(text: str, place: str) -> str:
    """Returns a page with its links as they are on the site; those to folders become words.

    Args:
        text: Markdown.
        place: path of the page from the top of the tree.
    """
    folder = posixpath.dirname(address(place))

    def on_site(match: re.Match[str]) -> str:
        target = _target(match["target"], place)
        if (ROOT / target).is_dir():
            return match["words"]
        return (
            f"[{match['words']}]({posixpath.relpath(address(target), folder or '.')}{match['anchor'] or ''})"
        )

    return "".join(
        part if part.lstrip().startswith("```") else LINK.sub(on_site, part) for part in FENCE.split(text)
    )


def reached(places: Iterable[str]) -> dict[str, str | Path]:
    """Returns what lies outside docs and is linked to from pages, or from what these link to.

    Args:
        places: pages to begin with, by their paths from the top of the tree.

    Returns:
        Text of pages, and paths of all other files, by their paths from the top of the tree.
    """
    found: dict[str, str | Path] = {}
    waiting = list(places)
    seen = set(waiting)
    while waiting:
        place = waiting.pop()
        path = ROOT / place
        content = content_of(place) if path.suffix == ".md" else path
        if not place.startswith(PAGES):
            found[place] = content
        new = [one for one in targets(content, place) if one not in seen] if isinstance(content, str) else []
        seen.update(new)
        waiting.extend(new)
    return found


def content_of(place: str) -> str:
    """Returns the text of a page; the table of an experiment gets its title, its question and its figure."""
    text = (ROOT / place).read_text(encoding="utf-8")
    table = TABLE.fullmatch(place)
    if not table:
        return text
    from experiments.pages.results import heading

    return f"{heading(table[1])}\n\n{text}"


def _target(target: str, place: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
