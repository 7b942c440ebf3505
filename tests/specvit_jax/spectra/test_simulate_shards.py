"""Sets of shards: what they hold, what it depends on, and how a set survives an interruption."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from crlb.errors import DataError, Interrupted, OutputError, UsageError
from specvit_jax import cli
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra import simulate
from specvit_jax.spectra import simulate_shards as writing
from specvit_jax.spectra import source as data
from specvit_jax.spectra.checksums import check_sums
from specvit_jax.spectra.file_sources import open_source
from specvit_jax.spectra.shard_set import Recipe, check_space, read_set, verify
from specvit_jax.spectra.shards import count_rows
from specvit_jax.spectra.simulate_shards import simulate_shards
from tests.specvit_jax.toy import PIECE, write_clean

pytestmark = pytest.mark.usefixtures("small_pieces")

N_FILE = PIECE + 10


def make_recipe(two_line_grid, shards=3, **options) -> Recipe:
    data = DataConfig(grid=str(two_line_grid), mag=(20.0, 22.0))
    return Recipe(N_FILE * 2, 7, data, shards, **({"arrays": ("flux", "error")} | options))


def content(folder) -> tuple[np.ndarray, ...]:
    """Flux, errors, labels, magnitudes and SNR of a set, in the order of its index."""
    names = (folder / "shard_index.txt").read_text().split()
    parts = [data.read_spectra(folder / name / "dataset.h5", need=("flux", "error")) for name in names]
    columns = [(part.flux, part.error, *part.labels.values(), part.mag, part.snr) for part in parts]
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))


@pytest.fixture(scope="module")
def shard_set(two_line_grid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "three"
    simulate_shards(folder, make_recipe(two_line_grid))
    return folder


@pytest.fixture
def copied(shard_set, tmp_path):
    return Path(shutil.copytree(shard_set, tmp_path / "copy"))


def test_one_shard_and_three_hold_the_same_bits(two_line_grid, shard_set, tmp_path):
    simulate_shards(tmp_path / "one", make_recipe(two_line_grid, shards=1))
    for found, expected in zip(content(tmp_path / "one"), content(shard_set), strict=True):
        assert len(found) == 2 * N_FILE
        np.testing.assert_array_equal(found, expected)
    assert verify(shard_set) == verify(tmp_path / "one") == []
    assert not list(shard_set.rglob("*.partial*"))


def test_resume_keeps_sound_shards_and_writes_a_damaged_one_again(two_line_grid, copied, capsys):
    before = {path: path.read_bytes() for path in copied.glob("shard_*/dataset.h5")}
    stamps = {path: path.stat().st_mtime_ns for path in before}
    damaged = copied / "shard_001" / "dataset.h5"
    with damaged.open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"damage")
    (copied / "shard_002" / "dataset.h5").unlink()
    killed = copied / "shard_002" / ".dataset.1-00000000-00000000.partial.h5"
    killed.write_text("left behind")
    os.utime(killed, (0, 0))
    wrong = verify(copied)
    assert [line.split(":")[0] for line in wrong] == ["shard_001", "shard_002"]
    assert "SHA-256 differs" in wrong[0]
    assert "is missing" in wrong[1]
    simulate_shards(copied, make_recipe(two_line_grid), resume=True)
    said = capsys.readouterr().err
    assert "shard_001 is written again" in said
    assert "shard_002 is written again" in said
    assert "shard_000" not in said
    assert {path: path.read_bytes() for path in before} == before
    assert (copied / "shard_000/dataset.h5").stat().st_mtime_ns == stamps[copied / "shard_000/dataset.h5"]
    assert verify(copied) == []
    assert not list(copied.rglob("*.partial*"))


@pytest.mark.parametrize(
    ("options", "said"), [({"seed": 8}, "seed 7 -> 8"), ({"arrays": ("flux",)}, "arrays .* -> .'flux'.")]
)
def test_a_set_is_not_continued_with_other_settings(two_line_grid, copied, options, said):
    recipe = replace(make_recipe(two_line_grid), **options)
    with pytest.raises(UsageError, match=f"changed: {said}$"):
        simulate_shards(copied, recipe, resume=True)
    assert verify(copied) == []


def test_a_folder_that_is_in_use_is_left_alone(two_line_grid, copied, tmp_path):
    recipe = make_recipe(two_line_grid)
    with pytest.raises(OutputError, match="holds a set already"):
        simulate_shards(copied, recipe)
    with pytest.raises(UsageError, match="give one of the two"):
        simulate_shards(copied, recipe, resume=True, overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(OutputError, match=r"holds thesis\.tex and is not a set"):
        simulate_shards(tmp_path / "other", recipe, overwrite=True)
    assert verify(copied) == []


def test_a_signal_ends_a_set_between_two_pieces_and_resume_completes_it(
    two_line_grid, shard_set, tmp_path, monkeypatch
):
    write, folder, recipe = writing.write_rows, tmp_path / "set", make_recipe(two_line_grid)

    def interrupted(path, *args, tick, **options):
        def tick_and_kill(done):
            tick(done)
            if path.parent.name == "shard_001":
                os.kill(os.getpid(), signal.SIGTERM)

        return write(path, *args, tick=tick_and_kill, **options)

    monkeypatch.setattr(writing, "write_rows", interrupted)
    with pytest.raises(Interrupted, match="SIGTERM with 1 of 3 shards finished; continue with --resume"):
        simulate_shards(folder, recipe)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "dataset.h5",
        "manifest.json",
    ]
    assert verify(folder) == ["shard_001: not finished", "shard_002: not finished"]
    monkeypatch.setattr(writing, "write_rows", write)
    simulate_shards(folder, recipe, resume=True)
    for found, expected in zip(content(folder), content(shard_set), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_command_writes_and_verifies_sets(two_line_grid, tmp_path, capsys):
    def specvit(*args):
        cli.parse(["simulate", "--out", str(tmp_path / "set"), *args])()
        return capsys.readouterr().out

    options = (
        "--grid",
        str(two_line_grid),
        "--sampling",
        "snapped",
        "--arrays",
        "flux",
        "--noise-level",
        "0.5",
    )
    assert "wrote 3 shards" in specvit("--n", "130", "--shard-size", "50", "--workers", "1", *options)
    settings = read_set(tmp_path / "set").settings
    assert (settings["prior"], settings["arrays"], settings["noise_level"]) == ("snapped", ["flux"], 0.5)
    source, _ = open_source(DataConfig(source=str(tmp_path / "set"), grid=str(two_line_grid)))
    assert np.isin(np.asarray(source.spectra.labels[:, 1]), [1, 2, 3, 4, 5]).any()
    assert "all shards are as they were written" in specvit("--verify")
    (tmp_path / "set/shard_001/dataset.h5").unlink()
    with pytest.raises(DataError, match=r"1 shards .* shard_001: .* is missing; write them with --resume"):
        specvit("--verify")
    assert "wrote 3 shards" in specvit(
        "--n", "130", "--shard-size", "50", "--workers", "1", "--resume", *options
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--shards", "2"), "--n, the number of spectra"),
        (("--n", "5", "--resume"), "give --shards"),
        (("--n", "5", "--shards", "2", "--shard-size", "3"), "--shards or --shard-size"),
        (("--n", "5", "--shards", "6"), "between 1 and the 5 spectra, found 6"),
        (("--n", "5", "--shards", "2", "--workers", "0"), "--workers must be a number from 1"),
        (("--n", "5", "--shards", "2", "--sampling", "snapped", "--beta", "log_g=2:5"), "leave out beta"),
    ],
)
def test_a_command_that_contradicts_itself_is_refused(two_line_grid, tmp_path, args, said):
    words = ["simulate", "--out", str(tmp_path / "set"), "--grid", str(two_line_grid), *args]
    with pytest.raises(UsageError, match=said):
        cli.parse(words)()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more", [(), ("--shards", "4")])
@pytest.mark.parametrize(
    ("n", "error", "said"),
    [(10**12, UsageError, "n must be at most 2,147,418,112"), (2 * 10**9, OutputError, "GiB are free there")],
)
def test_spectra_beyond_counting_or_the_disk_are_refused_before_anything_is_made(
    two_line_grid, tmp_path, monkeypatch, more, n, error, said
):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(2**45, 0, 2**44))
    options = ["--n", str(n), "--grid", str(two_line_grid), *more]
    with pytest.raises(error, match=said):
        cli.parse(["simulate", "--out", str(tmp_path / "set"), *options])()
    assert not list(tmp_path.iterdir())


def test_a_set_that_is_there_counts_as_room_for_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(2**45, 0, 1000))
    check_space(tmp_path / "set", 25, 10, ("flux",))
    check_space(tmp_path / "set", 25, 20, ("flux",), there=1000)
    with pytest.raises(OutputError, match="26 spectra take"):
        check_space(tmp_path / "set", 26, 10, ("flux",))


def test_files_to_train_on_are_compared_with_their_checksums(copied, tmp_path):
    source = DataConfig(source=str(copied))
    assert check_sums(source) == "checksums: 3 of 3 file(s) of spectra agree, 0 have none"
    assert check_sums(source, slice(1, None, 2)).startswith("checksums: 1 of 1 file(s)")
    assert check_sums(DataConfig()) == ""
    foreign = write_clean(tmp_path / "foreign.h5", 3)
    alone = Path(shutil.copy(copied / "shard_001" / "dataset.h5", tmp_path / "alone.h5"))
    both = DataConfig(source=f"{foreign},{alone}")
    assert check_sums(both) == "checksums: 1 of 2 file(s) of spectra agree, 1 have none"
    for path, told in ((copied / "shard_001" / "dataset.h5", source), (alone, both)):
        with h5py.File(path, "a") as file:
            file["dataset/arrays/flux/value"][3, 5] += 0.01
        with pytest.raises(DataError, match=rf"{path.name}.* (as it|what) was written .*SHA-256"):
            check_sums(told)


def test_a_process_is_started_only_where_it_has_enough_to_do(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    assert [writing.default_workers(n) for n in (1, 149_999, 150_000, 10**7)] == [1, 1, 2, 4]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_stop_leaves_whole_shards_only(two_line_grid, tmp_path, workers, number):
    folder = tmp_path / "set"
    command = [
        sys.executable,
        "-m",
        "specvit_jax.cli",
        "simulate",
        "--grid",
        str(two_line_grid),
        "--out",
        str(folder),
    ]
    command += ["--n", "40000", "--shards", "80", "--arrays", "flux", "--workers", str(workers)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(folder.glob("*/dataset.h5")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    said = process.communicate()[1]
    assert process.returncode == 75
    assert f"stopped by {number.name}" in said
    assert "--resume" in said
    assert not list(folder.rglob("*.partial*"))
    made = read_set(folder)
    assert 1 <= len(made.done) < 80
    assert len(verify(folder)) == 80 - len(made.done)


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(two_line_grid, tmp_path):
    # The workers have pieces of the normal size.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "CHUNK", data.CHUNK)
        for workers in (1, 2):
            simulate_shards(tmp_path / str(workers), make_recipe(two_line_grid), workers=workers)
    one, two = content(tmp_path / "1"), content(tmp_path / "2")
    for found, expected in zip(two, one, strict=True):
        np.testing.assert_array_equal(found, expected)
    for name in ("shard_000", "shard_001", "shard_002"):
        paths = [tmp_path / workers / name / "dataset.h5" for workers in "12"]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_files_that_are_used_in_part_are_not_compared(copied):
    (path,) = {copied / "shard_001" / "dataset.h5"}
    first = DataConfig(source=str(copied / "shard_001"))
    n = count_rows([path])[0]
    with h5py.File(path, "a") as file:
        file["dataset/arrays/flux/value"][n - 1] = np.nan
    part = check_sums(replace(first, rows=n - 1))
    assert part == (
        "checksums: 0 of 0 file(s) of spectra agree, 0 have none; "
        "files used in part (data.rows) are not compared"
    )
    with pytest.raises(DataError, match="SHA-256"):
        check_sums(replace(first, rows=n))
