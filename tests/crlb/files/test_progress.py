"""Progress where there is no terminal: a line now and then, with a rate of what was done here."""

import pytest

from crlb.files import progress as module
from crlb.files.progress import progress, track


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


def test_the_time_until_the_first_was_done_says_nothing_of_the_others(clock, capsys):
    with progress("fit", 100) as advance:
        clock[0] += 60.0  # it compiles
        advance(10)
        clock[0] += 12.0
        advance(24)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "fit: 10 of 100 stars, 0.167/s, 540 s left"
    assert second == "fit: 34 of 100 stars, 2/s, 33 s left"


def test_before_the_first_is_done_there_is_no_rate(clock, capsys):
    with progress("download", 8, unit="files") as advance:
        clock[0] += 12.0
        advance(0)
    assert capsys.readouterr().err == "download: 0 of 8 files, 12 s so far\n"


def test_items_that_are_done_with_are_counted(clock, capsys):
    seen = []
    for item in track("abcd", "build", 4, "letters"):
        seen.append(item)
        clock[0] += 11.0
    assert seen == list("abcd")
    assert capsys.readouterr().err.splitlines() == [
        f"build: {n} of 4 letters, 0.0909/s, {11 * (4 - n)} s left" for n in (1, 2, 3)
    ]


def test_on_a_terminal_works_that_go_on_at_once_share_one_display(monkeypatch):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    with progress("one", 3) as one:
        (bars,) = module._SHOWN
        with progress("two", 2) as two:
            assert [bars, bars] == module._SHOWN
            one(2)
            two(1)
            assert [(task.description, task.completed) for task in bars.tasks] == [("one", 2), ("two", 1)]
        assert [task.description for task in bars.tasks] == ["one"]
        assert bars.live.is_started
    assert not module._SHOWN
    assert not bars.live.is_started
