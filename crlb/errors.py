"""Errors a user can act on, each with the exit status its command ends with."""

import sys
import warnings
from collections.abc import Callable


class UsageError(ValueError):
    """An argument has a value the command cannot use."""

    exit_code = 2


class DataError(ValueError):
    """A file was found and read, but what it holds cannot be used (EX_DATAERR)."""

    exit_code = 65


class MissingInputError(FileNotFoundError):
    """An input file does not exist or cannot be opened (EX_NOINPUT)."""

    exit_code = 66


class OutputError(OSError):
    """An output cannot be created, or would overwrite something (EX_CANTCREAT)."""

    exit_code = 73


class NumericalError(ArithmeticError):
    """A computation left the finite numbers (EX_SOFTWARE)."""

    exit_code = 70


class Interrupted(RuntimeError):
    """A signal stopped the work, which is saved and can be resumed (EX_TEMPFAIL)."""

    exit_code = 75


def run_cli(command: Callable[[], None]) -> None:
    """Runs a command; an error of this module becomes one line on stderr and its exit status."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        command()
    except (UsageError, DataError, MissingInputError, OutputError, NumericalError, Interrupted) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
