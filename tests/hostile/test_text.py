"""Text of every kind comes through one door: pipes, binary, depth, bombs and wrong types are refused."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from crlb.bosz.content import unpacked
from crlb.bosz.download import read_holes
from crlb.bosz.part import Part, read_note
from crlb.bosz.text_table import parse_text
from crlb.cli.bosz import _read_list
from crlb.errors import EXPECTED, ConfigError, DataError, MissingInputError, run_cli
from crlb.files.tables import Column, TableFile
from crlb.files.text_input import parse_json, read_bytes, read_json, read_text, shown
from crlb.files.yaml_input import MOST_NODES, parse_yaml
from crlb.instruments.find import find_instrument
from crlb.observation.condition_file import find_conditions
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed
from specvit_jax import cli
from specvit_jax.report.experiments import dashboard, scaling
from specvit_jax.report.experiments import read_json as read_results
from specvit_jax.runs.listing import list_runs, read_metrics
from specvit_jax.runs.lock import RunLock, check_free, owner_of
from specvit_jax.runs.manifest import read_manifest
from specvit_jax.runs.sweep import read_sweep
from specvit_jax.settings.config_file import load, to_yaml
from specvit_jax.settings.presets import preset
from specvit_jax.spectra.shards import find_shards
from tests.specvit_jax.runs.test_listing import make_run, scored, trained

OWNER = {"host": "a", "pid": 7, "namespace": "n", "born": 3, "since": 1.0, "heartbeat": 2.0, "token": "t"}
SWEEP = "preset: tiny\ndata: emulator\ngrid:\n  train.seed: [1, 2]\n  model.patch_size: [16, 32]\n"
NOTE = json.dumps({"url": "u", "size": 5, "etag": None, "modified": None})
NAME = "amp00cp00op00t5000g30v20modrt0b200rs.fits\n"
STATE = json.dumps({"fingerprint": {"columns": "star"}, "rows": 1, "bytes": 7})


def table_state(path: Path) -> None:
    os.replace(path, path.with_name(".t.csv.partial.json"))
    path.with_name(".t.csv.partial").write_bytes(b"star\n12\n")
    TableFile(path.with_name("t.csv"), [Column("star", "text")], about={}, fingerprint={}).check()


# reader -> name of its file, content that it takes, and how it is called with the path of the file
INSTRUMENT = """\
name: toy
source: none
magnitude: [8450, 8720]
arms:
  - name: red
    pixels: {start: 8450, end: 8720, per_fwhm: 3}
    resolving_power: {wave: [8400, 8800], resolving_power: [6800, 7200]}
