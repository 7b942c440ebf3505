"""Two classes of stars, a label below and above a value: what their spectra tell of the class, exactly.

    P = p(label > value | y),    the posterior of the label (`crlb.bayes.posterior`) summed above the value

Nobody who knows only prior and spectrum is right more often than with the likelier class, in the mean over
stars of max(P, 1 - P), nor has a smaller cross entropy than with P itself, whose mean is that of
-P ln P - (1 - P) ln (1 - P). Source: Devroye, Györfi & Lugosi 1996, A Probabilistic Theory of Pattern
Recognition, section 2.1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.special import entr

from crlb.bayes.posterior import Inference, Observations, posterior
from crlb.bayes.prior import Prior
from crlb.errors import DataError, UsageError
from crlb.files.records import Record
from crlb.observation.forward_model import ForwardModel


@dataclass(frozen=True, eq=False)
class Above(Record):
    """How probable it is, for each star, that a label lies above a value once its spectrum is seen.

    Args:
        label: name of the label.
        value: in its unit.
        probability: of the label above the value.
        converged: whether the posterior behind it has enough points (`crlb.bayes.result.Posterior`).
    """

    label: str
    value: float
    probability: Float[np.ndarray, " n"]
    converged: Bool[np.ndarray, " n"]

    @property
    def accuracy(self) -> float:
        """The Bayes-optimal accuracy: how often the likelier class is the true one, in expectation.

        Raises:
            DataError: there is no star.
        """
        p = self._checked()
        return float(np.mean(np.maximum(p, 1 - p)))

    @property
    def cross_entropy(self) -> float:
        """The least cross entropy that can be expected, in nats.

        Raises:
            DataError: there is no star.
        """
        p = self._checked()
        return float(np.mean(entr(p) + entr(1 - p)))

    def _checked(self) -> Float[np.ndarray, " n"]:
        if not len(self.probability):
            raise DataError("a limit needs at least one star, found none")
        return self.probability


def probability_above(
    observed: Observations,
    model: ForwardModel,
    prior: Prior,
    label: str,
    value: float,
    *,
    key: Key[Array, ""],
    inference: Inference = Inference(),
    advance: Callable[[int], None] | None = None,
) -> Above:
    """Returns for each star the posterior probability that a label lies above a value.

    It is the sum of the weights of the posterior's points above the value; its standard error is below
    sqrt(P (1 - P) / ess) with their effective number, `inference.target_ess` at least.

    Args:
        observed: the spectra; their `truth` is not read.
        model: how they were seen.
        prior: of all labels of the model.
        label: name of the label.
        value: within its prior, in its unit.
        key: chooses the quasi-random points; same key, same answer.
        inference: what is unknown besides the labels, and how many points to use.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: no such label, or a value outside its prior; as `posterior`.
        DataError: as `posterior`.
    """
    if label not in prior.label_names:
        raise UsageError(f"label must be one of {', '.join(prior.label_names)}, found {label!r}")
    column = prior.label_names.index(label)
    low, high = float(prior.low[column]), float(prior.high[column])
    if not low <= value <= high:
        raise UsageError(f"value of {label} must lie within its prior, {low:g} to {high:g}, found {value:g}")
    divided = np.tile(np.asarray(prior.mean, np.float64), (len(observed.mag), 1))
    divided[:, column] = value
    found = posterior(
        replace(observed, truth=divided), model, prior, key=key, inference=inference, advance=advance
    )
    p = np.maximum(0.0, 1 - found.cumulative[:, column])  # weights below the value sum to 1 + rounding
    return Above(label, float(value), p, found.converged)
