"""What memory there is, compared with what is about to be taken."""

from pathlib import Path

from crlb.errors import DataError
from crlb.files.process import PROC

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Returns the bytes that this process may still take: of the machine, its container and its limits."""
    return max(0, min(_of_machine(), _of_container(), _of_limit()))


def check_memory(n_bytes: int, what: str) -> None:
    """Refuses what does not fit, before it is allocated.

    Args:
        n_bytes: that it takes.
        what: it is, as the beginning of a sentence ("'flux' of shape (10, 20)").

    Raises:
        DataError: there is not so much free memory.
    """
    free = free_memory()
    if n_bytes > free:
        raise DataError(f"{what} needs {n_bytes / GIB:.3g} GiB of memory, but {free / GIB:.3g} GiB are free")


def _of_machine() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _of_container() -> int:
    """What the control group leaves (version 2), files that it only caches apart; no limit without one."""
    try:
        most, used, stat = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current", "stat"))
    except OSError:
        return 2**63
    if not most.strip().isdecimal():  # "max"
        return 2**63
    cached = [int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file ")]
    return int(most) - int(used) + sum(cached)


def _of_limit() -> int:
    """What `ulimit -v` leaves; no limit where there is none."""
    import resource

    import psutil

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return 2**63
    return most - int(psutil.Process().memory_info().vms) if PROC.is_dir() else most  # macOS limits nothing