noise: {snr: 30, per: element, mag: 20, exptime_s: 3600, n_exp: 1, background: 0.5}
"""


def _instrument(path: Path) -> tuple[object, ...]:
    found = find_instrument(path)
    detector = found.detector
    return (
        found.name,
        found.arms,
        detector.low.tolist(),
        detector.lsf_fwhm.tolist(),
        str(found.noise.signal_e),
    )


READERS = {
    "config": ("config.yaml", to_yaml(preset("tiny")), load),
    "sweep": ("sweep.yaml", SWEEP, lambda path: read_sweep(path, path.parent / "out")),
    "conditions": ("c.yaml", "rv_sigma_kms: 10\nscale: .inf\n", find_conditions),
    "instrument": ("mine.yaml", INSTRUMENT, _instrument),
    "manifest": ("manifest.json", '{"starts": []}', lambda path: read_manifest(path.parent)),
    "metrics": ("metrics.jsonl", '{"step": 5, "val_r2": 0.5}\n' * 3, lambda path: read_metrics(path.parent)),
    "lock": ("lock.json", json.dumps(OWNER), lambda path: str(owner_of(path.parent))),
    "free": ("lock.json", json.dumps(OWNER), lambda path: check_free(path.parent)),
    "results": ("results.json", '{"rows": []}', lambda path: scaling(path, read_results(path))),
    "note": ("f.part.json", NOTE, lambda path: read_note(path.with_name("f.part"), "u")),
    "holes": ("holes.csv", "name,path\na,b\n", lambda path: read_holes(path.parent)),
    "names": ("names.txt", NAME, _read_list),
    "table": ("state.json", STATE, table_state),
    "shards": ("shard_index.txt", "a\nb # c\n", lambda path: find_shards(str(path))),
    "spectrum": (
        "star.csv",
        "# flux_unit: x\nwave,flux\n5000,1\n5001,2\n5002,1\n",
        lambda path: list(open_observed(path, ReadOptions(medium="vacuum", wave_unit="A")).spectra()),
    ),
    "wavelengths": ("wave.txt", "1\n2\n3\n", lambda path: parse_text(unpacked(path, 10**6))),
}
DEEP = 100_000
HOSTILE = {
    "empty": b"",
    "nul": b"a\0b",
    "latin": b"\xe9\xff",
    "utf16": "preset: tiny".encode("utf-16"),
    "deep list": b"[" * DEEP,
    "deep closed": b"[" * 500 + b"]" * 500,
    "deep object": b'{"a":' * DEEP,
    "deep yaml": b"".join(b" " * i + b"a:\n" for i in range(300)),
    "alias bomb": b"- &a [x,x,x,x,x,x,x,x,x,x]\n"
    + b"\n".join(b"- &%c [%s]" % (98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(10)),
    "alias of itself": b"&a [*a]",
    "many keys": b"\n".join(b"k%d: 1" % i for i in range(21_000)),
    "twice": b'{"step": 1, "step": 1}\nstep: 2\nstep: 2',
    "list": b"[1, 2]",
    "number": b"9" * 10_000,
    "text": b'"x"',
    "null": b"null",
    "lone surrogate": b'{"host": "\\ud800"}',
    "odd key": b"? [a]\n: b\n",
    "brackets": b"wave" + b"[(" * 50_000 + b",flux\n1,2\n2,3\n",
    "blanks": b"# a" + b" " * DEEP + b"b\nwave,flux\n1,2\n2,3\n",
    "no end of columns": b",".join([b"1"] * 50_000) + b"\n",
    "no date": b"scale: 2001-99-99",
}
WRONG = (None, True, "x", "\ud800", [1], {"a": 1}, -1, 0, 0.5, 10**400, 1e308, float("nan"), [[]] * 3)


def answer(reader: str, path: Path) -> None:
    """A reader's result, or one of the documented errors."""
    with suppress(*EXPECTED):
        READERS[reader][2](path)


@pytest.mark.parametrize("content", HOSTILE)
@pytest.mark.parametrize("reader", READERS)
def test_hostile_text_gets_a_documented_answer(tmp_path, reader, content):
    path = tmp_path / READERS[reader][0]
    path.write_bytes(HOSTILE[content])
    answer(reader, path)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_not_waited_for(tmp_path, reader):
    path = tmp_path / READERS[reader][0]
    os.mkfifo(path)
    answer(reader, path)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: str(value)[:10])
@pytest.mark.parametrize("reader", [name for name, (file, *_) in READERS.items() if "json" in file])
def test_values_of_another_type_get_a_documented_answer(tmp_path, reader, wrong):
    name, good, _ = READERS[reader]
    plain = json.loads(good.splitlines()[0])
    for key in plain:
        folder = tmp_path / f"{key}"
        folder.mkdir()
        (folder / name).write_text(json.dumps(plain | {key: wrong}) + "\n")
        answer(reader, folder / name)


@pytest.mark.parametrize("reader", READERS)
def test_good_text_is_read(tmp_path, reader):
    path = tmp_path / READERS[reader][0]
    path.write_text(READERS[reader][1])
    if reader == "free":
        path.write_text(json.dumps(OWNER | {"host": "elsewhere"}))  # its heartbeat is decades old
    if reader == "results":
        assert scaling(path, read_results(path)) == {"rows": []}
    elif reader == "lock":
        assert owner_of(tmp_path).pid == 7
    elif reader == "shards":
        assert find_shards(str(path)) == [tmp_path / "a" / "dataset.h5", tmp_path / "b" / "dataset.h5"]
    elif reader == "note":
        assert READERS[reader][2](path) == Part("u", 5, None, None)
    elif reader == "holes":
        assert READERS[reader][2](path) == {"a"}
    else:
        READERS[reader][2](path)


def test_the_door_names_the_file_and_the_way_out(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(MissingInputError, match=r"cannot read list .*a\.txt: No such file"):
        read_text(path, "list")
    with pytest.raises(MissingInputError, match=r"cannot read list .*: Is a directory"):
        read_text(tmp_path, "list")
    with pytest.raises(MissingInputError, match="list /dev/zero is not a regular file"):
        read_text("/dev/zero", "list")
    with pytest.raises(MissingInputError, match="null byte"):
        read_text("a\0b", "list")
    path.write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"list .*a\.txt must be text in UTF-8, but byte 2 is not"):
        read_text(path, "list")
    with pytest.raises(DataError, match="at most 2 bytes"):
        read_bytes(path, "list", 2)
    assert read_bytes(path, "list", 3) == b"ab\xff"
    path.write_bytes(b"\xef\xbb\xbf1\r\n2\r3\n")
    assert read_text(path, "list") == "1\n2\n3\n"


