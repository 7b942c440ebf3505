"""Depth and width: how large a network has to be, and what it costs.

Claim:    the published network has 6 blocks of width 256 and 4.8 million parameters. From whitened spectra
          the step from tiny networks to large ones gains little R2 for many times the time.
Command:  python -m experiments.capacity [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, half an hour a seed; gpu: one GPU, some hours.
Expect:   0.653 (1 block of width 32) to 0.670 (6 of 128; each +-0.011, exact limit 0.736) at 27 times the
          time of a step; a factor of 6 in depth adds 0.007 to 0.010, of 4 in width 0.006 to 0.010. One
          seed, 600 steps.
          FLOP of the blocks grow in proportion to the depth and, once 12 widths exceed the 64 tokens, nearly
          with the square of the width.

All arms see the same spectra in the same order at the learning rate of `tiny`, which was chosen for width 64
and depth 3; heads have 16 features. Time of a step is that of its fastest logged stretch, simulation of the
spectra included; on a machine with other work it is an upper limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from crlb.palette import LIMIT, looks
from experiments.study.frame import Study, Work
from experiments.study.plotting import (
    EXACT,
    PAGE,
    R2,
    Sheet,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.result import Result
from experiments.study.rows import ArmRow, counted, intervals, widened
from experiments.study.training import Arm, combined, run_arms

HEAD = 16  # features of an attention head, as in `tiny`
COSTS = (  # attribute of a row, unit, what it is
    ("parameters", 1.0, "parameters"),
    ("forward_mflop", 1.0, "forward pass (MFLOP)"),
    ("step_s", 1e3, "time of a training step (ms)"),
)


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    seeds: int = 1
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(300, (1,), (16, 32)),
    "cpu": Size(10_000, (1, 3, 6), (32, 64, 128), seeds=2),
    "gpu": Size(10_000, (1, 3, 6, 12), (32, 64, 128, 256), seeds=3),
}


def arm(depth: int, width: int) -> Arm:
    """A network of so many blocks, of a width that heads of 16 features divide."""
    settings = (f"model.depth={depth}", f"model.embed_dim={width}", f"model.num_heads={width // HEAD}")
    return Arm(f"depth {depth}, width {width}", settings)


@dataclass(frozen=True, kw_only=True)
class SizeRow(ArmRow):
    """A network of some depth and width."""

    depth: int
    width: int


@dataclass(frozen=True, kw_only=True)
class CapacityResult(Result):
    """A row for every size and seed, and one for every size."""

    runs: tuple[ArmRow, ...]
    rows: tuple[SizeRow, ...]
    limit: float

    def table(self) -> str:
        """One line per size."""
        heads = ["depth", "width", "R2 of log g (95 %)", "missing to the limit", "parameters"]
        heads += ["MFLOP forward", "ms per step"]
        return markdown(heads, [self.line(row) for row in self.rows])

    def line(self, row: SizeRow) -> list[str]:
        """The cells of a row of the table."""
        return [
            str(row.depth),
            str(row.width),
            interval(row),
            f"{self.limit - row.r2:.3f}",
            f"{row.parameters:,}",
            f"{row.forward_mflop:.1f}",
            f"{1e3 * row.step_s:.0f}",
        ]

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 over parameters, FLOP and the time of a step; a line for every depth, its widths along it."""
        figure, axes = sheet.panels(3, 2.0 if sheet.narrow else 2.4, sharey=True)
        for place, (key, unit, label) in zip(axes, COSTS, strict=True):
            place.axhline(self.limit, color=LIMIT, linewidth=1.0, label="exact limit")
            plot_cost(place, self.rows, key, unit)
            place.set_xlabel(label)
        for place in axes if sheet.narrow else axes[:1]:
            place.set_ylabel("$R^2$ of log $g$")
        legend_below(figure, axes[0], columns=5)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        widths = ", ".join(str(width) for width in dict.fromkeys(row.width for row in self.rows))
        return sentences(
            f"R² of log g over what a network costs, for depths from {self.rows[0].depth} to "
            f"{self.rows[-1].depth} transformer blocks; along every line the width of a token grows: "
            f"{widths} features. Each network saw {self.rows[0].spectra:,} spectra",
            "MFLOP: million floating-point operations of one spectrum's forward pass",
            R2, EXACT, f"Error bars: 95 %, {counted(self.rows)}",
        )  # fmt: skip


def plot_cost(axes: Axes, rows: Sequence[SizeRow], key: str, unit: float) -> None:
    """R2 with intervals over one cost, on a logarithmic axis."""
    depths = list(dict.fromkeys(row.depth for row in rows))
    for depth, style in zip(depths, looks(len(depths)), strict=True):
        mine = [row for row in rows if row.depth == depth]
        found, cost = intervals(mine), [unit * getattr(row, key) for row in mine]
        name = f"{depth} block" + ("s" if depth > 1 else "")
        axes.errorbar(cost, found.value, yerr=found.reach, label=name, capsize=2, elinewidth=0.8, **style)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    light_grid(axes)


def run(work: Work[Size]) -> CapacityResult:
    """Trains every size with every seed."""
    places = [(depth, width) for depth in work.size.depths for width in work.size.widths]
    rows = run_arms(work, [arm(*place) for place in places], work.size.seeds)
    sizes = tuple(
        widened(SizeRow, row, depth=depth, width=width)
        for row, (depth, width) in zip(combined(rows), places, strict=True)
    )
    return CapacityResult(runs=tuple(rows), rows=sizes, limit=work.limit)


STUDY = Study("capacity", __doc__, SIZES, run, CapacityResult)
