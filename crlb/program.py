"""A program from its first moment to its last, whatever its commands are."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from crlb import signals


def run_program(module: str) -> None:
    """Runs the command that `parse` of a module returns, as `run_cli` does, and prints no control characters.

    Args:
        module: name of the module. It is imported here, when a signal is no surprise any more.
    """
    signals.die_at_once()
    run_command(lambda: _run(importlib.import_module(module).parse))


def run_command(command: Callable[[], None]) -> None:
    """Runs the command of a program, as `run_cli` does; see `leaving` for what a signal ends."""
    from crlb.errors import run_cli

    with leaving():
        run_cli(command)


@contextmanager
def leaving() -> Iterator[None]:
    """Inside, a program that a signal ended is gone at once, with its exit status.

    Everything it holds was tidied up when the signal came. Python would go on to take itself apart, beside
    threads that still compute, and crash now and then.
    """
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.code, int) or end.code - 128 not in signals.STOPPING:
            raise
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody listens, or it is closed
                stream.flush()
        os._exit(end.code)


def _run(parse: Callable[[], Callable[[], None]]) -> None:
    from crlb.terminal import escaping

    command = parse()  # prints its help in colours, so that stands outside
    with escaping():
        command()
