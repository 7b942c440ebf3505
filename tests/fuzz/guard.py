"""Limits of time and memory for a block that opens files from strangers."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class OutOfTime(BaseException):
    """No answer in time; no reader takes it for an error of its file."""


@contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` in a block that waits for a pipe, or expands without end; blocks may be nested."""

    def late(number: int, frame: object) -> None:
        raise OutOfTime(f"no answer within {seconds} s")

    begun, handler = time.monotonic(), signal.signal(signal.SIGALRM, late)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begun), 0.001))


@contextmanager
def in_memory(n_bytes: int) -> Iterator[None]:
    """Lets the process take so many bytes of addresses more than it has; beyond, it gets a MemoryError."""
    if not Path("/proc").is_dir():  # macOS limits no addresses
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
