"""Output files that exist whole or not at all."""

import errno
import hashlib
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from crlb.errors import DiskError, MissingInputError, OutputError, disk_refusal
from crlb.files.process import is_alive, namespace

MOST_NAME = 255  # bytes of a file's name
MOST_STEM, MOST_SUFFIX = 200, 16  # bytes that a temporary name takes over from that of its file
FORGOTTEN_S = 86_400.0  # s without a change after which the writer of a file, on another machine, is dead
# Of a file system that has none; macOS has two numbers for "not supported".
NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
_WRITER = re.compile(r"(\d{1,9})-([0-9a-f]{8})-[0-9a-f]{8}")  # process, machine, and a number of its own
_TEMPORARY = re.compile(rf"\..+\.{_WRITER.pattern}\.partial(\.[^.]+)?")


def check_output(path: str | Path, overwrite: bool = False) -> Path:
    """Returns `path` as a Path if a file may be created there.

    Raises:
        OutputError: the folder does not exist or cannot be written to; the file exists and `overwrite` is
            False, or is no regular file; or the system allows no such name.
    """
    path = Path(path)
    if not os.path.isdir(path.parent):
        raise OutputError(f"cannot create {path}: {path.parent} is not an existing folder; create it first")
    if os.path.isdir(path):
        raise OutputError(f"cannot create {path}: it is a folder; give the name of a file")
    if _is_there(path) and not overwrite:
        raise _exists_already(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"cannot create {path}: it is a pipe or a device; give the name of a file")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"cannot create {path}: no permission to write into {path.parent}")
    return path


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None], overwrite: bool = False
) -> None:
    """Refuses, before anything is read or computed, files that a command must not create.

    Args:
        outputs: option ("--json") -> the file it creates; None: not asked for.
        inputs: option or argument ("--grid", "SPECTRA") -> the file or folder it reads; None: not given.
        overwrite: whether files that exist may be replaced; inputs never are.

    Raises:
        OutputError: as `check_apart` and `check_output`.
    """
    check_apart(outputs, inputs)
    for path in outputs.values():
        if path is not None:
            check_output(path, overwrite)


def check_apart(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Refuses outputs that are an input or another output, also through links; arguments as `check_outputs`.

    Raises:
        OutputError: naming both.
    """
    given = [(name, path) for name, path in outputs.items() if path is not None]
    for i, (name, path) in enumerate(given):
        for other, read in inputs.items():
            if read is not None and _is_same(path, read):
                raise OutputError(
                    f"{name} {path}: this is an input of the command ({other}); choose another name"
                )
        for other, written in given[:i]:
            if _is_same(path, written):
                raise OutputError(f"{name} {path}: {other} is the same file; choose another name")


def _is_same(one: Path, two: Path) -> bool:
    """Whether two names lead to one file, through symbolic or hard links, too."""
    if os.path.realpath(one) == os.path.realpath(two):
        return True
    return os.path.exists(one) and os.path.exists(two) and os.path.samefile(one, two)


def _exists_already(path: Path) -> OutputError:
    return OutputError(f"{path} exists already; choose another name or allow it with --overwrite")


def _is_there(path: Path) -> bool:
    """Whether something has this name, a link that leads nowhere included.

    Raises:
        OutputError: nothing can have it: it is too long, say.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"cannot create {path}: {error.strerror}") from error
    return True


