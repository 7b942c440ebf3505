"""What every setting of a run means, read from the docstrings of `specvit_jax.settings.config`."""

import ast
import inspect
import re
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin, get_type_hints

from crlb.files.records import Json, Record, plain
from specvit_jax.settings import config
from specvit_jax.settings.config import Config

SECTIONS = ("model", "train", "data")
UNIT = re.compile(r"\s*\[([^\]]+)\]$")  # at the end of a docstring


@dataclass(frozen=True)
class Setting(Record):
    """One setting.

    Args:
        name: with its section, as `--set` takes it.
        value: of the config that was asked about.
        kind: of the value, in words, or what it can be.
        unit: of the value; empty: none, or as the meaning says.
        meaning: in a sentence or two.
    """

    name: str
    value: Json
    kind: str
    unit: str
    meaning: str

    def text(self) -> str:
        """Name, value and unit in a line, the meaning in another."""
        value = " ".join(filter(None, (shown(self.value), self.unit)))
        return f"{self.name} = {value}\n    {self.meaning} ({self.kind})"


def described(of: Config) -> tuple[Setting, ...]:
    """All settings of a config, in its order."""
    return tuple(setting for section in SECTIONS for setting in _section(section, getattr(of, section)))


def _section(section: str, settings: Any) -> list[Setting]:
    hints, texts = get_type_hints(type(settings)), docstrings(type(settings).__name__)
    values = plain(asdict(settings))
    found = []
    for one in fields(settings):
        unit = UNIT.search(texts[one.name])
        meaning = UNIT.sub("", texts[one.name])
        value = values[one.name]
        found.append(
            Setting(f"{section}.{one.name}", value, kind(hints[one.name]), unit[1] if unit else "", meaning)
        )
    return found


def docstrings(name: str) -> dict[str, str]:
    """The docstring of every field of a class of `config`: the text that follows it."""
    tree = ast.parse(inspect.getsource(config))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    found = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            found[ast.unparse(field.target)] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def kind(hint: Any) -> str:
    """What a setting can be, in words."""
    args = get_args(hint)
    if get_origin(hint) is Literal:
        return ", ".join(args)
    if get_origin(hint) is tuple:
        return f"list of {args[0].__name__}" if args[-1] is Ellipsis else f"{len(args)} {args[0].__name__}"
    if type(None) in args:
        return f"{args[0].__name__} or null"
    return str(hint.__name__)


def shown(value: Json) -> str:
    """A value as `--set` takes it."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
