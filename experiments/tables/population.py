"""Blocks on stars of a table: how much the ceiling of a giant branch differs from that of a box."""

import math

from experiments.tables.results import Result, Results
from experiments.tables.text import fixed, paragraph, table

WHO = {"box": "box of the grid", "giants": "giant branch"}


def population(results: Results) -> str:
    """Bounds and limits of log g and [M/H] on both, per magnitude."""
    found = results.file("docs/population.json")
    heads = ["label", "mag", "stars", "SNR", "bound (dex)", "R²_max", "R²_Bayes (95 %)", "rms error (dex)"]
    cells = [
        [label, fixed(box.number("mag"), 1), WHO[who], *_numbers(found, label, who, row)]
        for label in ("log_g", "M_H")
        for box, giants in zip(_bins(found, label, "box"), _bins(found, label, "giants"), strict=True)
        for who, row in (("box", box), ("giants", giants))
    ]
    n = fixed(found.number("giants", 0, "bins", 0, "r2_bayes", "n"), 0)
    words = paragraph(
        f"""Medians over stars or nodes of the Cramér-Rao bound and of R²_max = 1 - bound²/variance, the exact
        limit of {n} stars each, and the rms error that goes with it, sqrt((1 - R²_Bayes) variance)
        ({found.date}):"""
    )
    return f"{words}\n\n{table(heads, cells)}\n\n{_what_follows(found)}"


def _one(found: Result, label: str, who: str) -> Result:
    return found.one(who, label=label)


def _bins(found: Result, label: str, who: str) -> list[Result]:
    return _one(found, label, who).rows("bins")


def _numbers(found: Result, label: str, who: str, row: Result) -> list[str]:
    """Bound, R²_max, exact limit and its rms error at one magnitude."""
    value, low, high = (row.number("r2_bayes", end) for end in ("value", "low", "high"))
    return [
        fixed(row.number("snr_median"), 1),
        fixed(row.number("bound", "median"), 2),
        fixed(row.number("r2_max", "median"), 2),
        f"**{fixed(value, 3)}** ({fixed(low, 3)} to {fixed(high, 3)})",
        fixed(_error(found, label, who, row), 2),
    ]


def _error(found: Result, label: str, who: str, row: Result) -> float:
    return math.sqrt((1 - row.number("r2_bayes", "value")) * _one(found, label, who).number("variance"))


def _what_follows(found: Result) -> str:
    """What the table says of log g at its middle magnitude, and how many stars are behind it."""
    spread = {who: fixed(math.sqrt(_one(found, "log_g", who).number("variance")), 2) for who in WHO}
    rows = {who: _bins(found, "log_g", who)[1] for who in WHO}
    errors = {who: fixed(_error(found, "log_g", who, row), 2) for who, row in rows.items()}
    stars = ", ".join(
        fixed(row.number("r2_bayes", "ess", "median"), 0) for row in _bins(found, "log_g", "giants")
    )
    r2 = {who: fixed(row.number("r2_bayes", "value"), 2) for who, row in rows.items()}
    return paragraph(
        f"""At mag {fixed(rows["box"].number("mag"), 1)} an unbiased estimator knows log g of the median giant
        to {fixed(rows["giants"].number("bound", "median"), 2)} dex, more than the spread of the branch,
        {spread["giants"]} dex: R²_max is {fixed(rows["giants"].number("r2_max", "median"), 2)}. Whoever knows
        the branch errs by {errors["giants"]} dex, R² {r2["giants"]}: temperature and metallicity fix log g on
        it. Over the box, where they leave it open, it is {errors["box"]} dex and R² {r2["box"]} of a spread
        of {spread["box"]} dex. So neither R² tells of the other stars, and most of what is known of a faint
        giant comes from the tracks behind the table, not from its spectrum. Stars of the table in a
        posterior, in the median: {stars}, from bright to faint."""
    )
