"""Several processes on one machine, connected by jax.distributed: a real one-run-many-hosts job in small."""

import shutil
import signal
import socket
from pathlib import Path

import jax
import numpy as np
import pytest

from specvit_jax.evaluation.predict import predict
from specvit_jax.network.weights import load_weights
from tests.specvit_jax.program import source
from tests.specvit_jax.training.test_survival import (
    checkpoints,
    finish,
    no_program_outlives_its_test,
    rows,
    start,
    wait_for,
)

__all__ = ["no_program_outlives_its_test"]


def start_two(out: Path, steps: int, other: str = "", there: Path | None = None):
    """Both processes of a run; the second one perhaps with another setting or run directory."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    first = start(out, steps, "", address, 2, 0)
    return [first, start(there or out, steps, other, address, 2, 1)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The same run in one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert finish(start(out, 12))[0] == 0
    return out


@pytest.mark.slow
def test_two_processes_train_as_one(alone, tmp_path):
    out = tmp_path / "run"
    for process in start_two(out, 12):
        status, said = finish(process)
        assert status == 0, said
    assert [row["step"] for row in rows(out)] == [row["step"] for row in rows(alone)]  # written once
    for one, two in zip(rows(alone), rows(out), strict=True):
        for name in ("loss", "val_r2"):
            assert one.get(name, 0.0) == pytest.approx(two.get(name, 0.0), rel=1e-3)
    # Not the parameters: a key's bias has no gradient but rounding, which Adam brings to full size.
    flux = np.asarray(source().sample(jax.random.key(9), np.arange(64)).flux)
    found = [predict(load_weights(o / "weights" / "last.safetensors"), flux).labels for o in (alone, out)]
    np.testing.assert_allclose(found[1], found[0], atol=5e-3)  # dex
    assert np.std(found[0]) > 0.5


@pytest.mark.slow
def test_a_signal_to_one_stops_both_and_one_process_can_go_on(alone, tmp_path):
    out = tmp_path / "run"
    two = start_two(out, 100_000)
    wait_for(lambda: len(rows(out)) > 2, two[0])
    two[1].send_signal(signal.SIGUSR1)
    assert [finish(process)[0] for process in two] == [75, 75]
    stopped = checkpoints(out)[-1]
    assert stopped % 10 == 0
    process = start(out, 100_000)
    wait_for(lambda: rows(out)[-1]["step"] > stopped, process)
    process.terminate()
    status, said = finish(process)
    assert status == 75
    assert "2 processes" in said  # the layout changed, and it says so


@pytest.mark.slow
def test_processes_with_different_settings_are_refused_before_anything_is_written(tmp_path):
    for process in start_two(tmp_path / "run", 12, "train.learning_rate=2e-2"):
        status, said = finish(process)
        assert status == 2, said
        assert "learning_rate: 0.01" in said
        assert "learning_rate: 0.02" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_processes_with_different_checkpoints_or_folders_are_refused(alone, tmp_path):
    shutil.copytree(alone, tmp_path / "run")
    shutil.copytree(alone, tmp_path / "other")
    newest = max((tmp_path / "other" / "checkpoints").glob("[0-9]*"), key=lambda path: int(path.name))
    shutil.rmtree(newest)
    for there, said in ((tmp_path / "other", "step 12 to go on from"), (tmp_path / "new", "not in sight")):
        for process in start_two(tmp_path / "run", 16, there=there):
            status, error = finish(process)
            assert status == 2, error
            assert said in error
