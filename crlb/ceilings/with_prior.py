"""What binds estimators that use a prior, added to a ceiling: bounds, and the exact limit."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from crlb.bayes.bounds import bayesian_bounds
from crlb.bayes.exact_limit import bayes_limit
from crlb.bayes.posterior import Inference
from crlb.bayes.prior import Prior
from crlb.errors import UsageError
from crlb.observation.forward_model import ForwardModel

EXACT = ("n", "unconverged", "ess", "rank_ks", "r2_of_posterior_mean")  # kept of `bayes_limit` in a bin


def add_bounds(
    result: dict[str, Any],
    model: ForwardModel,
    prior: Prior,
    *,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Adds to every bin of a `ceiling` the bounds that hold for stars drawn from the prior.

    Keys `r2_pooled`, `r2_shrinkage`, `r2_van_trees` (None where it does not exist, with
    `r2_van_trees_reason`), `r2_weighted_van_trees` and `r2_ziv_zakai`; all of them 1 - MSE / the prior's
    variance. See `crlb.bayes.bounds`.

    Args:
        result: what `ceiling` returned for the same model; changed in place.
        model: how a star is seen, a function of the prior's labels; hold the others first (`load_slice`).
        prior: of all labels of the model.
        advance: called with the amount of work just finished, out of `bounds.work`.

    Raises:
        UsageError: the model has a label that `result` counts as known.
    """
    mags = _mags_of(result, model)
    found = bayesian_bounds(model, mags, prior, label=result["label"], advance=advance)
    for row, bound in zip(result["bins"], found, strict=True):
        row |= {f"r2_{name}": value for name, value in bound["r2"].items()}
        row |= {f"r2_{name}_reason": words for name, words in bound["reason"].items()}
    result["prior"] = _about(prior)


def add_exact_limit(
    result: dict[str, Any],
    model: ForwardModel,
    prior: Prior,
    *,
    n: int = 2000,
    seed: int = 0,
    amplitude: float | None = None,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Adds to every bin of a `ceiling` the highest R2 of any estimator on stars drawn from the prior.

    Key `r2_bayes`: `value`, `low` and `high` (95 %), `n`, and how the posteriors fared. See
    `crlb.bayes.exact_limit`.

    Args:
        result: as `add_bounds`.
        model: as `add_bounds`.
        prior: of all labels of the model.
        n: stars simulated per magnitude.
        seed: of their labels and noise.
        amplitude: 1-sigma of a free flux factor, as `crlb.bayes.posterior.posterior`.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: the model has a label that `result` counts as known.
    """
    found = bayes_limit(
        model, _mags_of(result, model), prior, label=result["label"], n=n, key=jax.random.key(seed),
        inference=Inference(amplitude), advance=advance,
    )  # fmt: skip
    for row, limit in zip(result["bins"], found, strict=True):
        row["r2_bayes"] = limit["r2_bayes"] | {key: limit[key] for key in EXACT}
    result["prior"] = _about(prior)
    result["provenance"] |= {"seed": seed, "amplitude_sigma": amplitude}


def _mags_of(result: dict[str, Any], model: ForwardModel) -> list[float]:
    known = [name for name in model.label_names if name not in result["label_names"]]
    if known:
        raise UsageError(
            f"the limits need every label to be free or held: hold {', '.join(known)} with --fix, or add to "
            "--labels"
        )
    return [row["mag"] for row in result["bins"]]


def _about(prior: Prior) -> dict[str, Any]:
    low, high, a, b, variance = (
        np.asarray(x).tolist() for x in (prior.low, prior.high, prior.a, prior.b, prior.variance)
    )
    return {
        name: {"low": low[i], "high": high[i], "beta": [a[i], b[i]], "variance": variance[i]}
        for i, name in enumerate(prior.label_names)
    }
