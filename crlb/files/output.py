"""Output files that exist whole or not at all."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from crlb.errors import DiskError, MissingInputError, OutputError, disk_refusal


def check_output(path: str | Path, overwrite: bool = False) -> Path:
    """Returns `path` as a Path if a file may be created there.

    Raises:
        OutputError: the folder does not exist or cannot be written to, or the file exists and `overwrite`
            is False.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"cannot create {path}: {path.parent} is not an existing folder; create it first")
    if path.is_dir():
        raise OutputError(f"cannot create {path}: it is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name or allow it with --overwrite")
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
        OutputError: an output is an input or another output, also through links; or as `check_output`.
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
    for _, path in given:
        check_output(path, overwrite)


def _is_same(one: Path, two: Path) -> bool:
    """Whether two names lead to one file, through symbolic or hard links, too."""
    if os.path.realpath(one) == os.path.realpath(two):
        return True
    return one.exists() and two.exists() and one.samefile(two)


@contextmanager
def new_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary name beside `path`; what was written there becomes `path` on success only.

    Raises:
        OutputError: as `check_output`, or the system refused to create it.
        DiskError: the writing failed: disk full, read-only or failing; what was there before is untouched.
    """
    path = check_output(path, overwrite)
    # The suffix stays last: matplotlib and pandas choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with writing(path):
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """A block that writes `path`; what the system says when it fails becomes an error that names it.

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
