"""What binds estimators that use a prior, added to a ceiling: bounds, and the exact limit."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import jax
import numpy as np

from crlb.bayes.bounds import bayesian_bounds
from crlb.bayes.exact_limit import BayesLimit, bayes_limits
from crlb.bayes.prior import Prior
from crlb.bayes.solve import AVERAGED, Inference
from crlb.ceilings.result import Ceiling, ExactR2, LabelPrior, PriorR2
from crlb.errors import UsageError
from crlb.files.records import Json
from crlb.observation.conditions import Conditions
from crlb.observation.forward_model import ForwardModel
from crlb.observation.moving import LSF, RV


def with_bounds(
    result: Ceiling,
    model: ForwardModel,
    prior: Prior,
    *,
    advance: Callable[[int], None] | None = None,
) -> Ceiling:
    """Returns a ceiling with the bounds that hold for stars drawn from the prior: `prior_r2` of every bin.

    Args:
        result: what `ceiling` returned for the same model.
        model: how a star is seen, a function of the prior's labels; hold the others first (`load_slice`).
        prior: of all labels of the model.
        advance: called with the amount of work just finished, out of `bounds.work`.

    Raises:
        UsageError: the model has a label that `result` counts as known.
    """
    mags = mags_of(result, model)
    found = bayesian_bounds(model, mags, prior, label=result.label, advance=advance)
    bins = tuple(
        replace(one, prior_r2=PriorR2.of(bounds.r2, bounds.reason))
        for one, bounds in zip(result.bins, found, strict=True)
    )
    return replace(result, bins=bins, prior=_about(prior))


def with_exact_limit(
    result: Ceiling,
    model: ForwardModel,
    prior: Prior,
    *,
    n: int = 2000,
    seed: int = 0,
    conditions: Conditions = Conditions(),
    advance: Callable[[int], None] | None = None,
) -> Ceiling:
    """Returns a ceiling with the highest R2 of any estimator on stars drawn from the prior, in every bin.

    It is `r2_bayes` of the bin: value, 95 % interval, and how the posteriors fared. See
    `crlb.bayes.exact_limit`.

    Args:
        result: as `with_bounds`.
        model: as `with_bounds`.
        prior: of all labels of the model.
        n: stars simulated per magnitude.
        seed: of their labels and noise.
        conditions: what is unknown of a star besides its labels; the model is made under the same.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: the model has a label that `result` counts as known.
    """
    (found,) = with_exact_limits(
        (result,), model, prior, n=n, seed=seed, conditions=conditions, advance=advance
    )
    return found


def with_exact_limits(
    results: Sequence[Ceiling],
    model: ForwardModel,
    prior: Prior,
    *,
    n: int = 2000,
    seed: int = 0,
    conditions: Conditions = Conditions(),
    advance: Callable[[int], None] | None = None,
) -> tuple[Ceiling, ...]:
    """Returns the ceilings of several labels with their exact limits on the same stars.

    `results` are one for each label, of the same model and magnitudes; arguments otherwise as there.
    """
    found = bayes_limits(
        model, mags_of(results[0], model), prior, labels=[one.label for one in results], n=n,
        key=jax.random.key(seed), inference=Inference(conditions, tolerance=AVERAGED), advance=advance,
    )  # fmt: skip
    with_limits = (with_limits_of(one, found[one.label], seed, conditions) for one in results)
    return tuple(replace(one, prior=_about(prior)) for one in with_limits)


def with_limits_of(
    result: Ceiling, limits: Sequence[BayesLimit], seed: int, conditions: Conditions
) -> Ceiling:
    """Returns a ceiling with exact limits in its bins, and how they were made."""
    bins = tuple(replace(one, r2_bayes=_exact(limit)) for one, limit in zip(result.bins, limits, strict=True))
    about: dict[str, Json] = {"seed": seed, "conditions": asdict(conditions)}
    about |= {"unknown": conditions.words} if conditions.words else {}
    return replace(result, bins=bins, provenance=result.provenance | about)


def _exact(limit: BayesLimit) -> ExactR2:
    own = limit.r2_bayes
    return ExactR2(
        *(own.value, own.low, own.high, limit.n, limit.unconverged),
        *(limit.ess, limit.rank_ks, limit.r2_of_posterior_mean),
    )


def mags_of(result: Ceiling, model: ForwardModel) -> list[float]:
    """Returns the magnitudes of a ceiling.

    Raises:
        UsageError: the model has a label that the ceiling counts as known.
    """
    known = [name for name in model.label_names if name not in (*result.label_names, RV, LSF)]
    if known:
        raise UsageError(
            f"the limits need every label to be free or held: hold {', '.join(known)} with --fix, or add to "
            "--labels"
        )
    return [one.mag for one in result.bins]


def _about(prior: Prior) -> dict[str, LabelPrior]:
    low, high, a, b, variance = (
        np.asarray(x).tolist() for x in (prior.low, prior.high, prior.a, prior.b, prior.variance)
    )
    return {
        name: LabelPrior(low[i], high[i], (a[i], b[i]), variance[i], prior.normal.get(name))
        for i, name in enumerate(prior.label_names)
    }
