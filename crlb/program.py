"""A program from its first moment to its last, whatever its commands are."""

from collections.abc import Callable

from crlb.errors import run_cli
from crlb.terminal import escaping


def run_program(parse: Callable[[], Callable[[], None]]) -> None:
    """Runs the command that `parse` returns, as `run_cli` does; what it prints has no control characters."""

    def command() -> None:
        chosen = parse()  # prints its help in colours, so that stands outside
        with escaping():
            chosen()

    run_cli(command)
