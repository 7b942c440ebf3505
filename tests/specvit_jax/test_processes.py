"""Several processes on one machine, connected by jax.distributed: a real one-run-many-hosts job in small."""

import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from tests.specvit_jax.test_survival import checkpoints, finish, leaves, rows, start, wait_for


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
            assert one.get(name) == pytest.approx(two.get(name), rel=1e-3)
    for one, two in zip(leaves(alone, "last"), leaves(out, "last"), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-2, atol=1e-3)


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
