"""Text of any kind: what we write comes back; everything else is a value or a documented error."""

import csv
import io
import json
import math
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest
import yaml
from astropy.table import Table
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from crlb.bosz.text_table import parse_text
from crlb.errors import EXPECTED, DataError, UsageError, run_cli
from crlb.files.records import Record, json_text, plain
from crlb.files.tables import Column, TableFile
from crlb.files.text_input import parse_json, read_text, shown
from crlb.files.yaml_input import parse_yaml
from crlb.terminal import printable
from specvit_jax.settings.config_file import from_yaml, override, to_yaml
from specvit_jax.settings.presets import preset
from specvit_jax.spectra.shards import find_shards
from tests.hostile.test_text import READERS

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
numbers = st.floats(allow_nan=True, allow_infinity=True)
plain_values = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | texts
trees = st.recursive(
    plain_values | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
# What a text of ours is made of, in any order: what a damaged or a clever file may hold.
WORDS = [
    "[",
    "]",
    "{",
    "}",
    ":",
    ": ",
    ",",
    "\n",
    "  ",
    "- ",
    "&a",
    "*a",
    "!!",
    "|",
    ">",
    "'",
    '"',
    "#",
    "? ",
]
WORDS += ["<<", "%", "---", "...", "1e-4", ".inf", "nan", "on", "010", "0x1f", "2001-01-01", "1:30", "=", "~"]
WORDS += [
    "preset",
    "tiny",
    "train",
    "steps",
    "grid",
    "runs",
    "data",
    "emulator",
    "scale",
    "null",
    "\t",
    "\\",
    "é",
]
scraps = st.lists(st.sampled_from(WORDS) | texts, max_size=40).map("".join)


@dataclass(frozen=True)
class Inner(Record):
    x: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class Outer(Record):
    inner: Inner
    by_name: Mapping[str, float]
    rows: tuple[tuple[float, ...], ...]
    flag: bool
    count: int | None


inners = st.builds(Inner, numbers, st.lists(texts, max_size=3).map(tuple))
rows = st.lists(st.lists(numbers, max_size=3).map(tuple), max_size=3).map(tuple)
names = st.dictionaries(texts, numbers, max_size=3)
outers = st.builds(Outer, inners, names, rows, st.booleans(), st.none() | st.integers())


def same(one: object, two: object) -> bool:
    """Equal, NaN to itself."""
    return repr(one) == repr(two)


@settings(max_examples=30)
@given(outers)
@example(
    Outer(
        Inner(math.nan, ()), {"a/b": math.inf, "": -math.inf, "not_finite": 1.0}, ((math.nan,),), True, None
    )
)
def test_a_record_of_any_numbers_and_names_comes_back(record):
    assert same(Outer.from_json(json.loads(json_text(record))), record)


@given(trees.filter(lambda tree: isinstance(tree, dict)))
def test_plain_values_come_back_from_json(tree):
    assume("not_finite" not in tree)
    assert parse_json(json_text(tree)) == tree
    assert plain(tree) == tree


@given(trees, st.sampled_from(["inner", "by_name", "rows", "flag", "count", "not_finite", "more"]), outers)
def test_a_record_with_any_value_in_it_is_read_or_refused_in_words(tree, key, record):
    values = record.to_json() | {key: tree}
    with suppress(DataError):
        assert isinstance(Outer.from_json(values), Outer)


@given(st.text() | scraps | trees.map(json.dumps))
def test_any_text_is_json_or_refused(text):
    with suppress(DataError):
        assert isinstance(parse_json(text), dict)


@given(st.text() | scraps | trees.map(lambda tree: yaml.safe_dump(tree, allow_unicode=True)), st.booleans())
def test_any_text_is_yaml_or_refused(text, as_text):
    with suppress(DataError):
        parse_yaml(text, as_text)


@given(trees)
def test_what_yaml_writes_is_read_as_it_was(tree):
    try:
        found = parse_yaml(yaml.safe_dump(tree))  # with allow_unicode it writes NEL so that it reads a space
    except DataError as error:  # keys that are one as a text: "" and "" written otherwise
        pytest.fail(str(error))
    assert found == tree


@given(st.binary(max_size=60) | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_text_without_nul_or_refused(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    try:
        expected = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        expected = "\0"
    if "\0" in expected:
        with pytest.raises(DataError, match=r"list .* must be text"):
            read_text(path, "list")
    else:
        assert read_text(path, "list") == expected.replace("\r\n", "\n").replace("\r", "\n")


@settings(max_examples=25)
@given(scraps.map(str.encode) | st.binary(max_size=60), st.sampled_from(["json", "text"]))
@pytest.mark.parametrize("reader", READERS)
def test_any_bytes_get_a_documented_answer_of_every_reader(tmp_path, reader, content, how):
    name, good, read = READERS[reader]
    begun = good.encode()[: len(good) // 2] if how == "json" else b""
    (tmp_path / name).write_bytes(begun + content)
    with suppress(*EXPECTED):
        read(tmp_path / name)


@given(
    st.lists(st.sampled_from(["steps", "learning_rate", "clip_norm", "pool", "depth", "ranges"]), max_size=3),
    texts,
)
def test_any_setting_is_taken_or_refused_in_words(keys, text):
    for key in keys:
        for section in ("train", "model", "data", "x"):
            with suppress(UsageError):
                config = override(preset("tiny"), [f"{section}.{key}={text}"])
                assert from_yaml(to_yaml(config)) == config


@given(st.floats(), st.sampled_from(["{!r}", "{:.17e}", "{:.17E}", " {!r} "]))
@example(math.inf, "{!r}")
@example(math.inf, ".{!r}")
def test_a_number_of_a_setting_is_the_one_that_was_written(value, form):
    try:
        config = override(preset("tiny"), [f"train.clip_norm={form.format(value)}"])
    except UsageError:
        assert not value > 0
        return
    assert config.train.clip_norm == value
    assert from_yaml(to_yaml(config)) == config


@settings(max_examples=20)
@given(texts)
def test_a_config_of_any_name_of_a_file_comes_back(name):
    config = replace(preset("tiny"), data=replace(preset("tiny").data, source=name))
    assert from_yaml(to_yaml(config)) == config


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.tuples(finite, finite), min_size=1, max_size=8), st.sampled_from([" ", ",", "\t", ";", " , "])
)
def test_numbers_of_a_table_of_text_are_those_that_were_written(numbers, between):
    text = "".join(f"{a!r}{between}{b!r}\n" for a, b in numbers)
    _, found = parse_text(text.encode())
    np.testing.assert_array_equal(found, np.array(numbers))


COLUMNS = [
    Column("star", kind="text"),
    Column("T_eff", "K"),
    Column("row", kind="integer"),
    Column("ok", kind="flag"),
]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.text(max_size=20), numbers, st.integers(-(2**63), 2**63 - 1), st.booleans()), max_size=4
    ),
    st.sampled_from(["csv", "ecsv", "fits"]),
    st.dictionaries(st.sampled_from(["version", "legend of flags"]), st.text(max_size=20), max_size=2),
)
def test_a_table_of_any_stars_is_read_by_astropy_as_it_was_written(tmp_path, stars, form, about):
    path = tmp_path / f"t.{form}"
    about = {name: printable(text) for name, text in about.items()}
    with TableFile(path, COLUMNS, about=about, fingerprint={}, overwrite=True) as table:
        columns = list(zip(*stars, strict=True)) or [()] * 4
        table.append({one.name: values for one, values in zip(COLUMNS, columns, strict=True)})
    if form == "csv":
        found = list(csv.DictReader(io.StringIO(path.read_text())))
    else:
        found = list(Table.read(path, format={"ecsv": "ascii.ecsv", "fits": "fits"}[form]))
    assert len(found) == len(stars)
    for row, (name, number, integer, flag) in zip(found, stars, strict=True):
        assert str(row["star"]).isprintable()
        if (
            name
            and name.isprintable()
            and name == " ".join(name.split())
            and (form != "fits" or name.isascii())
        ):
            assert row["star"] == name
        np.testing.assert_array_equal(float(row["T_eff"]), float(f"{number:.8g}"))
        assert int(row["row"]) == integer
        assert str(row["ok"]) == str(flag)


