"""benchmarks/gpu: every piece runs at toy size on a CPU; a training comes home in files and goes on."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "gpu"


@pytest.fixture
def parcels(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("parcels")
    monkeypatch.setattr(module, "PIECE", 1000)
    return module


def a_run(folder: Path) -> Path:
    for step, text in ((5, b"old"), (10, b"x" * 2500)):
        (folder / "checkpoints" / str(step)).mkdir(parents=True)
        (folder / "checkpoints" / str(step) / "state").write_bytes(text)
    (folder / "weights").mkdir()
    (folder / "weights" / "best.safetensors").write_bytes(b"w")
    (folder / "config.yaml").write_text("preset: paper\n")
    return folder


def test_a_run_comes_home_in_small_files_with_its_newest_checkpoint(parcels, tmp_path):
    run = a_run(tmp_path / "run")
    (tmp_path / "state-99").write_bytes(b"left by an earlier one")
    paths = parcels.split(run, tmp_path)
    assert len(paths) > 3
    assert max(path.stat().st_size for path in paths) == 1000
    again = parcels.join(tmp_path, tmp_path / "again")
    assert sorted(path.relative_to(again).as_posix() for path in again.rglob("*") if path.is_file()) == [
        "checkpoints/10/state",
        "config.yaml",
    ]
    assert (again / "checkpoints/10/state").read_bytes() == b"x" * 2500


def test_files_of_a_run_that_are_missing_are_told(parcels, tmp_path):
    parcels.split(a_run(tmp_path / "run"), tmp_path)
    (tmp_path / "state-01").unlink()
    with pytest.raises(FileNotFoundError, match=r"state-00 to the last, found \['state-00', 'state-02'"):
        parcels.join(tmp_path, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError):
        parcels.join(tmp_path / "none", tmp_path / "again")


def gpu(*words: object) -> str:
    command = [sys.executable, str(FOLDER), "--toy", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_piece_runs_at_toy_size_and_a_training_goes_on(tmp_path):
    gpu("--out", tmp_path / "one", "--seconds", 0)  # stopped after its first step
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "one").glob("*.json")}
    assert set(found) == {"smoke", "train", "throughput", "attention", "input", "limit", "fisher"}
    assert all(one["toy"] and one["device"] for one in found.values())
    assert found["train"]["r2_log_g"] is None
    assert found["throughput"]["matrix_product_tflops"] > 0
    assert all(row["spectra_per_second"] > 0 for row in found["throughput"]["rows"])
    assert found["attention"]["paper"]["differ"]["as jax chooses"] < 0.05
    assert "is there already" in gpu("--out", tmp_path / "one", "--pieces", "smoke")
    gpu("--out", tmp_path / "two", "--pieces", "train", "--seconds", 600, "--state", tmp_path / "one")
    more = json.loads((tmp_path / "two" / "train.json").read_text())
    steps = [json.loads(line)["step"] for line in more["metrics"]]
    assert steps == sorted(steps)
    assert steps[-1] == 6
    assert more["stars"] == 100
    assert more["r2_log_g"] < more["r2_bayes"]
