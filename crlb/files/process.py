"""Processes of this machine: whether one lives, since when, and how many cores there are for this one."""

import os
import platform
from pathlib import Path

PROC = Path("/proc")  # of Linux; macOS has none


def namespace() -> str:
    """Returns a name of this machine's process numbers, or this container's; empty without /proc."""
    try:
        return os.readlink(PROC / "self/ns/pid")
    except OSError:
        return ""


def cores() -> int:
    """Returns the cores that this process may use; those of the machine where the system knows no less."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def processor() -> str:
    """Returns the name of the processor as the system has it, "unknown" where it has none."""
    try:
        lines = (PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def is_alive(pid: int) -> bool:
    """Returns whether a process of this number runs here, anybody's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def is_same(pid: int, start: int | None) -> bool:
    """Returns whether a process runs that started then: not one that ended, nor another with its number.

    Args:
        pid: its number.
        start: what `born` said of it; None: unknown.
    """
    return is_alive(pid) and (start is None or _is_hidden(pid) or born(pid) == start)


def born(pid: int) -> int | None:
    """Returns the start of a living process, as this system counts: clock ticks since boot, or ms since 1970.

    None: it ended, or the system does not tell.
    """
    if not PROC.is_dir():
        return _born_elsewhere(pid)
    try:
        # Fields after the name, which may hold spaces: the first is the state, the 20th the start.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _is_hidden(pid: int) -> bool:
    """Whether it is another user's, where these are kept secret."""
    return PROC.is_dir() and not (PROC / str(pid)).exists()


def _born_elsewhere(pid: int) -> int | None:
    """As psutil has it. On Linux it counts from a time of boot that moves when the clock is set."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(1000 * process.create_time())
    except psutil.Error:
        return None
