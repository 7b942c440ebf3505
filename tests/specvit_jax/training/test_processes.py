"""Several processes on one machine, connected by jax.distributed: a real one-run-many-hosts job in small."""

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


def start_two(out: Path, steps: int):
    """Both processes of a run."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return [start(out, steps, "", address, 2, process) for process in range(2)]


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
