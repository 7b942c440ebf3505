"""Results as JSON: frozen dataclasses to plain values and back, numbers that are not finite included.

JSON has no NaN and no infinity. They are written as null, and the key `not_finite` at the top says what each
of them stands for: a long computation never ends in a refusal to write, and reading gives back the numbers:

    {"bound": null, "not_finite": {"bound": "inf"}}
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import cattrs
import cattrs.gen
import numpy as np

from crlb.errors import DataError
from crlb.files.output import new_file

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
else:
    Json = Any  # a type that holds itself cannot be checked while running

R = TypeVar("R", bound="Record")
NOT_FINITE = "not_finite"
# Metadata of a field that is left out of the JSON where it is None: field(default=None, metadata=ABSENT).
ABSENT: Mapping[str, bool] = {"absent": True}
# Metadata of at most one field, a mapping, a record or None: in the JSON its entries stand beside the other
# fields, not under its name. Where there are none and the field has a default, it has that.
INLINE: Mapping[str, bool] = {"inline": True}


class Record:
    """A frozen dataclass that can be written as JSON and read back; fields are plain, records or arrays."""

    def to_json(self) -> dict[str, Json]:
        """Returns the fields as plain JSON values; null where not finite, and why under `not_finite`."""
        return plain(self)

    @classmethod
    def from_json(cls: type[R], values: Mapping[str, Json]) -> R:
        """Returns the record that `to_json` gave.

        Raises:
            DataError: a field is missing, unknown or of another type; each is named.
        """
        if not isinstance(values, Mapping):
            raise DataError(f"a {cls.__name__} must be a JSON object, found {type(values).__name__}")
        restored = {key: value for key, value in _restored(values).items() if key != NOT_FINITE}
        try:
            return _converter().structure(restored, cls)
        except cattrs.BaseValidationError as error:
            words = "; ".join(cattrs.transform_error(error, path=cls.__name__))
            raise DataError(f"this is not a {cls.__name__} as it is written: {words}") from error


def plain(value: object) -> dict[str, Json]:
    """Returns a record, or a mapping that holds records, arrays and numbers, as plain JSON values.

    Numbers that are not finite become null; `not_finite` names each of them ("bins/0/bound": "inf").
    """
    words: dict[str, str] = {}
    found = _finite(_converter().unstructure(value), "", words)
    assert isinstance(found, dict)
    return found | {NOT_FINITE: dict(words)} if words else found


def json_text(value: Record | Mapping[str, object] | Sequence[object]) -> str:
    """Returns a record, a mapping that holds some, or a list of either as JSON, ready for a file or a pipe.

    In a list every entry has its own `not_finite`.
    """
    found = [plain(one) for one in value] if isinstance(value, Sequence) else plain(value)
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)


def write_json(
    value: Record | Mapping[str, object] | Sequence[object], path: str | Path, overwrite: bool = False
) -> None:
    """Writes a record, a mapping that holds some, or a list of either as JSON, whole or not at all.

    Raises:
        OutputError: the file exists, or cannot be created.
        DiskError: the disk is full, read-only or failing.
    """
    text = json_text(value)
    with new_file(path, overwrite) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook_func(_is_array, lambda array: np.asarray(array).tolist())
    converter.register_structure_hook_func(_is_array, _array)
    for kind, allowed in ((str, str), (bool, bool), (int, int), (float, (int, float))):
        converter.register_structure_hook(kind, _only(kind, allowed))
    converter.register_unstructure_hook(np.generic, lambda number: number.item())
    converter.register_unstructure_hook(Path, str)
    converter.register_unstructure_hook_factory(
        lambda kind: bool(_left_out(kind)),
        lambda kind: cattrs.gen.make_dict_unstructure_fn(kind, converter, **_left_out(kind)),
    )
    inlines = lambda kind: bool(_fields_with(kind, INLINE))  # noqa: E731
    converter.register_unstructure_hook_factory(inlines, lambda kind: _inlining(kind, converter))
    converter.register_structure_hook_factory(inlines, lambda kind: _gathering(kind, converter))
    return converter


def _fields_with(kind: object, metadata: Mapping[str, bool]) -> "list[Field[Any]]":
    """The fields of a record that have this metadata."""
    if not (isinstance(kind, type) and issubclass(kind, Record) and is_dataclass(kind)):
        return []
    return [one for one in fields(kind) if one.metadata == metadata]


def _left_out(kind: object) -> dict[str, Any]:
    """The fields of a record that are left out of the JSON where they are None."""
    leave_out = cattrs.override(omit_if_default=True)
    return {one.name: leave_out for one in _fields_with(kind, ABSENT)}


def _inlining(kind: type, converter: cattrs.Converter) -> Callable[[object], dict[str, object]]:
    """How a record becomes a mapping in which the entries of its INLINE field stand beside the others."""
    (inline,) = _fields_with(kind, INLINE)
    nested: Callable[[object], dict[str, Any]] = cattrs.gen.make_dict_unstructure_fn(
        kind, converter, **_left_out(kind)
    )

    def unstructure(record: object) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value in nested(record).items():
            found |= (value or {}) if name == inline.name else {name: value}
        return found

    return unstructure


def _gathering(kind: type, converter: cattrs.Converter) -> Callable[[Mapping[str, object], object], object]:
    """How a record is made of such a mapping: what is no other field belongs to the INLINE one."""
    (inline,) = _fields_with(kind, INLINE)
    others = {one.name for one in fields(kind)} - {inline.name}
    nested: Callable[[Mapping[str, object], object], object] = cattrs.gen.make_dict_structure_fn(
        kind, converter, _cattrs_forbid_extra_keys=True
    )

    def structure(values: Mapping[str, object], _: object) -> object:
        own = {name: value for name, value in values.items() if name in others}
        rest = {name: value for name, value in values.items() if name not in others}
        if rest or (inline.default is MISSING and inline.default_factory is MISSING):
            own[inline.name] = rest
        return nested(own, kind)

    return structure


def _only(kind: type, allowed: type | tuple[type, ...]) -> Callable[[object, object], object]:
    """How a plain value becomes one of a kind: text is no number, and True is none either."""

    def structure(value: object, _: object) -> object:
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"must be {kind.__name__}, found {type(value).__name__}")
        return kind(value)

    return structure


def _is_array(kind: object) -> bool:
    """Whether a type is numpy's array, or an annotation of one with its shape."""
    return isinstance(kind, type) and (issubclass(kind, np.ndarray) or hasattr(kind, "array_type"))


