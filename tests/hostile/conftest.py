"""Files from strangers: every reader answers in time, with a result or with one of the documented errors."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases" / "hostile"
LIMIT_S = 20  # for one test; what is refused is refused within milliseconds


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A test that waits for a pipe, or expands without end, fails instead of standing still."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"no answer within {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
