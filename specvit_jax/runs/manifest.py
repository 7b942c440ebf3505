"""The history of a run, ``manifest.json``: how it was started, on what, and that it came to its end."""

import os
import platform
import socket
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from crlb.errors import DataError
from crlb.files.records import ABSENT, Record, write_json
from crlb.files.text_input import read_json
from specvit_jax.runs.inputs import Input

PACKAGES = ("specvit-jax", "jax", "flax", "optax", "orbax-checkpoint", "numpy")


@dataclass(frozen=True)
class Start(Record):
    """One start of a run: when, how, on what and with which versions."""

    date: str  # UTC, ISO 8601
    command: tuple[str, ...]
    devices: str
    layout: str  # devices and how they are driven, in words
    processes: int
    host: str
    cpus: int | None
    system: str
    versions: dict[str, str]
    deterministic: bool | None = field(default=None, metadata=ABSENT)  # whether train.deterministic was asked


@dataclass(frozen=True)
class Finish(Record):
    """The end of a run, by early stopping perhaps."""

    step: int
    date: str  # UTC, ISO 8601


@dataclass(frozen=True)
class Manifest(Record):
    """The starts of a run, the files it began with and, once it came to its end, that end."""

    starts: tuple[Start, ...] = ()
    finished: Finish | None = field(default=None, metadata=ABSENT)
    inputs: tuple[Input, ...] | None = field(default=None, metadata=ABSENT)


def read_manifest(path: Path) -> Manifest:
    """A run's ``manifest.json``; an empty one where there is none.

    Raises:
        DataError: it is damaged.
        MissingInputError: it cannot be read.
    """
    file = path / "manifest.json"
    if not file.exists():
        return Manifest()
    try:
        return Manifest.from_json(read_json(file, "manifest"))
    except DataError as error:
        raise DataError(f"{file} is damaged ({error}); delete it, it only tells of past starts") from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replaces a run's ``manifest.json``.

    Raises:
        OutputError, DiskError: it cannot be written; the old one is untouched.
    """
    write_json(manifest, path / "manifest.json", overwrite=True)


def describe_start(layout: str, deterministic: bool = False) -> Start:
    """This start for the manifest: command, date, versions, devices, whether the same bits were asked for."""
    import jax  # so that run directories are checked before jax is loaded

    devices = jax.local_devices()
    return Start(
        date=now(),
        command=(Path(sys.argv[0]).name, *sys.argv[1:]),
        devices=f"{len(devices)} x {devices[0].device_kind}",
        layout=layout,
        processes=jax.process_count(),
        host=socket.gethostname(),
        cpus=os.cpu_count(),
        system=platform.platform(),
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        deterministic=deterministic or None,
    )


def now() -> str:
    """The date and time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def layout_change(before: str, now: str) -> str | None:
    """A line on devices that changed from one start of a run to the next; None if they are the same."""
    if before in ("", now):
        return None
    return f"devices were {before}, now {now}: the run goes on, equal to rounding but not bit for bit"
