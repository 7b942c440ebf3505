"""A star that observations are planned for: sigma of its labels in any exposures, at any magnitude."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from crlb.bayes.exact_limit import posterior_of, simulate
from crlb.bayes.prior import Prior, make_prior
from crlb.bayes.solve import AVERAGED, Inference
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.forward_model import ForwardModel
from crlb.observation.star import Star
from crlb.planning.search import MOST
from crlb.planning.variance import AnyExposure

NARROW = 1e-6  # of the box: 1 sigma of the labels of stars that are meant to be the same

Advance = Callable[[int], None]


def _untold(_n_exp: int | float, _mag: float) -> AbstractContextManager[Advance | None]:
    """Tells nobody."""
    return nullcontext()


@dataclass(frozen=True, eq=False)
class BoundedStar:
    """A star whose Cramér-Rao bounds count.

    Args:
        instrument: its name.
        seen: the star in any number of exposures.
        offset: its magnitude in the band of this instrument less that in the band magnitudes are given in.
        bounds: a star in some exposures -> the bounds of its labels, NaN where it cannot tell them apart.
        limits: what never averages down, in words; none: all noise does in some pixel.
    """

    instrument: str
    seen: AnyExposure
    offset: float
    bounds: Callable[[Star], Mapping[str, float]]
    limits: tuple[str, ...]
    known: dict[tuple[int | float, float], dict[str, float]] = field(
        default_factory=dict
    )  # what was computed

    @property
    def set_by(self) -> str:
        """What never averages down, in words."""
        return " and ".join(self.limits)

    def sigmas(self, n_exp: int | float, mag: float) -> dict[str, float]:
        """Returns the bound of every unknown."""
        if (n_exp, mag) not in self.known:
            self.known[n_exp, mag] = dict(self.bounds(self.seen.at(n_exp, mag + self.offset)))
        return self.known[n_exp, mag]

    def floor(self, mag: float) -> dict[str, float]:
        """Returns the bounds in infinitely many exposures: those of the noise that is left; 0 without."""
        if not self.limits:
            return dict.fromkeys(self.seen.star.label_names, 0.0)
        return self.sigmas(np.inf, mag)

    def snr(self, n_exp: int | float, mag: float) -> float:
        """Returns the median of flux/error over the pixels in use."""
        return self.seen.at(n_exp, mag + self.offset).snr


@dataclass(frozen=True, eq=False)
class PosteriorStar:
    """A star whose posterior counts: the median over noise draws of its standard deviation.

    The same draws whatever the exposures are: of every pixel the noise is the same number of its sigma.

    Args:
        bounded: the star with its bounds, for its signal-to-noise ratio and what limits it.
        model: how it is seen, made under the conditions.
        labels: of the star.
        prior: of all labels of the model.
        key: of the noise.
        n: number of draws.
        conditions: what is unknown besides the labels.
        told: gives, for a number of exposures and a magnitude, what is called with the number of posteriors
            just finished.
    """

    bounded: BoundedStar
    model: ForwardModel
    labels: Mapping[str, float]
    prior: Prior
    key: Key[Array, ""]
    n: int
    conditions: Conditions = PUBLISHED
    told: Callable[[int | float, float], AbstractContextManager[Advance | None]] = lambda _n_exp, _mag: (
        nullcontext()
    )
    known: dict[tuple[int | float, float], dict[str, float]] = field(
        default_factory=dict
    )  # what was computed

    @property
    def instrument(self) -> str:
        """Its name."""
        return self.bounded.instrument

    @property
    def set_by(self) -> str:
        """What never averages down, in words."""
        return self.bounded.set_by

    def sigmas(self, n_exp: int | float, mag: float) -> dict[str, float]:
        """Returns the median over the draws of the posterior's standard deviation of every label."""
        if (n_exp, mag) not in self.known:
            self.known[n_exp, mag] = self._sigmas(n_exp, mag)
        return self.known[n_exp, mag]

    def floor(self, mag: float) -> dict[str, float]:
        """Returns the medians in 2^30 exposures."""
        return self.sigmas(MOST, mag)

    def snr(self, n_exp: int | float, mag: float) -> float:
        """Returns the median of flux/error over the pixels in use."""
        return self.bounded.snr(n_exp, mag)

    def _sigmas(self, n_exp: int | float, mag: float) -> dict[str, float]:
        with jax.enable_x64(True):
            model = in_exposures(self.model.astype(jnp.float64), n_exp)
            same = same_star(self.prior, self.labels)
            own = mag + self.bounded.offset
            drawn = simulate(self.key, self.n, own, model, same, self.conditions)
            with self.told(n_exp, mag) as advance:
                found = posterior_of(
                    drawn, model, self.prior, key=jax.random.fold_in(self.key, self.n),
                    inference=Inference(self.conditions, tolerance=AVERAGED), advance=advance,
                )  # fmt: skip
        sigma = np.median(found.sigma, axis=0).tolist()
        return dict(zip(found.label_names, sigma, strict=True))


Planned: TypeAlias = BoundedStar | PosteriorStar


def in_exposures(model: ForwardModel, n_exp: int | float) -> ForwardModel:
    """Returns the model in so many exposures, as a number that is no part of what is compiled."""
    one = model.with_exposure(replace(model.exposure, n_exp=1))
    return replace(one, noise=one.noise.stretched(jnp.ones(()), jnp.asarray(float(n_exp))))


def same_star(prior: Prior, labels: Mapping[str, float]) -> Prior:
    """Returns a prior from which stars of these labels are drawn; of other axes it is the same."""
    low, high = np.asarray(prior.low), np.asarray(prior.high)
    width = dict(zip(prior.label_names, high - low, strict=True))
    narrow = {name: (value, NARROW * width[name]) for name, value in labels.items()}
    return make_prior(low, high, prior.label_names, normal=prior.normal | narrow)


def lasting(model: ForwardModel, seen: AnyExposure, conditions: Conditions) -> tuple[str, ...]:
    """Returns what never averages down, in words: sky left over, an error of the model."""
    words: list[str] = []
    if seen.floored:
        words.append(f"{100 * float(model.noise.sky_floor):g} % of the sky left over")
    if conditions.model_error:
        words.append(f"an error of the model of {100 * conditions.model_error:g} %")
    if words and conditions.sky_left:
        words.append(f"{100 * conditions.sky_left:g} % of the sky's lines left")
    return tuple(words)
