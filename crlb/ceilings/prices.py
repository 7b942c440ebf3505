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
from scipy.stats import kstest

from crlb.bayes.exact_limit import Interval, RankTest, one_minus_mean, posterior_of, simulate
from crlb.bayes.solve import AVERAGED, Inference
from crlb.bayes.unknowns import prior_under
from crlb.errors import UsageError
from crlb.files.records import Record
from crlb.labels import unit_of
from crlb.observation.conditions import Conditions
from crlb.observation.forward_model import ForwardModel

if TYPE_CHECKING:
    from rich.table import Table

# Nothing is unknown, as under `PUBLISHED`, but noise is drawn from the keys of the other rows.
NOTHING = Conditions(lost_block=1)
NO_UNKNOWN = "none"


@dataclass(frozen=True)
class Price(Record):
    """One row: the exact limit with some things unknown, at one magnitude.

    Args:
        unknown: what is unknown besides the labels.
        mag: AB magnitude in i.
        n: stars.
        snr: median over stars of the SNR per pixel.
        r2_bayes: 1 - mean posterior variance / variance of the label.
        lost: by how much that is below the row with nothing unknown, from the same stars.
        r2_of_posterior_mean: 1 - mean squared error of the posterior mean / variance.
        sigma: median over stars of the posterior's standard deviation, in the label's unit.
        unconverged: stars whose posterior did not converge.
        rank_ks: whether the posteriors have the right width.
    """

    unknown: str
    mag: float
    n: int
    snr: float
    r2_bayes: Interval
    lost: Interval
    r2_of_posterior_mean: Interval
    sigma: float
    unconverged: int
    rank_ks: RankTest


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
        UsageError: an unknown label, or fewer than two stars; as `make_likelihood` and `observing`.
    """
    if n < 2:
        raise UsageError(f"n must be at least 2 stars, found {n}")
    found: list[Price] = []
    known: dict[float, np.ndarray] = {}
    for name, conditions in rows.items():
        model = model_under(conditions)
        for i, mag in enumerate(mags):
            own = jax.random.fold_in(key, i)
            row, variance = _price(name, conditions, model, float(mag), label, n, own, advance)
            known.setdefault(float(mag), variance)
            found.append(replace(row, lost=_difference(variance, known[float(mag)])))
    return tuple(found)


def _price(
    name: str,
    conditions: Conditions,
    model: ForwardModel,
    mag: float,
    label: str,
    n: int,
    key: Array,
    advance: Callable[[int], None] | None,
) -> tuple[Price, Float[np.ndarray, " n"]]:
    """One row, and the posterior variance of every star relative to that of the prior."""
    if label not in model.label_names:
        raise UsageError(f"label must be one of {', '.join(model.label_names)}, found {label}")
    prior = prior_under(conditions, model)
    drawn = simulate(key, n, mag, model, prior, conditions)
    own = jax.random.fold_in(key, n)
    found = posterior_of(
        drawn, model, prior, key=own, inference=Inference(conditions, tolerance=AVERAGED), advance=advance
    )
    column = prior.label_names.index(label)
    total, sigma = float(prior.variance[column]), found.sigma[:, column]
    error, ks = (
        found.mean[:, column] - drawn.labels[:, column],
        kstest(found.cumulative[:, column], "uniform"),
    )
    row = Price(
        unknown=name,
        mag=mag,
        n=n,
        snr=float(np.median(drawn.snr)),
        r2_bayes=one_minus_mean(sigma**2 / total, 0),
        lost=Interval(0.0, 0.0, 0.0),
        r2_of_posterior_mean=one_minus_mean(error**2 / total, 0),
        sigma=float(np.median(sigma)),
        unconverged=int((~found.converged).sum()),
        rank_ks=RankTest(float(ks.statistic), float(ks.pvalue)),
    )
    return row, sigma**2 / total


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
        numbers = (f"{row.r2_bayes.value:.4f}", *lost, f"{row.sigma:.3f}", str(row.unconverged))
        table.add_row(f"{row.mag:g}", f"{row.snr:.1f}", row.unknown, *numbers)
    return table
