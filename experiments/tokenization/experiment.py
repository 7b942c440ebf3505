"""How a spectrum is best cut into tokens: patch size, overlap, tokenizer and its start, chunk normalisation.

Claim:    the published sweep compared 18 tokenizers by normalised errors of last epochs, and 15 of its
          sliding-window runs failed to train. On one test set, with best-validation weights, smaller patches
          cost several times more for nothing.
Command:  python -m experiments.tokenization [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, about 45 minutes a seed; gpu: one GPU.
Expect:   cpu, one seed, 200 steps: patch 64, 32, 16, 8 0.633, 0.624, 0.617, 0.614, each +-0.011; overlap
          0.627 to 0.631; chunk normalisation 0.60; the published starts 0.53 to 0.57. Patch 8 is 16 times as
          dear as 64. Whether more steps change the order was not tried.

All arms see the same number of spectra in the same order. Overlap is a stride below the patch size, the
published "sliding window"; from the scaled start conv and linear tokens are the same network, bit for bit, so
that the two are told apart by their published starts only. On a CPU a step is computed in pieces.
"""

from dataclasses import dataclass

from matplotlib.figure import Figure

from crlb.palette import BACKGROUND, steps
from experiments.study.cells import log_ticks
from experiments.study.frame import Study, Work
from experiments.study.plotting import PAGE, R2, Sheet, bars, interval, light_grid, markdown, sentences
from experiments.study.result import Result
from experiments.study.rows import ArmRow, counted
from experiments.study.training import Arm, base, combined, run_arms


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    arms: tuple[Arm, ...]
    seeds: int = 1
    settings: tuple[str, ...] = ()
    mag: tuple[float, float] = (20.5, 22.5)


def arm(patch: int, stride: int | None = None, *settings: str, note: str = "") -> Arm:
    """A tokenizer by its patch and stride, in pixels."""
    name = f"patch {patch}" + (f", stride {stride}" if stride else "") + (f", {note}" if note else "")
    changes = (f"model.patch_size={patch}", *((f"model.stride={stride}",) if stride else ()), *settings)
    return Arm(name, changes)


CHUNK = "model.chunk_norm=true"
CONV, LINEAR = (
    (f"model.tokenizer={kind}", "model.init=published", "model.token_std=1.0") for kind in ("conv", "linear")
)
ARMS = (
    arm(64),
    arm(32),
    arm(16),
    arm(8),
    arm(64, 32),
    arm(64, 16),
    arm(32, 16),
    arm(64, None, CHUNK, note="chunk-normalised"),
    arm(64, 32, CHUNK, note="chunk-normalised"),
    arm(64, None, *CONV, note="conv, published start"),
    arm(64, None, *LINEAR, note="linear, published start"),
    arm(64, 32, *LINEAR, note="linear, published start"),
)


def in_pieces(arm: Arm) -> Arm:
    """The arm with a step in pieces whose attention a CPU's cache holds: the same gradient, sooner.

    With 256 tokens a step of 128 spectra takes 0.6 of the time in 8 pieces, with 512 half of it in 32.
    """
    tokens = base("cpu", arm.settings).model.num_patches
    return arm._replace(settings=(*arm.settings, f"train.accumulate={max(1, round(tokens**2 / 8192))}"))


SIZES = {
    "smoke": Size(300, (ARMS[0], ARMS[4], ARMS[7])),
    "cpu": Size(10_000, tuple(map(in_pieces, ARMS)), seeds=2, settings=("train.steps=200",)),
    "gpu": Size(10_000, ARMS, seeds=3),
}


@dataclass(frozen=True, kw_only=True)
class TokenizationResult(Result):
    """A row for every tokenizer and seed, and one for every tokenizer."""

    runs: tuple[ArmRow, ...]
    rows: tuple[ArmRow, ...]

    def table(self) -> str:
        """One line per tokenizer."""
        heads = ["tokens", "number", "R2 (95 %)", "MAE, dex", "parameters", "MFLOP forward", "ms per step"]
        rows = [
            [
                row.arm,
                str(row.tokens),
                interval(row),
                f"{row.mae:.3f}",
                f"{row.parameters:,}",
                f"{row.forward_mflop:.1f}",
                f"{1e3 * row.step_s:.0f}",
            ]
            for row in self.rows
        ]
        return markdown(heads, rows)

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 with intervals, the cost of a step beside it."""
        rows = self.rows
        figure, (left, right) = sheet.panels(
            2, 0.6 + (0.3 if sheet.narrow else 0.2) * len(rows), sharey=True
        )  # fmt: skip
        names = sheet.wrapped([row.arm for row in rows])
        bars(left, rows, names)
        left.set_xlabel("$R^2$ of log $g$")
        times = [1e3 * row.step_s for row in rows]
        right.hlines(range(len(rows)), min(times) / 2, times, color=BACKGROUND, linewidth=3)
        right.plot(times, range(len(rows)), "s", color=steps(3)[1])
        log_ticks(right, [300, 1000, 3000])
        right.set_yticks(range(len(rows)), names)
        right.set_xlabel("time of a training step (ms)")
        light_grid(right, "x")
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "Ways to cut a spectrum into tokens: pixels of a patch, pixels from one patch to the next "
            "(stride) where patches overlap, each patch normalised by itself (chunk-normalised), and the "
            f"published tokenizers with their starting weights; {self.rows[0].spectra:,} training spectra "
            "each",
            R2, f"Error bars: 95 %, {counted(self.rows)}",
        )  # fmt: skip


def run(work: Work[Size]) -> TokenizationResult:
    """Trains every tokenizer with every seed."""
    rows = run_arms(work, work.size.arms, work.size.seeds, work.size.settings)
    return TokenizationResult(runs=tuple(rows), rows=tuple(combined(rows)))


STUDY = Study("tokenization", __doc__, SIZES, run, TokenizationResult)
