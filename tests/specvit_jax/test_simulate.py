"""Files of simulated spectra: what they hold, what it depends on, and how a set survives an interruption."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crlb.errors import DataError, Interrupted, OutputError, UsageError
from specvit_jax import cli, data
from specvit_jax import simulate as simulating
from specvit_jax import simulate_shards as writing
from specvit_jax.config import DataConfig
from specvit_jax.data import Batch, Simulator, make_simulator
from specvit_jax.shard_set import Recipe, read_set, verify
from specvit_jax.simulate import simulate
from specvit_jax.simulate_shards import simulate_shards
from specvit_jax.stored import StoredSpectra, open_source

from .toy import save_two_line_grid

N = 64  # spectra of a piece
N_FILE = N + 10
sample = jax.jit(Simulator.sample)


@pytest.fixture(autouse=True, scope="module")
def small_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulating, "CHUNK", N)
        yield


@pytest.fixture(scope="module")
def grid_path(tmp_path_factory):
    return save_two_line_grid(tmp_path_factory.mktemp("grid") / "grid.h5")


@pytest.fixture(scope="module")
def simulator(grid_path) -> Simulator:
    return make_simulator(grid_path, mag=(20.0, 22.0))


@pytest.fixture(scope="module")
def file(simulator, tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated") / "test.h5"
    simulate(path, simulator, N_FILE, seed=7)  # in two pieces
    return path


def test_a_simulated_file_holds_the_spectra_of_its_seed(simulator, file):
    found = data.read_spectra(file, need=("flux", "error", "noisy"))
    assert found.n == N_FILE
    expected = [sample(simulator, jax.random.key(7), jnp.arange(N) + start) for start in (0, N)]
    stars = Batch(*(np.concatenate(parts)[:N_FILE] for parts in zip(*expected, strict=True)))
    np.testing.assert_allclose(found.noisy, stars.flux, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(found.flux, stars.clean, rtol=2e-6)
    np.testing.assert_allclose(found.error, stars.error, rtol=1e-5)
    np.testing.assert_allclose(found.select(("T_eff", "log_g")), stars.labels, rtol=1e-6)
    np.testing.assert_allclose(found.mag, stars.mag, rtol=1e-6)


def test_the_snr_column_is_the_median_over_pixels_of_flux_over_error(file):
    found = data.read_spectra(file, need=("flux", "error"))
    np.testing.assert_allclose(found.snr, np.median(found.flux / found.error, axis=1), rtol=1e-5)
    np.testing.assert_allclose(pd.read_hdf(file)["snr"], found.snr)


def test_a_file_repeats_by_seed_bit_for_bit(simulator, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, simulator, 3, seed=seed)
    noisy = [data.read_spectra(tmp_path / name, need=("noisy",)).noisy for name in "abc"]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).mean() > 0.99


def test_simulate_replaces_a_file_only_when_asked(simulator, tmp_path):
    path = tmp_path / "test.h5"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        simulate(path, simulator, 2, seed=0)
    assert path.read_text() == "precious"
    simulate(path, simulator, 2, seed=0, overwrite=True)
    assert data.read_spectra(path).n == 2


def test_simulate_leaves_nothing_behind_when_it_fails(simulator, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulating, "_store", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "test.h5", simulator, 2, seed=0)
    assert not list(tmp_path.iterdir())


def test_simulate_refuses_no_spectra(simulator, tmp_path):
    with pytest.raises(UsageError, match="n must be at least 1"):
        simulate(tmp_path / "test.h5", simulator, 0, seed=0)


def test_a_file_as_source_observes_its_own_stars_with_fresh_noise(file):
    source, stored = open_source(DataConfig(source=str(file)))[0], data.read_spectra(file)
    assert isinstance(source, StoredSpectra)
    assert (source.rows, source.label_names) == (N_FILE, ("T_eff", "log_g"))
    draw = jax.jit(StoredSpectra.sample)
    one, two = (draw(source, jax.random.key(k), jnp.arange(5)) for k in (1, 2))
    np.testing.assert_array_equal(one.clean, two.clean)
    assert (np.asarray(one.flux) != np.asarray(two.flux)).mean() > 0.99
    order = np.argsort(stored.labels["T_eff"])
    rows = order[np.searchsorted(stored.labels["T_eff"][order], np.asarray(one.labels[:, 0]) - 1e-3)]
    np.testing.assert_array_equal(one.clean, stored.flux[rows])
    np.testing.assert_allclose(one.mag, stored.mag[rows], rtol=1e-6)
    np.testing.assert_allclose(one.labels[:, 1], stored.labels["log_g"][rows], rtol=1e-6)
    assert stats.kstest(np.ravel((one.flux - one.clean) / one.error), stats.norm.cdf).pvalue > 0.01


def test_a_file_as_source_is_shuffled_once_by_seed(file):
    stored = data.read_spectra(file).labels["log_g"].astype(np.float32)
    sources = [open_source(DataConfig(source=str(file)), seed=seed)[0] for seed in (0, 0, 1)]
    orders = [np.asarray(source.spectra.labels[:, 1]) for source in sources]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
    assert (orders[0] != stored).any()
    np.testing.assert_array_equal(np.sort(orders[0]), np.sort(stored))


def make_recipe(grid_path, shards=3, **options) -> Recipe:
    data = DataConfig(grid=str(grid_path), mag=(20.0, 22.0))
    return Recipe(N_FILE * 2, 7, data, shards, **({"arrays": ("flux", "error")} | options))


def content(folder) -> tuple[np.ndarray, ...]:
    """Flux, errors, labels, magnitudes and SNR of a set, in the order of its index."""
    names = (folder / "shard_index.txt").read_text().split()
    parts = [data.read_spectra(folder / name / "dataset.h5", need=("flux", "error")) for name in names]
    columns = [(part.flux, part.error, *part.labels.values(), part.mag, part.snr) for part in parts]
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))


@pytest.fixture(scope="module")
def shard_set(grid_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "three"
    simulate_shards(folder, make_recipe(grid_path))
    return folder


@pytest.fixture
def copied(shard_set, tmp_path):
    return Path(shutil.copytree(shard_set, tmp_path / "copy"))


def test_one_shard_and_three_hold_the_same_bits(grid_path, shard_set, tmp_path):
    simulate_shards(tmp_path / "one", make_recipe(grid_path, shards=1))
    for found, expected in zip(content(tmp_path / "one"), content(shard_set), strict=True):
        assert len(found) == 2 * N_FILE
        np.testing.assert_array_equal(found, expected)
    assert verify(shard_set) == verify(tmp_path / "one") == []
    assert not list(shard_set.rglob("*.partial*"))


def test_resume_keeps_sound_shards_and_writes_a_damaged_one_again(grid_path, copied, capsys):
    before = {path: path.read_bytes() for path in copied.glob("shard_*/dataset.h5")}
    stamps = {path: path.stat().st_mtime_ns for path in before}
    damaged = copied / "shard_001" / "dataset.h5"
    with damaged.open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"damage")
    (copied / "shard_002" / "dataset.h5").unlink()
    (copied / "shard_002" / ".dataset.h5.partial9").write_text("left behind")
    wrong = verify(copied)
    assert [line.split(":")[0] for line in wrong] == ["shard_001", "shard_002"]
    assert "SHA-256 differs" in wrong[0]
    assert "is missing" in wrong[1]
    simulate_shards(copied, make_recipe(grid_path), resume=True)
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
def test_a_set_is_not_continued_with_other_settings(grid_path, copied, options, said):
    recipe = replace(make_recipe(grid_path), **options)
    with pytest.raises(UsageError, match=f"changed: {said}$"):
        simulate_shards(copied, recipe, resume=True)
    assert verify(copied) == []


def test_a_folder_that_is_in_use_is_left_alone(grid_path, copied, tmp_path):
    recipe = make_recipe(grid_path)
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
    grid_path, shard_set, tmp_path, monkeypatch
):
    write, folder, recipe = writing.write_rows, tmp_path / "set", make_recipe(grid_path)

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


def test_a_signal_leaves_no_part_of_a_single_file(simulator, tmp_path, monkeypatch):
    store = simulating._store

    def store_and_kill(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return store(*args)

    monkeypatch.setattr(simulating, "_store", store_and_kill)
    with pytest.raises(Interrupted, match=r"stopped while .*test\.h5 was written"):
        simulate(tmp_path / "test.h5", simulator, N_FILE, seed=7)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_and_verifies_sets(grid_path, tmp_path, capsys):
    def specvit(*args):
        cli.parse(["simulate", "--out", str(tmp_path / "set"), *args])()
        return capsys.readouterr().out

    options = ("--grid", str(grid_path), "--prior", "snapped", "--arrays", "flux", "--noise-level", "0.5")
    assert "wrote 3 shards" in specvit("--n", "130", "--shard-size", "50", "--workers", "1", *options)
    settings = read_set(tmp_path / "set").settings
    assert (settings["prior"], settings["arrays"], settings["noise_level"]) == ("snapped", ["flux"], 0.5)
    source, _ = open_source(DataConfig(source=str(tmp_path / "set"), grid=str(grid_path)))
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
        (("--n", "5", "--shards", "2", "--workers", "0"), "workers must be at least 1"),
        (("--n", "5", "--shards", "2", "--prior", "snapped", "--beta", "log_g=2:5"), "leave out beta"),
    ],
)
def test_a_command_that_contradicts_itself_is_refused(grid_path, tmp_path, args, said):
    command = cli.parse(["simulate", "--out", str(tmp_path / "set"), "--grid", str(grid_path), *args])
    with pytest.raises(UsageError, match=said):
        command()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_stop_leaves_whole_shards_only(grid_path, tmp_path, workers, number):
    folder = tmp_path / "set"
    command = [
        sys.executable,
        "-m",
        "specvit_jax.cli",
        "simulate",
        "--grid",
        str(grid_path),
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
def test_two_workers_write_the_same_bytes(grid_path, tmp_path):
    # The workers have pieces of the normal size.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulating, "CHUNK", data.CHUNK)
        for workers in (1, 2):
            simulate_shards(tmp_path / str(workers), make_recipe(grid_path), workers=workers)
    one, two = content(tmp_path / "1"), content(tmp_path / "2")
    for found, expected in zip(two, one, strict=True):
        np.testing.assert_array_equal(found, expected)
    for name in ("shard_000", "shard_001", "shard_002"):
        paths = [tmp_path / workers / name / "dataset.h5" for workers in "12"]
        assert paths[0].read_bytes() == paths[1].read_bytes()
