"""`specvit predict`: what it refuses before jax, what it writes, and how it goes on after an interruption."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, Interrupted, MissingInputError, OutputError, UsageError
from crlb.files.spectra import write_spectra
from specvit_jax import cli
from specvit_jax.evaluation import label_files as module
from specvit_jax.evaluation import training_set
from specvit_jax.network.weights import save_weights
from specvit_jax.settings.config import Config, DataConfig
from tests.specvit_jax.evaluation.conftest import MODEL, N, stars, weights  # noqa: F401


def run(*args: object) -> None:
    cli.parse(["predict", *map(str, args)])()


@pytest.fixture(scope="module")
def folder(weights, two_line_grid, tmp_path_factory):  # noqa: F811
    """A run with a small network, its training set beside it, and files of spectra."""
    found = tmp_path_factory.mktemp("run")
    (found / "weights").mkdir()
    config = Config(model=MODEL, data=DataConfig(grid=str(two_line_grid)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_set, "N_SPECTRA", 100)
        path = found / "weights" / "best.safetensors"
        save_weights(path, weights._replace(config=config), {"step": 1.0})
        training_set.training_set(weights._replace(config=config), path)
    write_spectra(found / "stars.h5", stars())
    spectrum = stars(1)
    columns = np.stack([DETECTOR_WAVE, spectrum.noisy[0], spectrum.error[0]], axis=1)
    np.savetxt(found / "star.txt", columns, header="wave flux error")
    (found / "bad.txt").write_text("no spectrum\n")
    return found


def test_every_star_has_a_row_in_the_order_of_the_files(folder, tmp_path, capsys):
    said = ["--wave-unit", "A", "--wave-medium", "vacuum", "--rv", "0"]
    run(folder, folder / "stars.h5", folder / "star.txt", "--out", tmp_path / "t.ecsv", *said)
    found = Table.read(tmp_path / "t.ecsv")
    assert len(found) == N + 1
    assert found["row"][:N].tolist() == list(range(N))
    assert found["file"][-1].endswith("star.txt")
    assert np.isfinite(found["log_g"]).all()
    assert str(found["T_eff"].unit) == "K"
    assert len(found.meta["weights_sha256"]) == 64
    assert "CONDITIONS" in found.meta["flags"]
    said = capsys.readouterr()
    assert f"{N + 1} stars" in said.out
    assert "assumes" in said.err


def test_a_file_that_cannot_be_read_keeps_a_row_among_others(folder, tmp_path):
    run(folder, folder / "bad.txt", folder / "stars.h5", "--out", tmp_path / "t.csv", "--rows", "0", "3")
    found = pd.read_csv(tmp_path / "t.csv")
    assert found["flags"][0] == "UNUSABLE"
    assert "bad.txt" in found["note"][0]
    assert found["log_g"].isna().tolist() == [True, False, False, False]
    with pytest.raises(DataError, match=r"bad\.txt"):
        run(folder, folder / "bad.txt", "--out", tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_where_no_spectrum_can_be_used_the_table_says_why_and_the_status_is_65(folder, tmp_path):
    spectra = stars(4)
    write_spectra(tmp_path / "zero.h5", stars(4, noisy=-np.asarray(spectra.noisy)))
    with pytest.raises(DataError, match="no spectrum could be used"):
        run(folder, tmp_path / "zero.h5", "--out", tmp_path / "t.csv")
    assert "not above zero" in pd.read_csv(tmp_path / "t.csv")["note"][0]


@pytest.mark.parametrize(
    ("args", "error", "word"),
    [
        (("none.h5", "--out", "t.csv"), MissingInputError, "none.h5"),
        (("stars.h5", "--out", "t.txt"), UsageError, r"\.ecsv"),
        (("stars.h5", "--out", "stars.h5"), UsageError, r"\.ecsv"),
        (("stars.h5", "--out", "none/t.csv"), OutputError, "folder"),
        (("stars.h5", "--out", "there.csv"), OutputError, "--overwrite"),
        (("stars.h5", "--out", "t.csv", "--batch", "0"), UsageError, "--batch"),
        (("stars.h5", "--out", "t.csv", "--rv", "40500"), UsageError, "m/s"),
        (("stars.h5", "--out", "t.csv", "--columns", "x=y"), UsageError, "ROLE=COLUMN"),
        (("stars.h5", "--out", "t.csv", "--rows", "9000", "9001"), UsageError, "--rows"),
        (("star.txt", "--out", "t.csv"), DataError, "--wave-medium"),
        (("bad.txt", "--out", "t.csv"), DataError, "bad.txt"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(folder, tmp_path, monkeypatch, args, error, word):
    for name in ("stars.h5", "star.txt", "bad.txt"):
        os.link(folder / name, tmp_path / name)
    (tmp_path / "there.csv").write_text("kept")
    before = sorted(os.listdir(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=word):
        run(folder, *args)
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "there.csv").read_text() == "kept"


def test_refusals_come_before_jax(folder, tmp_path):
    code = f"""
