"""Progress where there is no terminal: a line now and then, with a rate of what was done here."""

import pytest

from crlb.files import progress as module
from crlb.files.progress import progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_comes_every_ten_seconds(clock, capsys):
    with progress("predict", 100, done=20) as advance:
        for _ in range(40):
            clock[0] += 1.0
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "predict: 30 of 100 stars, 1/s, 70 s left"
    assert len(lines) == 4


def test_what_is_done_within_seconds_says_nothing(clock, capsys):
    with progress("predict", 5) as advance:
        advance(5)
        clock[0] += 60.0
        advance(0)
    assert capsys.readouterr().err == ""
