"""Conditions by name or from a file: YAML with the fields of `Conditions`; what is left out is known."""

import contextlib
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from crlb.errors import DataError, UsageError
from crlb.files.text_input import read_text, shown
from crlb.files.yaml_input import MOST_BYTES, parse_yaml
from crlb.observation.conditions import PRESETS, Conditions


def condition_file(name: str | Path) -> Path | None:
    """Returns the YAML file of conditions that is named; None: a preset (published, survey).

    Raises:
        UsageError: neither a preset nor a file.
    """
    if str(name) in PRESETS:
        return None
    path = Path(name)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"conditions must be {', '.join(PRESETS)} or a YAML file, found {name}")
    return path


def find_conditions(name: str | Path) -> Conditions:
    """Returns the conditions of a preset (published, survey) or of a YAML file.

    Raises:
        UsageError: neither a preset nor a file.
        MissingInputError: the file cannot be read.
        DataError: not text, not YAML, an unknown key, or a value that its field cannot have.
    """
    path = condition_file(name)
    if path is None:
        return PRESETS[str(name)]
    text = read_text(path, "conditions", MOST_BYTES)
    try:
        return parse_conditions(text)
    except (DataError, UsageError) as error:
        raise DataError(f"conditions {path}: {error}") from error


def name_of(conditions: Conditions) -> str:
    """Returns the name of the preset, or "own"."""
    return next((name for name, preset in PRESETS.items() if preset == conditions), "own")


def parse_conditions(text: str) -> Conditions:
    """Returns the conditions that a YAML text describes.

    Raises:
        DataError: not a mapping in YAML, an unknown key, or a value of another type.
        UsageError: a value out of range.
    """
    values = parse_yaml(text)
    known = [field.name for field in fields(Conditions)]
    if not isinstance(values, Mapping) or (set(values) - set(known)):
        odd = set(values) - set(known) if isinstance(values, Mapping) else ()
        found = ", ".join(sorted(map(str, odd)))[:300] or shown(values)
        raise DataError(f"needed a mapping with keys among {', '.join(known)}; found {found}")
    types = typing.get_type_hints(Conditions)
    return Conditions(**{name: _value(name, value, types[name]) for name, value in values.items()})


def _value(name: str, value: object, kind: object) -> typing.Any:
    """A value as its field's type; text is tried as a number, for YAML reads 1e-2 as text."""
    if kind is float:
        return _number(name, value)
    if kind is int:
        return _whole(name, value)
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 2):
        raise DataError(f"{name}: needed two numbers or null, found {shown(value)}")
    read = _whole if kind == tuple[int, int] | None else _number
    return (read(name, value[0]), read(name, value[1]))


def _whole(name: str, value: object) -> int:
    number = _number(name, value)
    if not number.is_integer():
        raise DataError(f"{name}: needed a whole number, found {shown(value)}")
    return int(number)


def _number(name: str, value: object) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float | str):
        with contextlib.suppress(ValueError, OverflowError):
            return float(value)
    raise DataError(f"{name}: needed a number, found {shown(value)}")
