"""What the main job took, with the speed of the machine beside it, so that it means something elsewhere."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from crlb.files.process import cores, processor
from crlb.files.records import Record
from experiments.study.clock import Spent
from experiments.study.result import versions

SIDE, TRIES = 2048, 5  # of the matrices; the fastest counts


@dataclass(frozen=True, kw_only=True)
class Yardstick(Record):
    """Wall time of a product of two square float64 matrices by numpy, on all cores it takes."""

    side: int
    seconds: float

    @property
    def gflops(self) -> float:
        """1e9 multiplications and additions per second."""
        return 2 * self.side**3 / self.seconds / 1e9


@dataclass(frozen=True, kw_only=True)
class Machine(Record):
    """Where it ran."""

    processor: str
    cores: int
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""


@dataclass(frozen=True, kw_only=True)
class Timing(Record):
    """Wall times, s: of all, of what came before the first study, of every study and its steps."""

    seconds: float
    before: float
    studies: dict[str, Spent]
    yardstick: Yardstick
    machine: Machine

    def words(self) -> str:
        """The times and the yardstick in lines of at most 80 characters."""
        each = "; ".join(f"{name} {_clock(one.seconds)}" for name, one in self.studies.items())
        rule = self.yardstick
        lines = [
            f"time: {_clock(self.seconds)}; installation {_clock(self.before)}; {each}",
            f"yardstick: product of two {rule.side} x {rule.side} float64 matrices {rule.seconds:.2f} s "
            f"({rule.gflops:.0f} GFLOP/s),",
            f"  {self.machine.cores} cores of {self.machine.processor}",
        ]
        return "\n".join(lines)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def measure(side: int = SIDE) -> Yardstick:
    """The yardstick, measured now."""
    a = np.random.default_rng(0).random((side, side))
    times = []
    for _ in range(TRIES):
        begin = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begin)
    return Yardstick(side=side, seconds=min(times))


def machine() -> Machine:
    """This machine."""
    return Machine(
        processor=processor(),
        cores=cores(),
        versions=versions(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