@contextmanager
def new_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary name beside `path`; what was written there becomes `path` on success only.

    Its permissions are those of any new file, as the umask has it. What a killed writer of the same file left
    is removed first. Within another `new_file` the name that this one has given is written as it is.

    Raises:
        OutputError: as `check_output`, at the end, too: of two writers without `overwrite` the first one
            wins; or the system refused to create it.
        DiskError: the writing failed: disk full, read-only or failing; what was there before is untouched.
    """
    if is_temporary(Path(path).name):  # whoever made the name gives the file its own, or removes it
        with writing(path):
            yield Path(path)
        return
    path = check_output(path, overwrite)
    _remove_left_over(path)
    start, end = _around_writer(path)
    temporary = path.with_name(f"{start}{os.getpid()}-{_machine()}-{secrets.token_hex(4)}{end}")
    try:
        with writing(path):
            mode = _usual_mode(temporary)
            yield temporary
            own = stat.S_IMODE(temporary.stat().st_mode)
            if own | mode != own:  # of a library that asks for private files
                temporary.chmod(own | mode)
            _sync(temporary)
            _give_name(temporary, path, overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def hidden(path: Path, ending: str) -> Path:
    """Returns the name `.NAME` + `ending` beside a file; a long NAME is cut and has a checksum instead."""
    return path.with_name(f".{_cut(path.name, MOST_NAME - 1 - len(ending))}{ending}")


def is_temporary(name: str) -> bool:
    """Whether a file has a name of `new_file`: it is being written, or its writer was killed."""
    return _TEMPORARY.fullmatch(name) is not None


def _cut(name: str, most: int) -> str:
    raw = os.fsencode(name)
    if len(raw) <= most:
        return name
    return f"{raw[: most - 9].decode(errors='ignore')}~{hashlib.sha256(raw).hexdigest()[:8]}"


def _around_writer(path: Path) -> tuple[str, str]:
    """What stands before and after the writer in temporary names of a file.

    The suffix stays last: matplotlib and pandas choose the format by it.
    """
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= MOST_SUFFIX else ""
    return f".{_cut(path.name.removesuffix(suffix), MOST_STEM)}.", f".partial{suffix}"


@cache
def _machine() -> str:
    """This machine, or the container: where process numbers mean the same."""
    return hashlib.sha256(f"{socket.gethostname()} {namespace()}".encode()).hexdigest()[:8]


def _remove_left_over(path: Path) -> None:
    """Removes what writers of a file left that were killed."""
    start, end = _around_writer(path)
    for name in os.listdir(path.parent) if os.access(path.parent, os.R_OK) else ():
        if name.startswith(start) and name.endswith(end):
            writer = _WRITER.fullmatch(name[len(start) : -len(end)])
            with suppress(FileNotFoundError, PermissionError):  # gone meanwhile, or another user's
                if writer and _is_gone(int(writer[1]), writer[2], path.with_name(name)):
                    path.with_name(name).unlink()


def _is_gone(process: int, machine: str, written: Path) -> bool:
    """Whether the writer of a file is dead, as far as can be seen from here."""
    if machine != _machine():
        return time.time() - written.stat().st_mtime > FORGOTTEN_S
    return not is_alive(process)


def _usual_mode(path: Path) -> int:
    """Permissions of a file that is created in this folder, as umask and the folder's defaults have it."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        path.unlink()


def _give_name(temporary: Path, path: Path, overwrite: bool) -> None:
    """Gives a file its name; one that is there is replaced only if it may be."""
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        if not _is_same(temporary, path):  # NFS may say so of a link that it has just made
            raise _exists_already(path) from None
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        _claim(path)
        os.replace(temporary, path)


def _claim(path: Path) -> None:
    """Creates an empty file if there is none."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        raise _exists_already(path) from None


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Guards a block that writes `path`: a refusal of the system becomes an error that names the path.

    Raises:
        DiskError: the disk is full, read-only or failing.
        OutputError: the system refused otherwise.
    """
    try:
        yield
    except (OutputError, MissingInputError, DiskError):
        raise
    except Exception as error:  # libraries have their own ways to say that the disk is full
        if refusal := disk_refusal(error):
            raise DiskError(f"cannot write {path}: {refusal}") from error
        if isinstance(error, OSError):
            raise OutputError(f"cannot create {path}: {error.strerror or error}") from error
        raise


def _sync(path: Path) -> None:
    """Waits until a file is on the disk: some (NFS, quotas) refuse it only then."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
