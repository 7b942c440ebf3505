"""YAML from anywhere: measured before it is built, so that no text of a few bytes becomes a giant."""

from collections.abc import Hashable
from dataclasses import dataclass

import yaml

from crlb.errors import DataError
from crlb.files.text_input import DEPTH, shown

MOST_BYTES = 2**20  # of a file of YAML
MOST_NODES = 20_000  # values, lists and mappings, those that aliases repeat counted again


class _SingleKeys:
    """What a loader adds: of keys that appear twice neither is taken."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[Hashable] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise DataError(f"a key must be one word, found a list or mapping{_place(key)}")
            if key.value in seen:
                raise DataError(f"key {shown(key.value)} appears twice; keep one")
            seen.add(key.value)
        found: dict[Hashable, object] = super().construct_mapping(node, deep=deep)  # type: ignore[misc]
        return found


class _TextLoader(_SingleKeys, yaml.BaseLoader):
    """Reads every scalar as text."""


class _PlainLoader(_SingleKeys, yaml.SafeLoader):
    """Reads scalars as YAML 1.1 has them; makes no objects but plain ones."""


def parse_yaml(text: str, as_text: bool = False) -> object:
    """Returns the content of a YAML text; nothing in it is run.

    Args:
        text: of one document.
        as_text: whether every scalar stays text, so that the reader decides (1e-4, on, 010).

    Raises:
        DataError: not YAML, larger than `MOST_BYTES`, `MOST_NODES` or `DEPTH` allow once its aliases are
            followed, a key that appears twice, or a value that its tag cannot have.
    """
    if len(text) > MOST_BYTES:
        raise DataError(f"YAML must have at most {MOST_BYTES:,} characters, found {len(text):,}")
    loader = _TextLoader if as_text else _PlainLoader
    try:
        _check_size(text)
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise DataError(f"must be YAML; {' '.join(str(error).split())[:300]}") from error
    except (ValueError, OverflowError) as error:  # of numbers and dates that there are not
        if isinstance(error, DataError):
            raise
        raise DataError(f"must be YAML; {str(error)[:100]}") from error


@dataclass
class _Open:
    """A list or mapping that is being read."""

    anchor: str | None
    nodes: int = 1
    height: int = 1  # of what is inside, itself included


def _check_size(text: str) -> None:
    """Walks over the text without building anything; an alias counts as all that it stands for."""
    known: dict[str, _Open] = {}
    stack = [_Open(None)]
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Open(event.anchor))
            closed = _Open(None, 0, 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            closed = _alias(known, event)
        elif isinstance(event, yaml.ScalarEvent):
            closed = _Open(event.anchor)
        else:
            continue
        if closed.anchor is not None:
            known[closed.anchor] = closed
        _add(stack, closed)


def _alias(known: dict[str, _Open], event: yaml.AliasEvent) -> _Open:
    found = known.get(event.anchor or "")
    if found is None:
        raise DataError(f"alias {shown(event.anchor)} has no anchor before it, or stands inside its own")
    return _Open(None, found.nodes, found.height)


def _add(stack: list[_Open], closed: _Open) -> None:
    """Counts what was closed to the innermost open one."""
    inner = stack[-1]
    inner.nodes += closed.nodes
    inner.height = max(inner.height, 1 + closed.height)
    if inner.nodes > MOST_NODES or len(stack) > DEPTH or inner.height > DEPTH:
        raise DataError(
            f"YAML must have at most {MOST_NODES:,} values and {DEPTH} levels, aliases followed, found more"
        )


def _place(node: yaml.Node) -> str:
    return f" in line {node.start_mark.line + 1}"
