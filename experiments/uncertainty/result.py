"""What `uncertainty` leaves, its table and its figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.study.plotting import interval, markdown
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

    def plot(self) -> Figure:
        """Calibration, sigma beside the exact one, and scores by SNR."""
        return figure.plot(self.bins, self.curves, self.sigmas)


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
