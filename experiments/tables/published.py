"""The block of the published Cramér-Rao curves beside those of the same recipe on the embedded grid."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.tables.results import Result, Results
from experiments.tables.text import fixed, paragraph, table

# R2_max of log g, 1-sigma bound (dex) and Schur decay at mag 18, 20, 21.5, 22, 22.5, 23 as published for the
# original PyTorch system: project report, December 2025 to February 2026; BOSZ 2017 (1,260 nodes; with
# [C/M] and [alpha/M] 30,182), differences between nodes, variance 1.6667 dex^2. Nothing else of the bound
# with five labels was published.
Curves = Mapping[tuple[str, str], Sequence[float]]
THREE: Curves = {
    ("r2_max", "p10"): (0.9946, 0.9192, 0.0480, 0.0, 0.0, 0.0),
    ("r2_max", "median"): (0.9994, 0.9906, 0.8914, 0.7396, 0.3658, 0.0),
    ("r2_max", "p90"): (0.9999, 0.9983, 0.9804, 0.9530, 0.8854, 0.7180),
    ("bound", "p10"): (0.0140, 0.0530, 0.1809, 0.2800, 0.4369, 0.6856),
    ("bound", "median"): (0.0328, 0.1249, 0.4255, 0.6588, 1.0281, 1.6133),
    ("bound", "p90"): (0.0945, 0.3669, 1.2597, 1.9534, 3.0483, 4.7802),
    ("schur_decay", "median"): (0.6641, 0.6842, 0.6906, 0.6921, 0.6922, 0.6923),
}
FIVE: Curves = {
    ("r2_max", "median"): (0.9993, 0.9892, 0.8742, 0.6983, 0.2647, 0.0),
    ("r2_max", "p90"): (0.9999, 0.9980, 0.9768, 0.9445, 0.8650, 0.6678),
    ("schur_decay", "median"): (0.5505, 0.5696, 0.5778, 0.5791, 0.5801, 0.5806),
}
QUANTITIES = {
    ("r2_max", "p10"): "R²_max, 10th percentile of the nodes",
    ("r2_max", "median"): "R²_max, median",
    ("r2_max", "p90"): "R²_max, 90th percentile",
    ("bound", "p10"): "bound, 10th percentile (dex)",
    ("bound", "median"): "bound, median (dex)",
    ("bound", "p90"): "bound, 90th percentile (dex)",
    ("schur_decay", "median"): "Schur decay, median",
}
APART = 0.02  # R2_max: what differs by more is named


class Compared(NamedTuple):
    """What was computed with some labels unknown, per magnitude, and what was published for these labels."""

    labels: str
    bins: list[Result]
    published: Curves


def published(results: Results) -> str:
    """Every published number of the bound beside ours, with three labels unknown and with five."""
    three, five = results.file("docs/recipe.json"), results.file("docs/five_labels.json")
    both = (
        Compared("T_eff, log g, [M/H]", three.rows("published", "bins"), THREE),
        Compared("[α/M] and [C/M] as well", five.rows("published", "bins"), FIVE),
    )
    nodes = [f"{one.bins[0].number('n'):,}" for one in both]
    words = paragraph(
        f"""Ours: `{five.text("provenance", "commands", "published")}`
        ([five_labels.json](docs/five_labels.json) of {five.date}) and the same without `--labels`
        ([recipe.json](docs/recipe.json) of {three.date}), at {nodes[1]} and {nodes[0]} nodes of the embedded
        grid:"""
    )
    heads = ["unknown", "of log g", "", *(f"{row.number('mag'):g}" for row in both[0].bins)]
    rows = [line for one in both for quantity in QUANTITIES for line in _pair(one, quantity)]
    return f"{words}\n\n{table(heads, rows)}\n\n{_differences(both)}\n\n{_exact(five)}"


def _pair(one: Compared, quantity: tuple[str, str]) -> list[list[str]]:
    """Ours, and below it what was published, where it was."""
    digits = 2 if quantity[0] == "schur_decay" else 3
    ours = [fixed(row.number(*quantity), digits) for row in one.bins]
    lines = [[one.labels, QUANTITIES[quantity], "ours", *ours]]
    if quantity in one.published:
        lines.append(["", "", "published", *(fixed(value, digits) for value in one.published[quantity])])
    return lines


def _differences(both: Sequence[Compared]) -> str:
    """How far ours lie from the published numbers, and which differ most."""
    median, decay = ("r2_max", "median"), ("schur_decay", "median")
    medians = [max(map(abs, _apart(one, median))) for one in both]
    decays = [max(map(abs, _apart(one, decay))) for one in both]
    named = [
        f"the {quantity[1]} with {name} at mag {row.number('mag'):g} ({fixed(row.number(*quantity), 3)}, "
        f"published {fixed(value, 3)})"
        for one, name in zip(both, ("three", "five"), strict=True)
        for quantity in one.published
        if quantity[0] == "r2_max"
        for row, value in zip(one.bins, one.published[quantity], strict=True)
        if abs(row.number(*quantity) - value) > APART
    ]
    return paragraph(
        f"""The median R²_max agrees to {fixed(medians[0], 3)} with three labels and {fixed(medians[1], 3)}
        with five, the Schur decay to {fixed(decays[0], 2)} and {fixed(decays[1], 2)}. Further apart than
        {APART:g}: {"; ".join(named)}. {_clipped(both[0])}"""
    )


def _clipped(three: Compared) -> str:
    """Why the 10th percentile at mag 21.5 is zero here and was not there."""
    i = [row.number("mag") for row in three.bins].index(21.5)
    ours, theirs = three.bins[i].number("bound", "p90"), three.published["bound", "p90"][i]
    return (
        "The 10th percentile is that of the nodes with the widest bounds, and is clipped at zero once these "
        f"reach the width of the labels, 1.291 dex: at mag 21.5 they are {fixed(ours, 2)} dex here and were "
        f"{fixed(theirs, 2)} there, {fixed(100 * (ours / theirs - 1), 0)} % less, which is all that "
        "separates 0.000 from 0.048."
    )


def _exact(five: Result) -> str:
    """The same five labels without the recipe's choices."""
    rows = [(f"{row.number('mag'):g}", row.number("r2_max", "median")) for row in five.rows("exact", "bins")]
    curve = ", ".join(f"{fixed(r2, 3)}" for _, r2 in rows)
    return paragraph(
        f"""Without the recipe's choices (`{five.text("provenance", "commands", "exact")}`) the medians with
        five labels are {curve} at mag {", ".join(mag for mag, _ in rows)}."""
    )


def _apart(one: Compared, quantity: tuple[str, str]) -> list[float]:
    """Ours minus published, per magnitude."""
    values = one.published[quantity]
    return [row.number(*quantity) - value for row, value in zip(one.bins, values, strict=True)]
