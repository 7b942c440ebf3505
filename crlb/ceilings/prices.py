"""What each unknown of an observation costs an estimator that knows its prior: the exact limit, row by row.

The same stars with the same noise in every row, so that differences between rows are sharper than the rows.
Beside it stands what unbiased estimators pay (`crlb.ceilings.nuisance_effects`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from crlb.bayes.exact_limit import BayesLimit, Interval, check_limit, limit_at, one_minus_mean
from crlb.bayes.solve import AVERAGED, Inference
from crlb.bayes.unknowns import prior_under
from crlb.files.text import mag_cell
from crlb.labels import unit_of
from crlb.observation.conditions import Conditions
from crlb.observation.forward_model import ForwardModel

if TYPE_CHECKING:
    from rich.table import Table

# Nothing is unknown, as under `PUBLISHED`, but noise is drawn from the keys of the other rows.
NOTHING = Conditions(lost_block=1)
NO_UNKNOWN = "none"


@dataclass(frozen=True)
class Price(BayesLimit):
    """One row: the exact limit with some things unknown, at one magnitude.

    Args:
        unknown: what is unknown besides the labels.
        lost: by how much `r2_bayes` is below that of the row with nothing unknown, from the same stars.
    """

    unknown: str
    lost: Interval


def unknowns_one_by_one(conditions: Conditions) -> dict[str, Conditions]:
    """Returns conditions by name: nothing unknown, each unknown of `conditions` alone, and all of them.

    A continuum that is unknown has an unknown level, too, where `conditions` have that.
    """
    groups = {
        "scale": ("scale",),
        "continuum": ("scale", "continuum", "continuum_sigma"),
        "velocity": ("rv_sigma_kms",),
        "width": ("lsf_sigma",),
        "lost pixels": ("lost", "lost_block"),
        "sky": ("sky_left",),
        "seeing": ("seeing_arcsec",),
    }
    decisive = {"continuum": "continuum", "lost pixels": "lost"}
    found = {NO_UNKNOWN: NOTHING}
    for name, fields in groups.items():
        if getattr(conditions, decisive.get(name, fields[0])):
            found[name] = replace(NOTHING, **{field: getattr(conditions, field) for field in fields})
    return found | {"all": conditions}


def prices(
    model_under: Callable[[Conditions], ForwardModel],
    rows: Mapping[str, Conditions],
    mags: Sequence[float],
    *,
    label: str = "log_g",
    n: int = 500,
    key: Key[Array, ""],
    advance: Callable[[int], None] | None = None,
) -> tuple[Price, ...]:
    """Returns the exact limit of one label under each of the conditions, at every magnitude.

    Args:
        model_under: how stars are seen under some conditions, by `crlb.forward_model`.
        rows: conditions by name, the first with nothing unknown (`unknowns_one_by_one`).
        mags: AB magnitudes in i.
        label: whose limit.
        n: stars per magnitude.
        key: same key, same stars.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: as `check_limit`, `make_likelihood` and `observing`.
    """
    found: list[Price] = []
    known: dict[float, np.ndarray] = {}
    for name, conditions in rows.items():
        model, inference = model_under(conditions), Inference(conditions, tolerance=AVERAGED)
        prior = prior_under(conditions, model)
        check_limit(mags, prior, label, n)
        for i, mag in enumerate(map(float, mags)):
            limit, variance = limit_at(
                model, mag, prior, label=label, key=jax.random.fold_in(key, i), n=n, inference=inference,
                advance=advance,
            )  # fmt: skip
            lost = _difference(variance, known.setdefault(mag, variance))
            found.append(Price(**vars(limit), unknown=name, lost=lost))
    return tuple(found)


def _difference(variance: Float[np.ndarray, " n"], known: Float[np.ndarray, " n"]) -> Interval:
    """What an unknown costs, from pairs of the same star, with a 95 % interval."""
    return one_minus_mean(1 - (variance - known), 0)


def price_table(rows: Sequence[Price], label: str) -> "Table":
    """Returns the rows as a table to print."""
    from rich import box
    from rich.table import Table

    title = f"{label}: exact limit with each unknown, same stars in every row ({unit_of(label)})"
    table = Table(box=box.SIMPLE, title=title)
    heads = ("mag", "SNR", "unknown besides the labels", "R2_Bayes", "lost", "95 %", "sigma", "not converged")
    for head in heads:
        table.add_column(head, justify="left" if head.startswith("unknown") else "right")
    for row in rows:
        lost = (f"{row.lost.value:.4f}", f"{row.lost.low:.4f}-{row.lost.high:.4f}")
        numbers = (f"{row.r2_bayes.value:.4f}", *lost, f"{row.sigma.median:.3f}", str(row.unconverged))
        table.add_row(mag_cell(row.mag), f"{row.snr_median:.1f}", row.unknown, *numbers)
    return table
