"""The history of a run, ``manifest.json``: how it was started, on what, and that it came to its end."""

import json
import os
import platform
import socket
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crlb.errors import DataError
from crlb.files.output import new_file

PACKAGES = ("specvit-jax", "jax", "flax", "optax", "orbax-checkpoint", "numpy")


def read_manifest(path: Path) -> dict[str, Any]:
    """A run's ``manifest.json``: its ``starts`` and, once it came to its end, ``finished``.

    Raises:
        DataError: it is damaged.
    """
    file = path / "manifest.json"
    if not file.exists():
        return {"starts": []}
    try:
        manifest = json.loads(file.read_text())
        return {**manifest, "starts": list(manifest["starts"])}
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file} is damaged ({error!r}); delete it, it only tells of past starts") from error


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Replaces a run's ``manifest.json``.

    Raises:
        OutputError, DiskError: it cannot be written; the old one is untouched.
    """
    with new_file(path / "manifest.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1) + "\n")


def describe_start(layout: str) -> dict[str, Any]:
    """This start for the manifest: command, date, versions, devices."""
    import jax  # so that run directories are checked before jax is loaded

    devices = jax.local_devices()
    return {
        "date": now(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "layout": layout,
        "processes": jax.process_count(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def now() -> str:
    """The date and time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def layout_change(before: str, now: str) -> str | None:
    """A line on devices that changed from one start of a run to the next; None if they are the same."""
    if before in ("", now):
        return None
    return f"devices were {before}, now {now}: the run goes on, equal to rounding but not bit for bit"
