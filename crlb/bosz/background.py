"""Calls in threads that a program does not wait for at its end: the network may keep them for minutes."""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import TypeVar

TICK_S = 0.5
LEAVE_S = 2.0  # that calls have to end once they are not wanted any more

Key = TypeVar("Key")
T = TypeVar("T")


def in_background(call: Callable[[], T]) -> "Future[T]":
    """Starts a call in a thread of its own; what it returns or raises comes out of the future."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def as_they_end(
    calls: Iterable[tuple[Key, Callable[[], T]]], most: int, stop: threading.Event, tick: Callable[[], None]
) -> Generator[tuple[Key, "Future[T]"], None, None]:
    """Yields the key and the future of each call when it has ended.

    Args:
        calls: what to call, each with a key; taken one by one.
        most: calls that run at a time.
        stop: set when the caller leaves early, and tells the calls to end; those that do not are left alone.
        tick: called about twice a second.
    """
    running: dict[Future[T], Key] = {}
    waiting = iter(calls)
    try:
        while True:
            running |= {in_background(call): key for key, call in islice(waiting, most - len(running))}
            if not running:
                return
            ended, _ = wait(running, timeout=TICK_S, return_when=FIRST_COMPLETED)
            tick()
            for future in ended:
                yield running.pop(future), future
    finally:
        stop.set()
        wait(running, timeout=LEAVE_S)
