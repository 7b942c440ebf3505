"""The console script `specvit`: networks described, trained and scored; spectra simulated."""

from collections.abc import Callable

from crlb.program import run_program

__all__ = ["main", "parse"]


def parse(args: list[str] | None = None) -> Callable[[], None]:
    """Returns the command that `args` (default: the command line) ask for, not yet run."""
    from specvit_jax.cli.command import parse

    return parse(args)


def main() -> None:
    """Entry point of the console script."""
    run_program("specvit_jax.cli.command")
