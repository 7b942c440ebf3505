"""The numbers of the R2-SNR figure on the screen."""

from typing import Any

from rich.table import Table


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


def interval(row: dict[str, Any]) -> str:
    """R2 with its bootstrap interval; a dash where the bin has too few spectra to be scored."""
    return "-" if row["r2"] is None else f"{row['r2']:.3f} ({row['r2_low']:.3f}-{row['r2_high']:.3f})"


def estimator_table(results: dict[str, Any]) -> Table:
    """One row per SNR bin, then overall."""
    out = Table(title=f"R2 of log g on {results['test']['n']:,} test spectra (95 % bootstrap intervals)")
    for column in ("SNR per pixel", "n", *results["estimators"]):
        out.add_column(column, justify="right")
    for rows in zip(*(estimator["by_snr"] for estimator in results["estimators"].values()), strict=True):
        low, high, n = (rows[0][key] for key in ("snr_low", "snr_high", "n"))
        if n == 0:
            continue
        out.add_row(f"{low:g}-{high:g}", str(n), *map(interval, rows))
    overall = [estimator["overall"] for estimator in results["estimators"].values()]
    out.add_section()
    for key, unit in (("r2", ""), ("mae", " dex"), ("rmse", " dex"), ("bias", " dex")):
        out.add_row(
            key + unit,
            "" if key != "r2" else str(results["test"]["n"]),
            *(f"{row[key]:.3f}" for row in overall),
        )
    return out
