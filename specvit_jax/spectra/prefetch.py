"""Reading ahead: an iterator that a thread of its own runs."""

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """An iterator run by a thread of its own, `depth` items ahead of who takes them.

    What the iterator raises is raised where the item would have been taken.
    """

    def __init__(self, items: Generator[T, None, None], depth: int) -> None:
        self._items, self._queue = items, SimpleQueue[tuple[T] | BaseException]()
        self._room, self._closed = threading.Semaphore(depth), threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._closed.is_set():
            raise StopIteration
        found = self._queue.get()
        if isinstance(found, BaseException):  # the end of the items is a StopIteration
            self.close()
            raise found
        self._room.release()
        return found[0]

    def close(self) -> None:
        """Stops the thread, after the item it is at."""
        self._closed.set()
        self._room.release()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._room.acquire()
                if self._closed.is_set():
                    break
                self._queue.put((next(self._items),))
        except BaseException as error:  # handed over, to be raised by __next__
            self._queue.put(error)
        finally:
            self._items.close()
