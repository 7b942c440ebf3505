"""A training run as files of at most 15 MiB: its newest checkpoint, its config, its metrics."""

import io
import shutil
import tarfile
from pathlib import Path

PIECE = 15 * 2**20  # bytes
LEFT = ("checkpoints", "weights", "lock")  # the newest checkpoint travels; weights are written from it


def split(run: Path, out: Path) -> list[Path]:
    """Writes the state of a run into OUT/state-00, state-01, ...; returns them."""
    for old in out.glob("state-*"):
        old.unlink()
    packed = _packed(run)
    paths = []
    for number, start in enumerate(range(0, len(packed), PIECE)):
        paths.append(out / f"state-{number:02d}")
        paths[-1].write_bytes(packed[start : start + PIECE])
    return paths


def join(folder: Path, run: Path) -> Path:
    """Makes a run directory of the files that `split` wrote.

    Raises:
        FileNotFoundError: there are none, or one is missing.
        FileExistsError: the run directory is there.
    """
    paths = sorted(folder.glob("state-*"))
    if [path.name for path in paths] != [f"state-{number:02d}" for number in range(len(paths))] or not paths:
        raise FileNotFoundError(f"{folder} must hold state-00 to the last, found {[p.name for p in paths]}")
    run.mkdir(parents=True)
    packed = io.BytesIO(b"".join(path.read_bytes() for path in paths))
    with tarfile.open(fileobj=packed) as file:
        file.extractall(run, filter="data")
    return run


def _packed(run: Path) -> bytes:
    newest = max(
        (path for path in (run / "checkpoints").iterdir() if path.name.isdigit()), key=lambda p: int(p.name)
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for path in sorted(run.iterdir()):
            if path.name not in LEFT:
                file.add(path, path.name)
        file.add(newest, f"checkpoints/{newest.name}")
    return buffer.getvalue()


def fetch(state: Path | None, run: Path) -> None:
    """The run to go on with: that of a state, else what is there."""
    if state is not None:
        shutil.rmtree(run, ignore_errors=True)
        join(state, run)