def test_depth_is_counted_not_guessed(tmp_path):
    assert parse_json('{"a":' * 63 + "[1]" + "}" * 63)
    with pytest.raises(DataError, match="at most 64"):
        parse_json('{"a":' * 64 + "[1]" + "}" * 64)
    path = tmp_path / "a.json"
    path.write_text("[1]")
    with pytest.raises(DataError, match=r"results .*a\.json: must hold a JSON object, found list"):
        read_json(path, "results")


def test_aliases_may_be_used_but_not_to_make_a_giant():
    assert parse_yaml("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}
    assert parse_yaml("a: &a {x: 1}\nb:\n  <<: *a\n  y: 1e-4", as_text=True)["b"]["y"] == "1e-4"
    with pytest.raises(DataError, match="aliases followed"):
        parse_yaml("a: &a [" + "1," * (MOST_NODES // 4) + "]\nb: [*a, *a, *a, *a]")


def test_messages_stay_short_whatever_the_value():
    huge: list = [0]
    for _ in range(40):
        huge = [huge, huge]
    assert len(shown(huge)) < 200
    assert len(shown("x" * 10**6)) < 200


def test_a_message_does_not_fill_the_screen(capsys):
    def command() -> None:
        raise DataError("begun " + "x" * 10**6 + " ended")

    with pytest.raises(SystemExit):
        run_cli(command)
    said = capsys.readouterr().err
    assert len(said) < 4100
    assert said.startswith("error: begun")
    assert said.endswith("ended\n")


def test_a_sweep_of_millions_is_refused_before_it_is_expanded(tmp_path):
    values = ", ".join(map(str, range(1, 300)))
    path = tmp_path / "sweep.yaml"
    path.write_text(f"{SWEEP}  train.steps: [{values}]\n  train.log_every: [{values}]\n")
    begun = time.monotonic()
    with pytest.raises(ConfigError, match="at most 2,000 runs, found 357,604"):
        read_sweep(path, tmp_path)
    assert time.monotonic() - begun < 60


def test_a_damaged_run_is_listed_and_the_others_are_shown(tmp_path, capsys):
    make_run(tmp_path / "good", trained(50), scored(50, 0.5))
    for i, line in enumerate(("[" * DEEP, '{"step": 5, "val_r2": [1]}', '{"step": 1e999}', '{"step": "x"}')):
        run = make_run(tmp_path / f"bad{i}")
        (run / "metrics.jsonl").write_text(line + "\n")
    for i, plain in enumerate(({"starts": 5}, {"starts": [{}]}, {"finished": [1]}, [])):
        run = make_run(tmp_path / f"told{i}")
        (run / "manifest.json").write_text(json.dumps(plain))
    os.mkfifo(make_run(tmp_path / "pipe") / "lock.json")
    found = {run.name: run.state for run in list_runs(tmp_path)}
    assert found.pop("good") == "interrupted"
    assert found.pop("pipe") == "running"  # somebody's, until nothing was heard of him for long
    assert set(found.values()) == {"damaged"}
    cli.parse(["runs", str(tmp_path)])()
    assert "good" in capsys.readouterr().out


def test_a_pipe_in_place_of_a_lock_is_taken_over_once_it_is_old(tmp_path, capsys):
    os.mkfifo(tmp_path / "lock.json")
    os.utime(tmp_path / "lock.json", (0, 0))
    with RunLock(tmp_path):
        assert owner_of(tmp_path).pid == os.getpid()
    assert "taken over" in capsys.readouterr().err


def test_results_that_lack_what_is_drawn_are_named(tmp_path):
    path = tmp_path / "results.json"
    for plain in ({"rows": 5}, {"rows": [5]}, {"rows": [{"method": 1}]}):
        path.write_text(json.dumps(plain))
        with pytest.raises(DataError, match=r"results\.json"):
            scaling(path, read_results(path))
    for ceiling in (5, None, []):
        plain = dict.fromkeys(("snr_definition", "grid", "estimators", "test"), "") | {"ceiling": ceiling}
        with pytest.raises(DataError, match=r"results\.json"):
            dashboard(path, plain)
