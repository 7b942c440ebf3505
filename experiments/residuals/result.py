"""What `residuals` leaves, its table and its figure."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.figure import Figure, SubFigure

from experiments.residuals.figure import plot_maps, plot_parity, plot_profile, plot_pulls
from experiments.residuals.rows import METHODS, ErrorMap, Network, Parity, ProfileRow, PullPair, Pulls, SnrRow
from experiments.study.plotting import PAGE, SNR, Sheet, interval, legend_below, markdown, sentences
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

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Maps of bias and scatter on top, then parity and profile, then pulls."""
        height = 13.2 if sheet.narrow else 8.4
        figure = plt.figure(figsize=(sheet.width, height))
        if sheet.narrow:
            parts = figure.subfigures(5, 1, squeeze=False, height_ratios=[2.2, 2.2, 1.5, 1.7, 2.6])[:, 0]
            for part, (key, maps) in zip(parts, self.maps.items(), strict=False):
                plot_maps(part, {key: maps})
            parity, (profile,) = (
                parts[2].subplots(1, 2, sharey=True),
                parts[3].subplots(1, 1, squeeze=False)[0],
            )
            plot_parity(parts[2], parity, self.parity)
        else:
            parts = figure.subfigures(3, 1, squeeze=False, height_ratios=[1.55, 1.1, 0.95])[:, 0]
            plot_maps(parts[0], self.maps)
            *parity, profile = parts[1].subplots(1, 3, width_ratios=[1, 1, 1.35])
            plot_parity(parts[1], parity, self.parity)
        plot_profile(profile, self.profile)
        self.plot_pulls(parts[-1], sheet)
        return figure

    def plot_pulls(self, part: SubFigure, sheet: Sheet) -> None:
        """Residuals over the posterior sigma and over the bound."""
        left, right = part.subplots(*((2, 1) if sheet.narrow else (1, 2)))
        over = {name: pair.posterior for name, pair in self.pulls.items()}
        plot_pulls(left, over, "residual / posterior standard deviation")
        bound = {name: pair.bound for name, pair in self.pulls.items()}
        plot_pulls(right, bound, "residual / Cramér-Rao bound")
        legend_below(part, left, columns=3)

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            f"Residuals (estimate - truth) of log g of {self.test.n:,} test stars, for SpecViT and for the "
            "mean of the exact posterior, which is the best estimator under the prior. Maps: mean "
            "residual (bias) and its standard deviation (scatter) over true labels and SNR; white: too "
            "few stars. Then estimate against truth; mean residual with the range of the middle 68 % of "
            "SpecViT's, with the median posterior standard deviation and the Cramér-Rao bound, which "
            "binds estimators without bias; densities of residuals over both, beside a normal "
            "distribution of deviation 1",
            SNR,
        )


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
