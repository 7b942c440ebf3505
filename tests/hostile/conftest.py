"""Files from strangers: every reader answers in time, with a result or with one of the documented errors."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.guard import in_time

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases" / "hostile"
LIMIT_S = 20  # for one test; what is refused is refused within milliseconds


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    """A test that waits for a pipe, or expands without end, fails instead of standing still."""
    with in_time(LIMIT_S):
        yield
