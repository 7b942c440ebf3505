"""What is left of three numbers that are squared?

Claim:    Nothing is lost.
Command:  python -m tests.experiments.study.toy_study
Hardware: none.
Expect:   1, 4 and 9.
"""

from dataclasses import dataclass
from functools import partial

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.study.frame import Study, Work
from experiments.study.plotting import PAGE, Sheet
from experiments.study.result import Result


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int = 8
    mag: tuple[float, float] = (20.5, 22.5)
    seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class Squares(Result):
    """Numbers that were kept one by one."""

    squares: tuple[int, ...] = ()

    def table(self) -> str:
        """The numbers in a line."""
        return " | ".join(map(str, self.squares))

    def caption(self) -> str:
        return "Squares."

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """The numbers as a line."""
        figure, axes = plt.subplots()
        axes.plot(self.squares)
        return figure


def run(work: Work[Size]) -> Squares:
    """Squares them, each kept in a part of its own."""
    parts = (work.part(f"square-{n}", {"n": n}, int, partial(pow, n, 2)) for n in (1, 2, 3))
    return Squares(squares=tuple(parts))


STUDY = Study("toy", __doc__, {"smoke": Size(), "cpu": Size()}, run, Squares)
