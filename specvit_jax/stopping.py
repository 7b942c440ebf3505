"""Stopping within seconds: signals are noted, and long calls are watched from outside."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TypeVar

from crlb.errors import Abandoned

Value = TypeVar("Value")
POLL_S = 0.1  # between looks at the signals while a long call runs


class Signals:
    """Notes SIGTERM, SIGUSR1 and Ctrl-C instead of dying of them; a second one has its usual effect."""

    def __init__(self) -> None:
        self.received = ""
        self.before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            signal.signal(number, self.before[signal.Signals(number)])
            signal.raise_signal(number)
        self.received = signal.Signals(number).name

    def until(self, call: Callable[[], Value], what: str) -> Value:
        """The value of a call that may take long (a compilation, say), run in a thread of its own.

        Raises:
            Abandoned: a signal came first.
        """
        results: list[Value] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(call())
            except BaseException as error:  # handed on to the caller below
                errors.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(POLL_S)
            if self.received and thread.is_alive():
                raise Abandoned(f"stopped by {self.received} while {what}; continue with --resume")
        if errors:
            raise errors[0]
        return results[0]
