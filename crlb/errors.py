"""Errors a user can act on, each with the exit status its command ends with."""

import errno
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from crlb.signals import Asked, stoppable, words
from crlb.terminal import printable

# What a disk says when it takes no more, and the way out.
DISK_REFUSALS = {
    errno.ENOSPC: "free some space and start again",
    errno.EDQUOT: "free some space of your quota and start again",
    errno.EFBIG: "the file system or a limit (ulimit -f) allows no larger file",
    errno.EROFS: "choose a place that can be written to",
    errno.EIO: "the disk or its connection is failing; check it",
}
# What the system says of a name that it opens for nobody, or not for this user; outputs are told otherwise.
UNREADABLE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)
# h5py, Rust (safetensors) and tensorstore (orbax) hand the number on in words.
_NUMBER_IN_WORDS = re.compile(r"(?:errno = |os error |os_error_code='?)(\d+)")


class UsageError(ValueError):
    """An argument has a value the command cannot use."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting, from a config file or ``--set``, is unknown or has a value it cannot have (EX_CONFIG)."""

    exit_code = 78


class DataError(ValueError):
    """A file was found and read, but what it holds cannot be used (EX_DATAERR)."""

    exit_code = 65


class MissingInputError(FileNotFoundError):
    """An input file does not exist or cannot be opened (EX_NOINPUT)."""

    exit_code = 66


class OutputError(OSError):
    """An output cannot be created, or would overwrite something (EX_CANTCREAT)."""

    exit_code = 73


class DiskError(OSError):
    """A write or read failed once it had begun: disk full, read-only or failing (EX_IOERR)."""

    exit_code = 74


class NumericalError(ArithmeticError):
    """A computation left the finite numbers (EX_SOFTWARE)."""

    exit_code = 70


class InstallationError(RuntimeError):
    """The package, or what it needs, is not installed as it should be (EX_SOFTWARE)."""

    exit_code = 70


class Interrupted(RuntimeError):
    """A signal stopped the work, which is saved and can be resumed (EX_TEMPFAIL)."""

    exit_code = 75


class Abandoned(Interrupted):
    """A signal came during a call that cannot be stopped and still runs; the process has to end."""


class Locked(RuntimeError):
    """Another process has what is needed, for now (EX_TEMPFAIL)."""

    exit_code = 75


class RunLocked(Locked):
    """Another process trains this run: to start again brings nothing while it does (EX_UNAVAILABLE)."""

    exit_code = 69


EXPECTED = (
    UsageError,
    DataError,
    MissingInputError,
    OutputError,
    DiskError,
    NumericalError,
    InstallationError,
    Interrupted,
    Locked,
)


def disk_refusal(error: BaseException) -> str | None:
    """What the disk said and the way out, if an error of any library comes from a disk; else None."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _NUMBER_IN_WORDS.search(str(error))):
        number = int(found[1])
    if number not in DISK_REFUSALS:
        return None
    return f"{os.strerror(number)}; {DISK_REFUSALS[number]}"


LONGEST = 4000  # characters of a message
PIPE_CLOSED = 128 + 13  # what a shell says of a program that SIGPIPE ended


def _leave_pipe() -> None:
    """Ends the program; what is still to be written goes nowhere, or Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    sys.exit(PIPE_CLOSED)


def _to_the_end(command: Callable[[], None]) -> None:
    """Runs a command and sends off what it printed, also where it ends early, as for `--help`."""
    try:
        command()
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _is_memory(error: BaseException) -> bool:
    """Whether memory ran out: numpy and Python say so by the class, jax by a word."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _out_of_memory(error: BaseException) -> str:
    said = " ".join(str(error).split())[:200]
    return (
        f"there is not enough memory{f' ({said})' if said else ''}; use less data, fewer or smaller batches"
    )


def one_line(message: object) -> str:
    """Returns what an error or a warning says as one line of bounded length, without control characters."""
    text, half = printable(" ".join(str(message).splitlines())), LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


def run_cli(command: Callable[[], None]) -> None:
    """Runs a command; a signal, an error of this module or of the disk becomes one line and an exit status.

    Where the reader of a pipe has gone (`| head`), the command ends without a word, as Unix tools do.
    """
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {one_line(message)}", file=sys.stderr)
    asked = Asked()
    try:
        with stoppable(asked):
            _to_the_end(command)
    except (Interrupted, SystemExit) as error:
        _end_of(error)
    except BaseException as error:
        # Libraries make other errors of a signal: numpy, for one, says that it cannot be imported.
        if asked.number or isinstance(error, KeyboardInterrupt):
            number = asked.number or signal.SIGINT
            _end(words(number), 128 + number)
        _end_of(error)


def _end_of(error: BaseException) -> NoReturn:
    """Ends the program as an error of its asks; those that nobody expects are raised."""
    if isinstance(error, BrokenPipeError):
        _leave_pipe()
    if isinstance(error, Abandoned):
        _say(error)
        os._exit(error.exit_code)
    if isinstance(error, EXPECTED):
        _end(error, error.exit_code)
    if isinstance(error, OSError) and error.errno in UNREADABLE and error.filename is not None:
        _end(f"cannot read {error.filename}: {error.strerror}", MissingInputError.exit_code)
    if isinstance(error, OSError) and (refusal := disk_refusal(error)):
        _end(f"cannot write {error.filename or 'a file'}: {refusal}", DiskError.exit_code)
    if isinstance(error, MemoryError | RuntimeError) and _is_memory(error):
        _end(_out_of_memory(error), DataError.exit_code)
    raise error


def _say(message: object) -> None:
    print(f"error: {one_line(message)}", file=sys.stderr, flush=True)


def _end(message: object, code: int) -> NoReturn:
    _say(message)
    sys.exit(code)
