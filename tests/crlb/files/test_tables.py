"""Tables of stars: read by others as written, whole or not at all, resumed where they stopped."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from crlb.errors import DiskError, Interrupted, Locked, OutputError, UsageError
from crlb.files import table_formats, tables
from crlb.files.tables import Column, TableFile

COLUMNS = (
    Column("star", kind="text", description="name of the star"),
    Column("row", kind="integer", description="row of its file"),
    Column("T_eff", "K", "effective temperature"),
    Column("log_g", "dex", "gravity"),
    Column("good", kind="flag"),
    Column("note", kind="text"),
)
ABOUT = {
    "command": "specvit predict tiny " + "x.fits " * 40,
    "weights_sha256": "a" * 64,
    "stars": 3,
    "flags": {"EDGE": "within 1 Å: an edge"},
}
ROWS = {
    "star": ['S "1", north', "HD 20", ""],
    "row": [0, 7, 2**40],
    "T_eff": np.array([4812.34567, np.nan, np.inf]),
    "log_g": [1.0, 2.0, -3.5],
    "good": [True, False, True],
    "note": ["two\nlines, \x00one cell", "R = 5000 Å", ""],
}
TEXTS = {"star": ['S "1", north', "HD 20", "-"], "note": ["two lines, one cell", "R = 5000 Å", "-"]}


def table(path, **options) -> TableFile:
    options = {"about": ABOUT, "fingerprint": {"inputs": "1", "options": "a"}} | options
    return TableFile(path, COLUMNS, **options)


def part(first: int, n: int = 1) -> dict[str, list[object]]:
    numbers = range(first, first + n)
    texts = [str(i) for i in numbers]
    return {
        "star": texts,
        "row": list(numbers),
        "T_eff": [i / 7 for i in numbers],
        "log_g": [0.0] * n,
        "good": [True] * n,
        "note": texts,
    }


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits", ".fits.gz", ".FITS"])
def test_astropy_reads_back_what_was_written(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    with table(path) as written:
        written.append(ROWS)
    assert os.listdir(tmp_path) == [path.name]
    found = Table.read(path)
    assert found.colnames == [one.name for one in COLUMNS]
    # Of FITS astropy masks what is NaN.
    np.testing.assert_allclose(np.ma.filled(found["T_eff"], np.nan), ROWS["T_eff"], rtol=1e-8)
    assert found["row"].tolist() == ROWS["row"]
    assert [str(one) == "True" for one in found["good"]] == ROWS["good"]
    for name, wanted in TEXTS.items():
        ascii_only = [text.replace("Å", "A") for text in wanted] if "fits" in suffix.lower() else wanted
        assert [str(one).rstrip() for one in found[name]] == ascii_only


def test_pandas_reads_a_csv_without_options(tmp_path):
    with table(tmp_path / "t.csv") as written:
        written.append(ROWS)
    found = pd.read_csv(tmp_path / "t.csv")
    assert [str(found[name].dtype) for name in ("row", "T_eff", "good")] == ["int64", "float64", "bool"]
    assert found["T_eff"].isna().tolist() == [False, True, False]
    assert found["star"].tolist() == TEXTS["star"]


def test_units_descriptions_and_provenance_are_in_ecsv_and_fits(tmp_path):
    for name in ("t.ecsv", "t.fits"):
        with table(tmp_path / name) as written:
            written.append(ROWS)
            written.about["unusable"] = 1
    found = Table.read(tmp_path / "t.ecsv")
    assert found["T_eff"].unit == "K"
    assert found["T_eff"].description == "effective temperature"
    assert found.meta == ABOUT | {"unusable": 1}
    with fits.open(tmp_path / "t.fits") as hdus:
        hdus.verify("exception")
        header = hdus[1].header
        assert header["TUNIT3"] == "K"
        assert header["TCOMM3"] == "effective temperature"
        assert "TUNIT4" not in header  # the standard has no dex
        assert header["TCOMM4"] == "gravity [dex]"
        assert header["COMMAND"].rstrip() == ABOUT["command"].rstrip()
        assert (header["weights_sha256"], header["STARS"], header["UNUSABLE"]) == ("a" * 64, 3, 1)
        assert "flags EDGE: within 1 A: an edge" in list(header["COMMENT"])


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits"])
def test_a_table_without_rows_can_be_read(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    with table(path):
        pass
    assert len(Table.read(path)) == 0


def test_the_name_must_say_the_format(tmp_path):
    with pytest.raises(UsageError, match=r"\.csv, \.ecsv, \.fits"), table(tmp_path / "t.txt"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_column_that_is_missing_or_shorter_is_refused(tmp_path):
    with pytest.raises(ValueError, match="columns must be"), table(tmp_path / "t.csv") as written:
        written.append({"star": ["a"]})
    with pytest.raises(ValueError, match="shorter"), table(tmp_path / "t.csv") as written:
        written.append(ROWS | {"row": [1]})
    assert os.listdir(tmp_path) == []


def stop_after(path, n, **options) -> None:
    with table(path, **options) as written:
        for i in range(n):
            written.append(part(i))
        raise KeyboardInterrupt


def interrupted_after(path, n, **options) -> None:
    with pytest.raises(Interrupted, match=f"{n} rows"):
        stop_after(path, n, **options)


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits"])
def test_an_interrupted_table_goes_on_and_becomes_the_one_that_never_stopped(tmp_path, suffix):
    path, whole = tmp_path / f"t{suffix}", tmp_path / f"whole{suffix}"
    interrupted_after(path, 3)
    assert not path.exists()
    with table(path) as again:
        assert again.rows == 3
        again.append(part(3, 4))
    with table(whole) as once:
        once.append(part(0, 7))
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(tmp_path)) == [path.name, whole.name]


def test_rows_of_another_command_are_refused_by_what_differs_or_thrown_away_when_told(tmp_path):
    path = tmp_path / "t.csv"
    interrupted_after(path, 3)
    other = table(path, fingerprint={"inputs": "2", "options": "a"})
    with pytest.raises(OutputError, match=r"3 rows .* differs in inputs; .*--overwrite"):
        other.check()
    with table(path, fingerprint={"inputs": "2", "options": "a"}, overwrite=True) as written:
        assert written.rows == 0
        written.append(part(0))
    assert len(pd.read_csv(path)) == 1


def test_overwrite_goes_on_with_rows_of_the_same_command(tmp_path):
    (tmp_path / "t.csv").write_text("old")
    interrupted_after(tmp_path / "t.csv", 2, overwrite=True)
    assert (tmp_path / "t.csv").read_text() == "old"
    with table(tmp_path / "t.csv", overwrite=True) as again:
        assert again.rows == 2
    assert len(pd.read_csv(tmp_path / "t.csv")) == 2


def test_half_a_row_after_the_last_good_one_is_cut_off(tmp_path):
    path = tmp_path / "t.csv"
    interrupted_after(path, 2)
    with (tmp_path / ".t.csv.partial").open("a") as file:
        file.write("17,broken")
    with table(path) as again:
        again.append(part(2))
    assert pd.read_csv(path)["row"].tolist() == [0, 1, 2]


def test_damaged_notes_of_an_interrupted_run_start_it_anew(tmp_path):
    interrupted_after(tmp_path / "t.csv", 2)
    (tmp_path / ".t.csv.partial.json").write_text("{")
    with table(tmp_path / "t.csv") as again:
        assert again.rows == 0


def test_two_writers_of_one_table_are_one_too_many(tmp_path):
    with table(tmp_path / "t.csv") as first:
        first.append(part(0))
        with pytest.raises(Locked, match="another process"), table(tmp_path / "t.csv"):
            pass
    assert len(pd.read_csv(tmp_path / "t.csv")) == 1


def test_a_full_disk_keeps_the_rows_and_says_so(tmp_path, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables, "write_table", full)
    with pytest.raises(DiskError, match="free some space"), table(tmp_path / "t.fits") as written:
        written.append(part(0))
    monkeypatch.undo()
    with table(tmp_path / "t.fits") as again:
        assert again.rows == 1
    assert len(Table.read(tmp_path / "t.fits")) == 1


def test_a_killed_writer_loses_two_seconds_at_most(tmp_path):
    code = f"""
