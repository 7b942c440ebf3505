"""Output files that exist whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crlb.errors import MissingInputError, OutputError


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


@contextmanager
def new_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary name beside `path`; what was written there becomes `path` on success only.

    Raises:
        OutputError: as `check_output`, or the system refused the writing (disk full, say).
    """
    path = check_output(path, overwrite)
    # The suffix stays last: matplotlib and pandas choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except (OutputError, MissingInputError):
        raise
    except OSError as error:
        raise OutputError(f"cannot create {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