def _array(values: object, kind: object) -> np.ndarray:
    """Numbers as an array: of flags or integers where the annotation says so, else in double precision."""
    allowed = getattr(kind, "dtypes", ())
    dtype = next((one for one in ("bool", "int64") if one in allowed and "float64" not in allowed), "float64")
    return np.asarray(values, dtype)


def _finite(value: object, place: str, words: dict[str, str]) -> Json:
    """`value` with null for what is not finite; `words` gets place and number of each."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item, f"{place}/{_step(str(key))}", words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, f"{place}/{i}", words) for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        words[place[1:]] = str(value)
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{place[1:] or 'the value'} must be plain, a record or an array, found {type(value).__name__}"
    )


def _step(key: str) -> str:
    """A key as part of a place, as in a JSON pointer (RFC 6901): ~1 for /, ~0 for ~."""
    return key.replace("~", "~0").replace("/", "~1")


def _restored(values: Mapping[str, Json]) -> dict[str, Json]:
    """Plain values with the numbers that `not_finite` names."""
    try:
        found: dict[str, Json] = json.loads(json.dumps(values))
        words = found.get(NOT_FINITE)
        for place, word in words.items() if isinstance(words, dict) else ():
            _put(found, place, float(str(word)))
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{NOT_FINITE} must name numbers of the record by their place: {error}") from error
    return found


def _put(found: Any, place: str, number: float) -> None:
    """Puts a number where there is null; keys of lists are their indices."""
    keys: list[Any] = [key.replace("~1", "/").replace("~0", "~") for key in place.split("/")]
    for i, key in enumerate(keys):
        keys[i] = int(key) if isinstance(found, list) else key
        found, holder = found[keys[i]], found
    if found is not None:
        raise ValueError(f"{place} holds something")
    holder[keys[-1]] = number
