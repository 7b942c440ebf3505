"""The console script `crlb`: ceilings, single stars, and the grids of spectra they are computed from."""

import os
from collections.abc import Callable

from crlb.program import run_program

__all__ = ["main", "parse"]


def parse(args: list[str] | None = None) -> Callable[[], None]:
    """Returns the command that `args` (default: the command line) ask for, not yet run."""
    from crlb.cli.command import parse

    return parse(args)


def main() -> None:
    """Entry point of the console script: float64 throughout."""
    os.environ["JAX_ENABLE_X64"] = "1"  # read when jax is imported, which may be never
    run_program("crlb.cli.command")
