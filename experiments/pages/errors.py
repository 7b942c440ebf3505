"""The index of errors: what commands can say, by exit status, from the places that raise it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import crlb.errors
from experiments.tables.results import ROOT

PACKAGES = ("crlb", "specvit_jax")


class Message(NamedTuple):
    """What an error says; dots stand for what is known only then."""

    kind: str
    words: str
    place: str


def kinds() -> dict[str, type[BaseException]]:
    """Returns the documented errors by their names, the lowest exit status first."""
    found = {
        name: kind
        for name, kind in vars(crlb.errors).items()
        if isinstance(kind, type) and hasattr(kind, "exit_code")
    }
    return dict(sorted(found.items(), key=lambda pair: pair[1].exit_code))


def messages() -> list[Message]:
    """Returns what the packages raise, in the order of files; words that are built elsewhere are left out."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return [message for path in paths for message in _raised(path)]


def page() -> str:
    """Returns the index in Markdown."""
    said = messages()
    parts = [
        "# Error index",
        "One line on stderr, and the exit status. Search this page for words of the line; dots stand for "
        "what it names. What each status asks for: [exit codes](exit-codes.md).",
    ]
    for name, kind in kinds().items():
        doc = " ".join((kind.__doc__ or "").split())
        lines = [f"- {_plain(one.words)} ({one.place})" for one in said if one.kind == name]
        parts.append(f"## {kind.exit_code}: {name}\n\n{doc}")  # type: ignore[attr-defined]
        parts += ["\n".join(lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def _raised(path: Path) -> Iterator[Message]:
    known = kinds()
    place = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            name, words = ast.unparse(node.exc.func), _words(node.exc.args[0])
            if name in known and words.strip("… "):
                yield Message(name, words, place)


def _words(node: ast.expr) -> str:
    """The text of an expression; dots for what is not written there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _words(node.left) + _words(node.right)
    return "…"


def _plain(words: str) -> str:
    """Words that Markdown leaves as they are."""
    return "".join(
        f"\\{letter}" if letter in r"\`*_{}[]<>#|" else letter for letter in " ".join(words.split())
    )
