"""What `attention` leaves, its tables and its figure."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.attention.figure import (
    plot_attention,
    plot_correlations,
    plot_cosines,
    plot_information,
    plot_sensitivity,
)
from experiments.attention.rows import Compared
from experiments.study.plotting import PAGE, SNR, Sheet, interval, legend_below, markdown, sentences
from experiments.study.result import Result

FILTERS = {
    "prior": "optimal, with the prior",
    "unbiased": "optimal, unbiased",
    "known": "optimal if the other labels were known",
}


@dataclass(frozen=True, kw_only=True)
class AttentionResult(Result, Compared):
    """How every network looks at the first stars of the test set, and what would be best."""

    def table(self) -> str:
        """What the networks are; cosines with the filters; responses; rank correlations."""
        parts = (self.network_table(), self.cosine_table(), self.response_table(), self.correlation_table())
        return "\n\n".join(parts)

    def network_table(self) -> str:
        """What the networks are."""
        heads = ["network", "R2 of log g", "share of a patch that is its own"]
        rows = [
            [name, f"{row.r2:.3f}", f"{row.locality:.2f}", f"{self.limits[name].prior.median:.3f}"]
            for name, row in self.networks.items()
        ]
        return markdown([*heads, "largest possible cosine (median)"], rows)

    def cosine_table(self) -> str:
        """Gradient of log g against each filter."""
        heads = [
            "network",
            "cosine of d log g / d flux with",
            "median (95 %)",
            "10 % of stars below",
            "above",
        ]
        rows = [
            [
                row.network,
                FILTERS.get(row.filter, f"optimal for {row.filter}"),
                interval(row, "median"),
                f"{row.p10:.2f}",
                f"{row.p90:.2f}",
            ]
            for row in self.cosines
        ]
        return markdown(heads, rows)

    def response_table(self) -> str:
        """What a change of each label does to the estimated log g."""
        best = next(iter(self.response.values()))
        rows = [
            [name, *(f"{found[label].network:.3g}" for label in best)]
            for name, found in self.response.items()
        ]
        rows.append(["optimal filter", *(f"{found.optimal:.3g}" for found in best.values())])
        return markdown(["median of d(estimated log g) / d label", *best], rows)

    def correlation_table(self) -> str:
        """Rank correlation over patches with the information."""
        heads = ["network", "measure", "information on", "rank correlation (95 %)", "shifted patches (95 %)"]
        rows = [
            [
                row.network,
                row.measure,
                row.label,
                interval(row, "rho", 2),
                f"{row.chance_low:.2f} to {row.chance_high:.2f}",
            ]
            for row in self.correlations
        ]
        return markdown(heads, rows)

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Information, attention and sensitivity along the spectrum; below, how they agree."""
        figure = plt.figure(figsize=(sheet.width, 10.5 if sheet.narrow else 8.0))
        ratios = (1.1, 1.25, 1.0, 1.9) + ((1.5,) if sheet.narrow else ())
        grid = figure.add_gridspec(len(ratios), 2, height_ratios=ratios)
        top = figure.add_subplot(grid[0, :])
        plot_information(top, self.information, gap=110.0 if sheet.narrow else 30.0)
        heads = figure.add_subplot(grid[1, :], sharex=top)
        plot_attention(figure, heads, self.patches)
        plot_sensitivity(figure.add_subplot(grid[2, :], sharex=top), self.patches)
        for axes in (top, heads):
            axes.tick_params(labelbottom=False)
        places = (grid[3, :], grid[4, :]) if sheet.narrow else (grid[3, 0], grid[3, 1])
        below, last = (figure.add_subplot(place) for place in places)
        plot_correlations(below, self.correlations)
        plot_cosines(last, self.cosines, self.limits["trained"])
        legend_below(figure, last, figure.axes[3], columns=5)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "From above: information on log g by wavelength, the mean over stars, with the stretches that "
            "hold most of it grey and their lines named; attention that patches receive in every head of "
            "every block, and multiplied through all blocks (rollout), 1 where all patches are alike; "
            "share of a patch in the noise of the network's log g, beside its share in the optimal "
            "filter's. Then the rank correlation of each of these with the information of the patches "
            "(grey: 95 % of what shifted patches give); and the cosine between the network's gradient and "
            "the optimal filter, the best linear combination of pixels, by SNR (median; bands: 10 to 90 % "
            "of stars)",
            "Networks: trained; trained on spectra that are not whitened; with its random starting weights",
            SNR,
        )
