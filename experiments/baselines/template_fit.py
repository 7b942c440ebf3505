"""The template fit: the labels, and if asked for the flux scale and continuum, that explain a spectrum best.

Knows what no trained method is told: the forward model, the noise and the magnitude of every star. It finds
the least squares, weighted by the noise of the model itself (`reweighted`), over all labels of the emulator
within its box, from several nodes of the grid that fit well and lie far from each other.

The flux scale is known by default: spectra are scaled to a median near 0.5 by the simulator itself, SpecViT
sees them so, and the Cramer-Rao bound of the R2-SNR figure and of `crlb ceiling` counts it as known. With
amplitude="free" the fit is to be compared with the bound of `crlb nuisances`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Self, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from crlb import ForwardModel, make_prior
from crlb.bayes.likelihood import Likelihood, make_likelihood
from crlb.bayes.model_spectra import labels_of
from crlb.bayes.optimise import far_apart
from crlb.errors import UsageError
from crlb.files.progress import progress
from crlb.fisher.matrix import bounds
from crlb.observation.conditions import Conditions
from experiments.baselines.forward import EMBEDDED, Forward, check_stars
from experiments.baselines.protocol import Arrays, Chunk, fitted
from experiments.baselines.reweighted import (
    NODES,
    Amplitude,
    Continuum,
    Place,
    chi_squared,
    compare,
    make_continuum,
    optimise,
)

STARS = 256  # fitted together: 4 MB of flux, 3 MB of chi^2 per 1000 nodes
SAME_END = 0.1  # sigma: optimisations that end closer have found the same minimum


class Fit(NamedTuple):
    """What the fit found for each star; labels in the emulator's order and units."""

    labels: Float[np.ndarray, "n n_labels"]
    """Labels that fit best within the box, in their units."""
    sigma: Float[np.ndarray, "n n_labels"]
    """Their 1-sigma errors, Cramer-Rao bound there with everything fitted unknown; NaN if they have none."""
    chi2: Float[np.ndarray, " n"]
    """sum (y - m)^2 / V; about the number of pixels."""
    amplitude: Float[np.ndarray, " n"]
    """Fitted flux scale, 1 where known."""
    starts_agree: Bool[np.ndarray, " n"]
    """Whether all optimisations ended at the same minimum."""


def fit_labels(
    flux: Float[np.ndarray, "n n_pix"],
    mag: Float[np.ndarray, " n"],
    model: ForwardModel,
    *,
    amplitude: Amplitude = "known",
    continuum: int = 0,
    n_starts: int = 3,
    advance: Callable[[int], None] | None = None,
) -> Fit:
    """Returns the least-squares labels of every star, each on its own.

    Args:
        flux: observed spectra, in the emulator's unit (median 0.5) or, with a free amplitude, in any.
        mag: AB magnitude in i of every star, taken as known.
        model: how stars are seen; all its labels are fitted.
        amplitude: whether the flux scale is known (1) or free.
        continuum: highest order of a free multiplicative Legendre polynomial, 0 for none.
        n_starts: nodes to optimise from.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: amplitude, continuum or n_starts out of range.
        DataError: flux or magnitude not finite, or on other pixels.
    """
    _check_settings(amplitude, continuum, n_starts)
    check_stars(flux, mag, model)
    emulator, parts = model.emulator, []
    with jax.enable_x64(True):  # as in `crlb.bayes.posterior`: steps and sums, not spectra, are in float64
        prior = make_prior(emulator.low, emulator.high, emulator.label_names)
        like = make_likelihood(model, prior, Conditions())
        curves = make_continuum(np.asarray(emulator.wave), amplitude, continuum)
        for start in range(0, len(mag), STARS):
            stars = slice(start, start + STARS)
            unit = np.ones(len(flux[stars])) if amplitude == "known" else _unit(flux[stars])
            y, m = (flux[stars] / unit[:, None]).astype(np.float32), np.asarray(mag[stars], np.float32)
            found = _fit(like, curves, y, m, n_starts)
            parts.append(found._replace(amplitude=unit * found.amplitude))
            if advance is not None:
                advance(len(m))
    return Fit(*map(np.concatenate, zip(*parts, strict=True)))


