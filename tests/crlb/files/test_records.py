"""Results go to JSON and back unchanged, whatever numbers they hold."""

import json
import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pytest
from jaxtyping import Bool, Float, Int

from crlb.errors import DataError, OutputError
from crlb.files.records import ABSENT, INLINE, Record, json_text, plain, write_json


@dataclass(frozen=True)
class Row(Record):
    mag: float
    kind: Literal["a", "b"] = "a"
    bound: float | None = None


@dataclass(frozen=True, eq=False)
class Table(Record):
    rows: tuple[Row, ...]
    names: tuple[str, ...]
    by_name: dict[str, Row]
    values: Float[np.ndarray, "n m"]


@dataclass(frozen=True)
class Star(Record):
    name: str
    spread: float | None = field(default=None, metadata=ABSENT)
    row: Row | None = field(default=None, metadata=ABSENT)


TABLE = Table(
    (Row(20.0), Row(21.5, "b", 0.25)), ("T_eff", "1"), {"1": Row(3.0)}, np.arange(6.0).reshape(2, 3)
)


def test_a_record_comes_back_as_it_was():
    text = json.dumps(TABLE.to_json(), allow_nan=False)
    found = Table.from_json(json.loads(text))
    assert (found.rows, found.names, found.by_name) == (TABLE.rows, TABLE.names, TABLE.by_name)
    np.testing.assert_array_equal(found.values, TABLE.values)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_null_with_a_reason_and_comes_back(number):
    values = TABLE.values.copy()
    values[1, 2] = number
    table = replace(TABLE, rows=(Row(20.0, bound=number),), values=values)
    found = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert found["rows"][0]["bound"] is None
    assert found["values"][1][2] is None
    assert found["not_finite"] == {"rows/0/bound": str(number), "values/1/2": str(number)}
    back = Table.from_json(found)
    np.testing.assert_array_equal(back.values, values)
    np.testing.assert_equal(back.rows[0].bound, number)
    assert back.rows[0].mag == 20.0


def test_mappings_hold_records_arrays_and_numbers_of_numpy(tmp_path):
    found = plain(
        {"row": Row(1.0), "x": np.float32(2.5), "n": np.int64(3), "rows": [Row(2.0)], "v": np.ones(2)}
    )
    assert found == {
        "row": {"mag": 1.0, "kind": "a", "bound": None},
        "x": 2.5,
        "n": 3,
        "rows": [{"mag": 2.0, "kind": "a", "bound": None}],
        "v": [1.0, 1.0],
    }
    write_json({"é": np.array([np.inf])}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": [None], "not_finite": {"é/0": "inf"}}
    with pytest.raises(OutputError, match="exists already"):
        write_json({}, tmp_path / "a.json")


def test_a_value_that_json_cannot_hold_is_refused_by_its_place():
    with pytest.raises(TypeError, match="rows/1/x must be plain, a record or an array, found complex"):
        plain({"rows": [Row(1.0), {"x": 1j}]})


def test_a_list_is_written_entry_by_entry(tmp_path):
    write_json([Row(math.nan), {"x": 1}], tmp_path / "rows.json")
    first, second = json.loads((tmp_path / "rows.json").read_text())
    assert math.isnan(Row.from_json(first).mag)
    assert second == {"x": 1}
    assert (tmp_path / "rows.json").read_text() == json_text([Row(math.nan), {"x": 1}]) + "\n"


def test_fields_that_may_be_absent_are_left_out_where_there_is_nothing(tmp_path):
    assert plain({"stars": [Star("a"), Star("b", 0.5, Row(1.0))]}) == {
        "stars": [
            {"name": "a"},
            {"name": "b", "spread": 0.5, "row": {"mag": 1.0, "kind": "a", "bound": None}},
        ]
    }
    for star in (Star("a"), Star("b", math.inf, Row(1.0))):
        write_json(star, tmp_path / "star.json", overwrite=True)
        assert Star.from_json(json.loads((tmp_path / "star.json").read_text())) == star


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "a"}, "mag"),
        ({"mag": 1.0, "more": 2}, "more"),
        ({"mag": "bright"}, "mag"),
        ({"mag": 1.0, "kind": "c"}, "kind"),
    ],
)
def test_what_is_not_the_record_is_refused_by_name(values, words):
    with pytest.raises(DataError, match=words):
        Row.from_json(values)


@dataclass(frozen=True, eq=False)
class Kinds(Record):
    flags: Bool[np.ndarray, " n"]
    counts: Int[np.ndarray, " n"]
    numbers: Float[np.ndarray, " n"]


def test_arrays_of_flags_and_integers_come_back_as_such():
    written = Kinds(np.array([True, False]), np.array([3, 4]), np.array([1.0, 2.0])).to_json()
    found = Kinds.from_json(json.loads(json.dumps(written)))
    assert [x.dtype for x in vars(found).values()] == [np.bool_, np.int64, np.float64]
    assert found.to_json() == written


@dataclass(frozen=True)
class Inner(Record):
    value: float
    reason: str | None = field(default=None, metadata=ABSENT)


@dataclass(frozen=True)
class Outer(Record):
    mag: float
    inner: Inner | None = field(default=None, metadata=INLINE)
    rank: int | None = field(default=None, metadata=ABSENT)


@dataclass(frozen=True)
class Named(Record):
    mag: float
    by_label: dict[str, Inner] = field(metadata=INLINE)


@pytest.mark.parametrize(
    ("record", "written"),
    [
        (Outer(20.0, Inner(1.0), 3), {"mag": 20.0, "rank": 3, "value": 1.0}),
        (Outer(20.0), {"mag": 20.0}),
        (
            Named(20.0, {"T_eff": Inner(1.0, "so"), "M_H": Inner(2.0)}),
            {"mag": 20.0, "T_eff": {"value": 1.0, "reason": "so"}, "M_H": {"value": 2.0}},
        ),
        (Named(20.0, {}), {"mag": 20.0}),
        (
            Outer(20.0, Inner(math.inf)),
            {"mag": 20.0, "value": None, "not_finite": {"value": "inf"}},
        ),
    ],
)
def test_entries_of_an_inline_field_stand_beside_the_others(record, written):
    assert record.to_json() == written
    assert type(record).from_json(json.loads(json.dumps(written))) == record


def test_an_entry_that_belongs_nowhere_is_named():
    with pytest.raises(DataError, match="other"):
        Outer.from_json({"mag": 20.0, "value": 1.0, "other": 2.0})
