"""What `uncertainty` leaves, its table and its figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.study.plotting import PAGE, SNR, Sheet, interval, markdown, sentences
from experiments.study.result import Result
from experiments.uncertainty import figure
from experiments.uncertainty.rows import NAMES, ArmScores, Curves, Forecast, ForecastBin, Sigmas

SCORES = ("sharpness", "nll", "crps", "excess_nll", "excess_mean", "width", "correlation")


@dataclass(frozen=True, kw_only=True)
class UncertaintyResult(Result):
    """R2 of all arms and seeds; forecasts of those with a sigma beside the exact posterior."""

    runs: tuple[ArmScores, ...]
    rows: tuple[ArmScores, ...]
    levels: tuple[float, ...]
    bins: tuple[ForecastBin, ...]  # all stars first
    curves: Curves
    sigmas: Sigmas

    def table(self) -> str:
        """R2 of the arms, then the forecasts: all stars, and by SNR."""
        arms = [[row.arm, str(row.seeds), interval(row), f"{row.mae:.3f}"] for row in self.rows]
        heads = ["SNR", "n", "forecast", *(f"covers {level:.0%}" for level in self.levels)]
        heads += ["mean sigma, dex", "NLL", "CRPS, dex", "excess NLL", "of it by the mean"]
        heads += ["width / error", "correlation of ln sigma"]
        lines = [line for found in self.bins for line in lines_of(found, self.levels)]
        return f"{markdown(['arm', 'seeds', 'R2 (95 %)', 'MAE, dex'], arms)}\n\n{markdown(heads, lines)}"

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Calibration, sigma beside the exact one, and scores by SNR."""
        return figure.plot(self.bins, self.curves, self.sigmas, sheet)

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        whole = self.bins[0]
        tests = ", ".join(f"{name} {getattr(self.curves, key).ks:.3f}" for key, name in NAMES.items())
        numbers = ", ".join(f"{getattr(self.curves, key).n:,} for the {name}" for key, name in NAMES.items())
        return sentences(
            "What a network with a head for the deviation sigma of log g, trained with the negative "
            f"log-likelihood (NLL), says of its own errors, on {whole.n:,} test stars, beside normal "
            "distributions of the exact posterior's mean and deviation (exact moments) and the exact "
            "posterior itself",
            "Coverage: share of true values within an interval; grey: 95 % of chance for the smaller and the "
            f"larger number of stars ({numbers})",
            "Probability integral transform: the forecast's probability of a value below the true one, "
            f"uniform where it is right; largest distance from uniform (Kolmogorov-Smirnov): {tests}",
            f"Correlation of ln sigma with that of the exact posterior: {whole.network.correlation:.3f}",
            "Excess: mean negative logarithm of the forecast's density at the truth, less that of the exact "
            "moments, and the part of it that the mean makes",
            SNR, "Error bars: 95 %, from resampled stars",
        )  # fmt: skip


def lines_of(found: ForecastBin, levels: Sequence[float]) -> list[list[str]]:
    """The lines of a bin, one for each forecast."""
    ends = f"{found.snr_low:g} to {found.snr_high:g}" if found.snr_high else "all"
    lines = []
    for key, name in NAMES.items():
        forecast: Forecast = getattr(found, key)
        n = found.n if forecast.n is None else forecast.n
        covers = [interval(forecast, f"cover_{round(100 * level)}") for level in levels]
        lines.append([ends, str(n), name, *covers, *(interval(forecast, score) for score in SCORES)])
    return lines
