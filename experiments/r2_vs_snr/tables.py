"""The numbers of the R2-SNR figure: on the screen, and in Markdown."""

from typing import Any

from rich import box
from rich.table import Table

from experiments.study.drawing import interval, markdown


def ceiling_table(results: dict[str, Any]) -> Table:
    """One row per magnitude: the Cramer-Rao median and the exact limit of any estimator."""
    bins = results["ceiling"]["bins"]
    out = Table(title=f"Ceilings of R2 of log g ({bins[0]['r2_bayes']['n']:,} stars per magnitude)")
    heads = ("mag", "SNR per pixel", "Cramer-Rao bound (dex)", "Cramer-Rao R2_max", "R2_Bayes, exact limit")
    for head in heads:
        out.add_column(head, justify="right")
    for row in bins:
        exact = row["r2_bayes"]
        out.add_row(
            f"{row['mag']:g}",
            f"{row['snr_median']:.1f}",
            f"{row['bound']['median']:.3f}",
            f"{row['r2_max']['median']:.3f}",
            f"{exact['value']:.3f} ({exact['low']:.3f}-{exact['high']:.3f})",
        )
    return out


def snr_table(results: dict[str, Any]) -> Table:
    """R2 of every method per SNR bin, the exact limit of the same stars first."""
    known = {row["snr_low"]: row for row in results["limit"]["by_snr"]}
    out = Table(
        box=box.SIMPLE, title=f"R2 of log g on {results['test']['n']:,} test spectra, by SNR per pixel"
    )
    for column in ("SNR", "n", "limit", *results["estimators"]):
        out.add_column(column, justify="right")
    for rows in zip(*(method["by_snr"] for method in results["estimators"].values()), strict=True):
        low, high, n = (rows[0][key] for key in ("snr_low", "snr_high", "n"))
        if n:
            limit = f"{known[low]['r2_bayes']:.3f}" if low in known else "-"
            scores = ("-" if row["r2"] is None else f"{row['r2']:.3f}" for row in rows)
            out.add_row(f"{low:g}-{high:g}", str(n), limit, *scores)
    return out


def method_table(results: dict[str, Any]) -> str:
    """Markdown: one line per method, overall and by type of star, with the training of each."""
    heads = ["method", "R2 (95 %)", "R2 / R2_Bayes", "MAE, dex", "RMSE, dex", "bias, dex"]
    limit = results["limit"]["overall"]
    types = next(iter(results["estimators"].values()))["by_type"]
    heads += [f"{row['type']}: MAE (bias), dex" for row in types]
    lines = [["exact limit of these stars", f"{limit:.3f}", "1", "", "", "", *[""] * len(types), ""]]
    for name, method in results["estimators"].items():
        total = method["overall"]
        lines.append(
            [name, interval(total), f"{total['r2'] / limit:.3f}"]
            + [f"{total[key]:.3f}" for key in ("mae", "rmse", "bias")]
            + [f"{row['mae']:.3f} ({row['bias']:+.3f})" if "mae" in row else "-" for row in method["by_type"]]
            + [method["training"]]
        )
    return markdown([*heads, "training"], lines)
