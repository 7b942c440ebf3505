"""A program from its first moment to its last, whatever its commands are."""

import importlib
from collections.abc import Callable

from crlb import signals


def run_program(module: str) -> None:
    """Runs the command that `parse` of a module returns, as `run_cli` does, and prints no control characters.

    Args:
        module: name of the module. It is imported here, when a signal is no surprise any more.
    """
    signals.die_at_once()
    from crlb.errors import run_cli

    run_cli(lambda: _run(importlib.import_module(module).parse))


def _run(parse: Callable[[], Callable[[], None]]) -> None:
    from crlb.terminal import escaping

    command = parse()  # prints its help in colours, so that stands outside
    with escaping():
        command()
