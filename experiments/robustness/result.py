"""What `robustness` leaves: scores by noise and by distortion, their table and their figure."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.robustness import figure
from experiments.robustness.distortions import name_of
from experiments.robustness.rows import CaseRow, NoiseRow
from experiments.study.plotting import EXACT, PAGE, R2, Sheet, interval, markdown, sentences
from experiments.study.result import Result
from specvit_jax import metrics


@dataclass(frozen=True, kw_only=True)
class RobustnessResult(Result):
    """Scores by noise in training and test, limits by noise, and scores of every reader by distortion."""

    noise: tuple[NoiseRow, ...]
    limits: dict[str, float]  # by noise level
    rows: tuple[CaseRow, ...]
    bright_pixels: float  # share of pixels that count as sky lines

    def table(self) -> str:
        """Noise levels; then a line for every distortion and reader."""
        scores = ["R2 of log g (95 %)", "bias, dex", "scatter, dex"]
        noise = [
            [f"{row.trained:g}", f"{row.tested:g}", *score_cells(row), self.shown_limit(row.tested)]
            for row in self.noise
        ]
        cases = [[name_of(row.case), row.reader, *score_cells(row)] for row in self.rows]
        first = markdown(["trained at noise", "tested at noise", *scores, "limit"], noise)
        return f"{first}\n\n{markdown(['distortion', 'reader', *scores], cases)}"

    def shown_limit(self, level: float) -> str:
        """The exact limit at a noise level; a dash where it was not asked for."""
        found = self.limits.get(f"{level:g}")
        return "-" if found is None else f"{found:.3f}"

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 over noise, and over every distortion for every reader."""
        return figure.plot(self.noise, self.limits, self.rows, sheet)

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "First panel: networks trained at three strengths of the noise, tested at others. Further "
            "panels: the same test spectra with a distortion that no training spectrum showed, read by "
            "SpecViT, by the network trained under survey conditions, and by Ridge regression: broader or "
            "narrower lines, a velocity, a tilted continuum, a wrong flux scale (rms: root mean square), "
            "sky lines subtracted badly (residuals of 3, 10 or 30 sigma of the noise in the pixels hit), "
            f"pixels lost one by one or in blocks. R² below {figure.LOWEST:g} is not shown",
            R2, EXACT, "Error bars: 95 %, from resampled stars",
        )  # fmt: skip


def score_cells(row: metrics.Score) -> list[str]:
    """R2 with its interval, bias, scatter."""
    return [interval(row), f"{row.bias:+.3f}", f"{row.scatter:.3f}"]
