"""Folders that a program keeps for itself: no symbolic link in them is followed, they are deleted whole."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from crlb.errors import DataError, OutputError
from crlb.files.output import writing

DELETED = ".deleted"  # where entries of a folder lie while they are being deleted


def check_links(paths: Iterable[Path], error: type[DataError | OutputError] = OutputError) -> None:
    """Refuses symbolic links: what is read or written through one lies elsewhere.

    Args:
        paths: files and folders, there or not. The folders that they lie in are not looked at.
        error: OutputError where they are about to be written, DataError where they are about to be read.

    Raises:
        DataError, OutputError: naming the first link.
    """
    for path in paths:
        if os.path.islink(path):
            raise error(
                f"{path} is a symbolic link, and none is followed here; "
                "put what it leads to in its place, or name that instead of it"
            )


def check_outside(folder: Path, inputs: Mapping[str, Path | None], option: str = "--out") -> None:
    """Refuses inputs that lie in a folder whose files a command deletes or replaces.

    Args:
        folder: the folder, there or not.
        inputs: option or argument ("--grid", "SPECTRA") -> the file it reads; None: not given.
        option: that names the folder.

    Raises:
        OutputError: an input lies there, or is another name (a hard link) of a file there.
    """
    for name, path in inputs.items():
        if path is not None and (_is_below(path, folder) or _has_name_in(path, folder)):
            raise OutputError(
                f"{option} {folder} would be written over {path}, an input of the command ({name}); "
                f"choose another {option}"
            )


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _has_name_in(path: Path, folder: Path) -> bool:
    """Whether a file with several names has one of them in a folder."""
    if not path.is_file() or path.stat().st_nlink == 1:
        return False
    return any(inner.is_file() and inner.samefile(path) for inner in tree(folder))


def tree(path: Path) -> Iterator[Path]:
    """Yields a file or folder and everything below it; symbolic links are yielded and not followed."""
    yield path
    for folder, folders, files in os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *files))


def delete_entries(folder: Path, names: Sequence[str]) -> None:
    """Deletes entries of a folder: all of them, or none.

    They are moved into `.deleted` in the same folder first, in this order. A process that is killed while it
    moves or deletes them leaves what can be deleted by a further call.

    Args:
        folder: the folder.
        names: of the entries, there or not.

    Raises:
        OutputError: one of them is or holds a symbolic link, or may not be deleted; all are as they were.
        DiskError: the disk is read-only or failing.
    """
    there = [folder / name for name in names if os.path.lexists(folder / name)]
    for path in there:
        check_links(tree(path))
        _check_permissions(path)
    finish_deletion(folder)
    with writing(folder):
        (folder / DELETED).mkdir()
        _move(there, folder / DELETED)
    finish_deletion(folder)


def finish_deletion(folder: Path) -> None:
    """Deletes what `delete_entries` had moved aside when it was killed.

    Raises:
        OutputError: as `delete_entries`.
    """
    check_links([folder / DELETED])
    if (folder / DELETED).exists():
        with writing(folder):
            shutil.rmtree(folder / DELETED)


def _check_permissions(path: Path) -> None:
    """Refuses a folder with a folder in it whose entries this user may not delete."""
    for inner in tree(path):
        if inner.is_dir() and not os.access(inner, os.R_OK | os.W_OK | os.X_OK):
            raise OutputError(f"cannot delete {path}: no permission to change {inner}; nothing was deleted")


def _move(paths: Sequence[Path], into: Path) -> None:
    """Moves files and folders into a folder beside them; after a refusal all are where they were."""
    moved: list[Path] = []
    try:
        for path in paths:
            path.rename(into / path.name)
            moved.append(path)
    except OSError:
        for path in moved:
            (into / path.name).rename(path)
        into.rmdir()
        raise
