"""How a signal ends a program: one line and 128 + its number, at any moment.

A signal raises `Stopped` where the command stands, so that it can tidy up, or say how it goes on. A second
one, or a call that does not come back (a compilation, a damaged file), ends the process there and then.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GRACE_S = 5.0  # from the signal to the end of what does not come back by itself
AGAIN_S = 0.02  # to the next try, where one could not be
REPEAT_S = 1.0  # within which a second signal is the same one: terminals and `timeout` send it twice


class Stopped(KeyboardInterrupt):
    """A signal asks the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(words(number))
        self.number = number


def words(number: int) -> str:
    """Returns what to say of a program that a signal ends."""
    return f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name}"


def die_at_once() -> None:
    """From now on a signal ends the process without further ado: where there is nothing to tidy up."""
    for number in _heard():
        signal.signal(number, lambda number, frame: _die(number))


class Asked:
    """What signals ask of a command: ``number`` is that of the one that came, 0: none."""

    def __init__(self) -> None:
        self.number, self.at = 0, 0.0
        self.expected = False  # the signal is sent again, since the command could not be stopped where it was
        self.due = False  # it is to be sent

    def stop(self, number: int, frame: FrameType | None) -> None:
        """The handler.

        Raises:
            Stopped: at the first signal, once no import is under way: C++ that is loaded then would abort.
        """
        if self.number and not self.expected:
            if time.monotonic() - self.at > REPEAT_S:
                _die(number)
            return
        self.expected = False
        if not self.number:
            self.number, self.at = number, time.monotonic()
        if _is_importing(frame):
            self.again()
        else:
            raise Stopped(self.number)

    def again(self) -> None:
        """Has the signal sent once more, in a moment."""
        self.expected = self.due = True


@contextmanager
def stoppable(asked: Asked) -> Iterator[None]:
    """Inside, a signal raises `Stopped`; in the main thread only, others are never interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, hook = _heard(), sys.unraisablehook
    with _watched(asked):
        try:
            # Python ignores what is raised in a destructor, say.
            sys.unraisablehook = lambda found: asked.again() if _is_stop(found) else hook(found)
            for number in before:
                signal.signal(number, asked.stop)
            yield
        finally:
            sys.unraisablehook = hook
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_stop(found: Any) -> bool:
    return issubclass(found.exc_type, Stopped)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _heard() -> dict[int, Any]:
    """The handlers of all signals that are not ignored."""
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in STOPPING}
    return {number: old for number, old in handlers.items() if old is not signal.SIG_IGN}


def _die(number: int) -> NoReturn:
    with suppress(OSError):  # nobody listens
        os.write(2, f"error: {words(number)}\n".encode())
    os._exit(128 + number)


@contextmanager
def _watched(asked: Asked) -> Iterator[None]:
    """A thread hears of signals even while the main thread is in a call that does not come back."""
    heard, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(heard, asked, over), name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(told)
        thread.join()
        os.close(heard)


def _watch(heard: int, asked: Asked, over: threading.Event) -> None:
    while number := os.read(heard, 1):
        # Others may have taken the signals over: they save what there is, which may take long.
        if signal.getsignal(number[0]) == asked.stop:
            _insist(number[0], asked, over)


def _insist(number: int, asked: Asked, over: threading.Event) -> None:
    """Sends a signal again where it is due, and ends the process where that does not help."""
    last = time.monotonic() + GRACE_S
    while not over.wait(AGAIN_S):
        if time.monotonic() > last:
            _die(number)
        if asked.due:
            asked.due = False
            os.kill(os.getpid(), number)
