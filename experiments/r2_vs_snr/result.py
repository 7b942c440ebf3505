"""The numbers of the R2-SNR figure: as tables on the screen and in Markdown, and as the figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from crlb import Ceiling
from experiments.r2_vs_snr import figure
from experiments.r2_vs_snr.rows import Estimator, Limit, Published
from experiments.study.plotting import PAGE, Sheet, interval, markdown
from experiments.study.result import Result
from experiments.study.screen import Cells, by_bin, text_of
from specvit_jax import metrics


@dataclass(frozen=True, kw_only=True)
class FigureResult(Result):
    """Ceilings by magnitude, the limit of the test stars, and what every method reads from them."""

    ceiling: Ceiling
    limit: Limit
    estimators: dict[str, Estimator]
    absent: dict[str, str]  # method -> why
    published: Published

    def table(self) -> str:
        """One line per method, overall and by type of star, with the training of each."""
        types = next(iter(self.estimators.values())).by_type
        heads = ["method", "R2 (95 %)", "R2 / R2_Bayes", "MAE, dex", "RMSE, dex", "bias, dex"]
        heads += [f"{row.type}: MAE (bias), dex" for row in types]
        exact = ["exact limit of these stars", f"{self.limit.overall:.3f}", "1"]
        lines = [[*exact, "", "", "", *[""] * len(types), ""]]
        lines += [self.line(name, method) for name, method in self.estimators.items()]
        return markdown([*heads, "training"], lines)

    def line(self, name: str, method: Estimator) -> list[str]:
        """The cells of a method."""
        total = method.overall
        types = ["-" if row.mae is None else f"{row.mae:.3f} ({row.bias:+.3f})" for row in method.by_type]
        numbers = [f"{value:.3f}" for value in (total.mae, total.rmse, total.bias)]
        share = f"{total.r2 / self.limit.overall:.3f}"
        return [name, interval(total), share, *numbers, *types, method.training]

    def shown(self) -> str:
        """Ceilings by magnitude and R2 by SNR, for a screen."""
        return text_of(self.ceiling_table(), self.snr_table())

    def ceiling_table(self) -> Table:
        """One row per magnitude: the Cramer-Rao median and the exact limit of any estimator."""
        bins, limits = self.ceiling.bins, self.ceiling.exact_limits()
        title = f"Ceilings of R2 of log g ({limits[0].n:,} stars per magnitude)"
        out = Table(title=title, box=box.SIMPLE)
        heads = ("mag", "SNR per pixel", "bound, dex", "R2_max", "exact limit (95 %)")
        for head in heads:
            out.add_column(head, justify="right", no_wrap=True)
        for row, exact in zip(bins, limits, strict=True):
            out.add_row(
                f"{row.mag:g}",
                f"{row.snr_median:.1f}",
                f"{row.bound.median:.3f}",
                f"{row.r2_max.median:.3f}",
                f"{exact.value:.3f} ({exact.low:.3f}-{exact.high:.3f})",
            )
        return out

    def snr_table(self) -> Table:
        """R2 of every method per SNR bin and over all, the exact limit of the same stars first."""
        known = {row.snr_low: row.r2_bayes for row in self.limit.by_snr}
        bins = scored(next(iter(self.estimators.values())).by_snr)
        rows: dict[str, Cells] = {
            "exact limit": [*(known.get(row.snr_low) for row in bins), self.limit.overall]
        }
        for name, one in self.estimators.items():
            rows[name] = [*(row.r2 for row in scored(one.by_snr)), one.overall.r2]
        names = [f"{row.snr_low:g}-{row.snr_high:g}" for row in bins]
        title = f"R2 of log g on {self.test.n:,} test spectra"
        return by_bin(title, [*names, "all"], [*(row.n for row in bins), self.test.n], rows)

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 against SNR above, efficiency below, legend beside or under them."""
        return figure.plot(self.estimators, self.limit, self.ceiling, self.published, sheet)

    def caption(self) -> str:
        """What a reader needs beside the figure: grid, samples, training, and how SNR and R2 are defined."""
        (low, high), first = self.test.mag, self.ceiling.bins[0]
        stars = self.ceiling.exact_limits()[0].n
        training = "; ".join(f"{name} {method.training}" for name, method in self.estimators.items())
        return " ".join(
            [
                "R² of log g against SNR for every method, what no estimator exceeds on average (exact",
                "limit) and what binds unbiased ones (Cramér-Rao); below, R² over the exact limit of the",
                f"same stars, the efficiency. Grid: {self.grid.title}; {first.n} nodes under the bound,",
                f"{stars} stars per magnitude under the exact limit.",
                f"Test: {self.test.n:,} spectra, mag {low:g}-{high:g}, labels uniform over the box, the same",
                "spectra for every method. Bands: 95 % bootstrap. SNR: median over usable pixels (0.427 Å)",
                "of flux/error. R² of a bin uses the variance of its own stars; the ceilings use Var(log g)",
                f"= {self.ceiling.variance:.3f} dex². Efficiency: exact posteriors of {self.limit.n:,} test",
                "stars. Published: SNR of estimators divided by 1.18, as it seems to be the 95 % quantile of",
                "flux/error, not the median (an inference).",
                f"Training: {training}.",
                *(f"Absent: {name}." for name in self.absent),
            ]
        )


def scored(rows: Sequence[metrics.BinScore]) -> list[metrics.BinScore]:
    """The bins in which there are stars."""
    return [row for row in rows if row.n]
