"""Real training programs that are killed, stopped, and refused by the disk."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from specvit_jax.network.weights import load_weights

ROOT = Path(__file__).resolve().parents[3]
WAIT_S = 120.0  # for a program to come to a point, on a busy machine
STARTED: list[subprocess.Popen[str]] = []
LEAVE_S = 20.0  # a signal has to end a program within that, far less than SLOW_S of the program


def start(out: Path, *args: object) -> subprocess.Popen[str]:
    """The toy training program, its output read line by line."""
    command = [sys.executable, "-m", "tests.specvit_jax.program", str(out), *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    STARTED.append(subprocess.Popen(command, cwd=ROOT, **pipes))
    return STARTED[-1]


@pytest.fixture(autouse=True)
def no_program_outlives_its_test():
    """Kills what a failed test leaves."""
    yield
    for process in STARTED:
        process.kill()
        process.communicate()
    STARTED.clear()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit status and what it said on stderr."""
    _, said = process.communicate(timeout=WAIT_S)
    return process.returncode, said


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    """Returns once something is so, while the program runs."""
    limit = time.monotonic() + WAIT_S
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.005)


def rows(out: Path) -> list[dict[str, float]]:
    path = out / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def checkpoints(out: Path) -> list[int]:
    folder = out / "checkpoints"
    return sorted(int(p.name) for p in folder.glob("[0-9]*") if p.name.isdigit()) if folder.exists() else []


def leaves(out: Path, which: str) -> list[np.ndarray]:
    return jax.tree.leaves(load_weights(out / "weights" / f"{which}.safetensors").params)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run of 40 steps that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert finish(start(out, 40))[0] == 0
    return out


@pytest.mark.slow
def test_killed_at_random_and_while_writing_it_ends_as_if_never_killed(whole, tmp_path):
    out, dice = tmp_path / "run", random.Random(1)
    for kill in range(5):
        process = start(out, 40)
        if kill % 2:  # as soon as a checkpoint is half-written
            wait_for(lambda: any((out / "checkpoints").glob("*tmp*")), process)
        else:
            seen = len(checkpoints(out))
            wait_for(lambda seen=seen: len(checkpoints(out)) > min(seen, 1), process)
            time.sleep(dice.uniform(0.0, 0.1))
        process.kill()
        finish(process)
    assert finish(start(out, 40))[0] == 0
    for which in ("best", "last"):
        for mine, undisturbed in zip(leaves(out, which), leaves(whole, which), strict=True):
            np.testing.assert_array_equal(mine, undisturbed)
    found, expected = ([row["val_r2"] for row in rows(o) if "val_r2" in row] for o in (out, whole))
    assert found == expected
    trained = [row["step"] for row in rows(out) if "loss" in row]
    assert trained == list(range(2, 42, 2))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_ends_with_75(tmp_path, number):
    process = start(tmp_path / "run", 1_000_000)
    wait_for(lambda: len(rows(tmp_path / "run")) > 2, process)
    process.send_signal(number)
    begun = time.monotonic()
    status, said = finish(process)
    assert time.monotonic() - begun < LEAVE_S
    assert status == 75
    last = checkpoints(tmp_path / "run")[-1]
    assert f"error: stopped by {number.name} after step {last}; continue with --resume" in said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "saved", "said"),
    [("slow-eval", [4], "while step 4 was scored"), ("slow-compile", [], "while the step was compiled")],
)
def test_a_signal_ends_it_within_seconds_whatever_it_does(whole, tmp_path, what, saved, said):
    process = start(tmp_path / "run", 40, what)
    wait_for(lambda: "in slow" in process.stdout.readline(), process)
    process.terminate()
    begun = time.monotonic()
    status, error = finish(process)
    assert time.monotonic() - begun < LEAVE_S
    assert status == 75
    assert said in error
    assert checkpoints(tmp_path / "run") == saved
    assert finish(start(tmp_path / "run", 40))[0] == 0
    found, expected = ([row for row in rows(o) if "val_r2" in row] for o in (tmp_path / "run", whole))
    assert found == expected  # the evaluation that was cut off has been made up for


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_checkpoints_before_it_go_on(tmp_path):
    out = tmp_path / "run"
    process = start(out, 40, "slow-eval")
    wait_for(lambda: "in slow" in process.stdout.readline(), process)
    process.terminate()
    assert finish(process)[0] == 75
    status, said = finish(start(out, 40, "full-disk"))
    assert status == 74
    assert len(said.strip().splitlines()) <= 3  # beside progress lines
    assert "Traceback" not in said
    assert checkpoints(out) == [4]
    assert finish(start(out, 40))[0] == 0


@pytest.mark.slow
def test_a_second_program_on_the_same_run_ends_with_69_and_leaves_it_alone(tmp_path):
    out = tmp_path / "run"
    first = start(out, 1_000_000)
    wait_for(lambda: len(rows(out)) > 2, first)
    status, said = finish(start(out, 1_000_000))
    assert status == 69
    assert str(first.pid) in said
    assert first.poll() is None
    first.terminate()
    assert finish(first)[0] == 75
    steps = [row["step"] for row in rows(out) if "loss" in row]
    assert steps == sorted(set(steps))


@pytest.mark.slow
def test_an_evaluation_cut_off_again_and_again_leaves_no_row_twice(whole, tmp_path):
    out = tmp_path / "run"
    for _ in range(2):
        process = start(out, 40, "slow-eval")
        wait_for(lambda process=process: "in slow" in process.stdout.readline(), process)
        process.terminate()
        assert finish(process)[0] == 75
    assert finish(start(out, 40))[0] == 0
    found, expected = ([row for row in rows(o) if "val_r2" in row] for o in (out, whole))
    assert found == expected
