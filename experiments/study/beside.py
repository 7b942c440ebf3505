"""A computation beside the others: while one waits for the compiler, or for one core, the other goes on."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

from crlb.errors import Interrupted

T = TypeVar("T")
Stop = Callable[[], None]  # raises `Interrupted` once the computation is not wanted any more


@contextmanager
def beside(compute: Callable[[Stop], T]) -> Iterator["Future[T]"]:
    """Yields what a computation will return, which runs in a thread of its own until the end of the block.

    Where the block ends with an error, the computation is told to stop, and waited for.

    Args:
        compute: calls what it is given now and then; settings of jax that are context managers have to be
            entered in it, as they hold for one thread.
    """
    unwanted = Event()

    def stop() -> None:
        if unwanted.is_set():
            raise Interrupted("stopped, as what ran beside it ended")

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(compute, stop)
        try:
            yield future
        except BaseException:
            unwanted.set()
            raise
