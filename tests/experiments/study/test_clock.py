"""Time of an experiment: its starts together, the steps of one; computations side by side."""

import contextlib
import threading
import time

import pytest

from crlb.errors import DataError, Interrupted
from crlb.files.records import write_json
from crlb.files.text_input import read_json
from experiments.study import clock as module
from experiments.study.beside import beside
from experiments.study.clock import Clock, Spent


@pytest.fixture
def now(monkeypatch):
    value = [500.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: value[0])
    return value


def test_steps_are_told_with_the_time_since_the_start_and_measured(now, tmp_path, capsys):
    clock = Clock(tmp_path / "seconds.json")
    for passed in (70.0, 5.0):
        with clock.step("trees grow"):
            now[0] += passed
    with contextlib.suppress(DataError), clock.step("spectra are drawn"):
        now[0] += 2.5
        raise DataError("no")
    assert capsys.readouterr().err.splitlines() == [
        "[0:00:00] trees grow",
        "[0:01:10] trees grow",
        "[0:01:15] spectra are drawn",
    ]
    clock.keep()
    kept = Spent.from_json(read_json(tmp_path / "seconds.json", "time"))
    assert kept == Spent(77.5, {"trees grow": 75.0, "spectra are drawn": 2.5})


def test_starts_count_together_and_files_of_before_there_were_steps_are_read(now, tmp_path):
    write_json({"seconds": 20.0}, tmp_path / "seconds.json")
    clock = Clock(tmp_path / "seconds.json")
    now[0] += 3.0
    assert clock.seconds == 23.0


def test_what_runs_beside_runs_at_the_same_time():
    begun, seen = threading.Event(), threading.Event()

    def compute(stop):
        begun.set()
        assert seen.wait(120)
        stop()
        return 7

    with beside(compute) as future:
        assert begun.wait(120)
        seen.set()
    assert future.result() == 7


def test_an_error_ends_what_runs_beside():
    rounds = []

    def compute(stop):
        while True:
            rounds.append(1)
            time.sleep(0.01)
            stop()

    with pytest.raises(KeyError), beside(compute) as future:
        raise KeyError("x")
    assert isinstance(future.exception(), Interrupted)
    assert rounds


def test_an_error_beside_comes_with_the_result():
    def compute(stop):
        raise DataError("broken")

    with beside(compute) as future:
        pass
    with pytest.raises(DataError, match="broken"):
        future.result()