@given(st.lists(st.text("ab#/ \t.é", max_size=8), min_size=1, max_size=4))
def test_an_index_names_the_folders_that_stand_in_it(tmp_path, folders):
    (tmp_path / "shard_index.txt").write_text("\n".join(folders))
    stripped = [line.partition("#")[0].strip() for line in "\n".join(folders).splitlines()]
    if not any(stripped):
        with pytest.raises(DataError, match="names no shard"):
            find_shards(str(tmp_path / "shard_index.txt"))
        return
    with suppress(UsageError):  # one of them twice
        found = find_shards(str(tmp_path / "shard_index.txt"))
        assert [path.parent for path in found] == [tmp_path / line for line in stripped if line]


@given(st.text())
def test_what_reaches_a_terminal_has_no_control_character(text):
    found = printable(text, "\n")
    kinds = {unicodedata.category(one) for one in found if one != "\n"}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert printable(found, "\n") == found


@given(
    st.recursive(
        st.text() | st.integers() | numbers, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@example(["x" * 10**5])
def test_a_value_in_a_message_is_one_short_line(value):
    assert len(shown(value)) <= 301
    assert "\n" not in shown(value)


@given(st.text())
@example("a\nb\r\x1b[2Jc")
def test_an_error_of_any_words_is_one_line(capsys, words):
    def command() -> None:
        raise DataError(words)

    with pytest.raises(SystemExit):
        run_cli(command)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    assert "\x1b" not in said