import sys
from specvit_jax.cli import parse
for args in (["{folder}/bad.txt"], ["{folder}/star.txt"], ["{folder}/stars.h5", "--rv", "1e9"]):
    try:
        parse(["predict", "{folder}", *args, "--out", "{tmp_path}/t.csv"])()
    except ValueError as error:
        print(type(error).__name__, "jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["DataError", "False", "DataError", "False", "UsageError", "False"]


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits"])
def test_an_interrupted_run_goes_on_and_writes_the_same_bytes(folder, tmp_path, monkeypatch, suffix):
    """The signal comes while the second batch is being computed."""
    out, options = tmp_path / f"t{suffix}", ("--batch", "64")
    monkeypatch.setattr(sys, "argv", ["specvit", "predict"])
    run(folder, folder / "stars.h5", "--out", out, *options)
    whole = out.read_bytes()
    out.unlink()
    original, calls = module.TrainedNetwork.label, []

    def stopping(self, spectra, batch):
        for part in original(self, spectra, batch):
            calls.append(len(part))
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield part

    monkeypatch.setattr(module.TrainedNetwork, "label", stopping)
    with pytest.raises(Interrupted, match="128 rows"):
        run(folder, folder / "stars.h5", "--out", out, *options)
    assert not out.exists()
    run(folder, folder / "stars.h5", "--out", out, *options)
    assert sum(calls) == N  # no star was computed twice
    assert out.read_bytes() == whole
    assert os.listdir(tmp_path) == [out.name]


def test_rows_skipped_are_those_of_whole_files_and_failures(folder, tmp_path):
    from crlb.readers.many import spectra_of
    from crlb.readers.options import ReadOptions

    paths = [folder / name for name in ("bad.txt", "stars.h5", "bad.txt", "stars.h5")]
    options = ReadOptions(rows=(0, 3))
    every = [str(one.origin) for one in spectra_of(paths, options)]
    assert len(every) == 8
    for skip in range(9):
        assert [str(one.origin) for one in spectra_of(paths, options, skip)] == every[skip:]


def test_another_method_adds_its_columns_to_each_batch(folder, tmp_path):
    from crlb.files.tables import Column
    from crlb.readers.options import ReadOptions
    from specvit_jax.evaluation.label_table import label_table
    from specvit_jax.evaluation.trained import load
    from specvit_jax.network.find import find_weights

    table = label_table(
        tmp_path / "t.csv", find_weights(folder), [folder / "stars.h5"], ReadOptions(),
        command="", batch=64, overwrite=False, more=[Column("middle")],
    )  # fmt: skip
    middles = lambda batch: {"middle": [np.median(one.flux) for one in batch]}  # noqa: E731
    module.label_files(load(folder), [folder / "stars.h5"], ReadOptions(), table, 64, middles)
    found = pd.read_csv(tmp_path / "t.csv")["middle"]
    np.testing.assert_allclose(found, np.median(stars().noisy, axis=1), rtol=1e-6)
