"""Calls in the background: so many at a time, each answered, none waited for by those who leave."""

import threading
import time
from functools import partial

import pytest

from crlb.bosz import background
from crlb.bosz.background import as_they_end, in_background


def test_what_a_call_returns_or_raises_comes_out():
    assert in_background(lambda: 7).result(5) == 7
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 / 0).result(5)


def test_every_call_ends_once_and_only_some_run_at_a_time():
    running, most, lock = set(), [0], threading.Lock()

    def call(key: int) -> int:
        with lock:
            running.add(key)
            most[0] = max(most[0], len(running))
        time.sleep(0.01)
        with lock:
            running.remove(key)
        return -key

    calls = ((key, partial(call, key)) for key in range(20))
    found = {key: job.result() for key, job in as_they_end(calls, 3, threading.Event(), lambda: None)}
    assert found == {key: -key for key in range(20)}
    assert most[0] == 3


def test_whoever_leaves_early_tells_the_calls_to_stop_and_waits_for_none(monkeypatch):
    monkeypatch.setattr(background, "LEAVE_S", 0.1)
    stop, never, started = threading.Event(), threading.Event(), []
    calls = [("first", lambda: None), ("second", never.wait), ("third", lambda: started.append(1))]
    for key, _ in (jobs := as_they_end(calls, 2, stop, lambda: None)):
        assert key == "first"
        break
    jobs.close()
    assert stop.is_set()
    assert not started
    never.set()


def test_time_is_told_while_nothing_ends(monkeypatch):
    monkeypatch.setattr(background, "TICK_S", 0.01)
    ticks = []
    list(as_they_end([("slow", lambda: time.sleep(0.2))], 1, threading.Event(), lambda: ticks.append(1)))
    assert len(ticks) > 2
