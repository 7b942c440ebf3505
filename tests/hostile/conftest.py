"""Files from strangers: every reader answers in time, with a result or with one of the documented errors."""

from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.guard import in_time

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases" / "hostile"
LIMIT_S = 120  # for one test; what is refused is refused within milliseconds

# The same examples each time, none kept between runs; a file of an example may replace that of the last one.
settings.register_profile(
    "repeatable",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    """A test that waits for a pipe, or expands without end, fails instead of standing still."""
    with in_time(LIMIT_S):
        yield


@pytest.fixture
def as_users_have_it() -> Iterator[None]:
    """Annotations are not checked, as outside of tests: what is refused is refused by the functions."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
