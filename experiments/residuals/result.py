"""What `residuals` leaves, its table and its figure."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.residuals.figure import plot_maps, plot_parity, plot_profile, plot_pulls
from experiments.residuals.rows import METHODS, ErrorMap, Network, Parity, ProfileRow, PullPair, Pulls, SnrRow
from experiments.study.plotting import PAGE_WIDTH_IN, interval, markdown
from experiments.study.result import Result
from specvit_jax import metrics


@dataclass(frozen=True, kw_only=True)
class ResidualsResult(Result):
    """Maps, parity, profile and pulls of the network and of the posterior mean."""

    network: Network
    methods: dict[str, metrics.Score]
    maps: dict[str, dict[str, ErrorMap]]  # property across -> method
    parity: dict[str, Parity]
    profile: tuple[ProfileRow, ...]
    pulls: dict[str, PullPair]
    by_snr: tuple[SnrRow, ...]
    without_bound: int  # stars

    def table(self) -> str:
        """Pulls of each method, then by SNR."""
        heads = ["residual over", "of", "mean", "standard deviation", "skewness", "kurtosis", "within 1"]
        lines = [["posterior sigma", name, *pull_cells(self.pulls[name].posterior)] for name in METHODS]
        lines += [["Cramer-Rao bound", name, *pull_cells(self.pulls[name].bound)] for name in METHODS]
        by = ["SNR", "n", "median sigma, dex", "median bound, dex"]
        by += [f"residual/sigma of {name}: std" for name in METHODS]
        rows = [
            [
                f"{row.snr_low:g} to {row.snr_high:g}",
                str(row.n),
                f"{row.sigma:.3f}",
                f"{row.bound:.3f}",
                *(interval(row.methods[name], "std") for name in METHODS),
            ]
            for row in self.by_snr
        ]
        return f"{markdown([*heads, 'KS distance'], lines)}\n\n{markdown(by, rows)}"

    def plot(self) -> Figure:
        """Maps of bias and scatter on top, then parity and profile, then pulls."""
        figure = plt.figure(figsize=(PAGE_WIDTH_IN, 8.4))
        rows = figure.subfigures(3, 1, squeeze=False, height_ratios=[1.55, 1, 0.85])[:, 0]
        plot_maps(rows[0], self.maps)
        panels = rows[1].subplots(1, 3, width_ratios=[1, 1, 1.35])
        plot_parity(rows[1], panels[:2], self.parity)
        plot_profile(panels[2], self.profile)
        left, right = rows[2].subplots(1, 2)
        over = {name: pair.posterior for name, pair in self.pulls.items()}
        plot_pulls(left, over, "residual / posterior $\\sigma$")
        plot_pulls(
            right, {name: pair.bound for name, pair in self.pulls.items()}, "residual / Cramér-Rao bound"
        )
        figure.suptitle(f"Log $g$ of {self.test.n:,} test stars: estimate $-$ truth", fontsize=8)
        return figure


def pull_cells(pull: Pulls) -> list[str]:
    """Moments and distance of pulls as text."""
    return [
        interval(pull, "mean"),
        interval(pull, "std"),
        f"{pull.skewness:+.2f}",
        f"{pull.kurtosis:+.2f}",
        f"{pull.within_1:.3f}",
        f"{pull.ks:.3f} (chance: {pull.ks_95:.3f})",
    ]