import time, tests.crlb.files.test_tables as t
from pathlib import Path
t.tables.COMMIT_S = 0.0
with t.table(Path({str(tmp_path / "t.csv")!r})) as written:
    for i in range(10**6):
        written.append(t.part(i)); print(i, flush=True); time.sleep(0.005)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        done = [int(process.stdout.readline()) for _ in range(10)][-1]
        process.send_signal(signal.SIGKILL)
    with table(tmp_path / "t.csv") as again:
        assert again.rows > done
        again.append(part(again.rows, 3))
    found = pd.read_csv(tmp_path / "t.csv")["row"]
    assert found.tolist() == list(range(len(found)))


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(table_formats, "BLOCK", 100)
    peaks = []
    for n in (1_000, 10_000):
        tracemalloc.start()
        with table(tmp_path / f"{n}.fits") as written:
            for first in range(0, n, 100):
                written.append(part(first, 100))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert Table.read(tmp_path / "10000.fits")["row"].tolist() == list(range(10_000))


def test_rows_are_noted_every_two_seconds_not_every_time(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", calls.append)
    with table(tmp_path / "t.csv") as written:
        begun = time.monotonic()
        for i in range(50):
            written.append(part(i))
        assert len(calls) <= 2 + 2 * (time.monotonic() - begun) / tables.COMMIT_S


@pytest.mark.parametrize("name", [".t.csv.partial", ".t.csv.partial.json"])
def test_rows_are_not_written_through_a_link(tmp_path, name):
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=f"{name} is a symbolic link"), table(tmp_path / "t.csv"):
        pass
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_a_table_may_have_any_name_that_the_system_allows(tmp_path):
    path = tmp_path / ("t" * 251 + ".csv")
    with table(path) as rows:
        rows.append(ROWS)
    assert os.listdir(tmp_path) == [path.name]