@dataclass
class TemplateFit:
    """The template fit behind the protocol of all baselines; options as in `fit_labels`."""

    forward: Forward = EMBEDDED
    amplitude: Amplitude = "known"
    continuum: int = 0
    n_starts: int = 3
    name: str = "Template fit"
    settled: Forward | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        _check_settings(self.amplitude, self.continuum, self.n_starts)

    def fit(self, train: Iterable[Chunk], validation: Chunk) -> None:
        """Learns nothing from spectra, which it does not look at; settles the order of the labels."""
        self.settled = self.forward.fixed_by(self.name, validation)

    def fit_labels(self, flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]) -> Fit:
        """The whole result of the fit, its labels in the order of the emulator."""
        forward = fitted(self.name, self.settled)
        with progress(self.name, len(flux)) as advance:
            return fit_labels(
                flux, mag, forward.model, amplitude=self.amplitude, continuum=self.continuum,
                n_starts=self.n_starts, advance=advance,
            )  # fmt: skip

    def predict(
        self, flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n n_labels"]:
        """The labels of noisy spectra."""
        return self.fit_labels(flux, mag).labels[:, fitted(self.name, self.settled).columns]

    def arrays(self) -> Arrays:
        """The files' names and the settings."""
        return fitted(self.name, self.settled).arrays() | {
            "amplitude": np.array(self.amplitude),
            "continuum": np.array(self.continuum),
            "n_starts": np.array(self.n_starts),
        }

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """The template fit of `arrays`."""
        forward, amplitude = Forward.restore(arrays), cast(Amplitude, str(arrays["amplitude"]))
        found = cls(forward, amplitude, int(arrays["continuum"]), int(arrays["n_starts"]))
        found.settled = forward
        return found


def _unit(flux: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, " n"]:
    """The unit in which a spectrum is as bright as the emulator's: float32 has no room for 1e-17 squared."""
    rms = np.sqrt(np.mean(np.square(flux, dtype=np.float64), axis=1))
    return np.where(rms > 0, 2 * rms, 1.0)


def _fit(like: Likelihood, continuum: Continuum, flux: np.ndarray, mag: np.ndarray, n_starts: int) -> Fit:
    """The fit of a few stars."""
    x = starts(like, continuum, flux, mag, n_starts)
    n, d = len(mag), len(like.prior.label_names)
    ends = optimise(
        like, continuum, x.reshape(n * n_starts, -1), *(a.repeat(n_starts, axis=0) for a in (flux, mag))
    )
    ends = jax.tree.map(lambda a: a.reshape(n, n_starts, *a.shape[1:]), ends)
    best = _best(ends)
    x, fisher = ends.x[np.arange(n), best], ends.newton.fisher[np.arange(n), best]
    away = ends.x - x[:, None]
    return Fit(
        np.asarray(labels_of(like.prior, jnp.asarray(x[:, :d]))),
        bounds(fisher).sigma[:, :d] * np.asarray(like.prior.high - like.prior.low),
        -2 * ends.newton.log_likelihood[np.arange(n), best],
        np.ones(n) if continuum.fixed else x[:, d],
        (np.einsum("nsi,nij,nsj->ns", away, fisher, away) < SAME_END**2).all(axis=1),
    )


def _best(ends: Place) -> Int[np.ndarray, " n"]:
    """Which end of each star has the smallest chi^2 under one variance for all: the harmonic mean."""
    ivar = np.broadcast_to(ends.ivar.mean(axis=1, keepdims=True), ends.ivar.shape)
    return np.asarray(chi_squared(ends.residual, ivar)).argmin(axis=1)


def starts(
    like: Likelihood, continuum: Continuum, flux: np.ndarray, mag: np.ndarray, n_starts: int
) -> Float[np.ndarray, "n n_starts d"]:
    """Unit labels of nodes that explain each star best and are far from each other, and b there."""
    axes = [(np.array(axis) - axis[0]) / (axis[-1] - axis[0]) for axis in like.emulator.axes]
    unit = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    unit = np.concatenate([unit, np.repeat(unit[-1:], -len(unit) % NODES, axis=0)])
    rows, n = _padded(len(mag)), len(mag)
    chi2, b = map(np.asarray, compare(like, continuum, jnp.asarray(unit), flux[rows], mag[rows]))
    chosen = far_apart(unit, -chi2[:n], n_starts)
    return np.concatenate([unit[chosen], b[np.arange(n)[:, None], chosen]], axis=-1)


def _padded(n: int) -> Int[np.ndarray, " padded"]:
    """Row numbers of n stars, repeated to a power of two, so that few shapes compile."""
    return np.resize(np.arange(n), max(16, 1 << (n - 1).bit_length()))


def _check_settings(amplitude: str, continuum: int, n_starts: int) -> None:
    if amplitude not in get_args(Amplitude):
        raise UsageError(f"amplitude must be known or free, found {amplitude!r}")
    if continuum < 0:
        raise UsageError(f"continuum must be an order of 0 or more, found {continuum}")
    if n_starts < 1:
        raise UsageError(f"n_starts must be at least 1, found {n_starts}")
