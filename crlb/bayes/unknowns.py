"""What is unknown of a star besides its labels, as a likelihood under a noise model has it.

Scale and continuum multiply the flux; velocity and line-spread width are labels of the emulator with normal
priors (`crlb.observation.moving`). What is left of the sky: `crlb.bayes.sky`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.bayes.linear import GaussianPrior, prior_of, products_of_legendre
from crlb.bayes.prior import Prior, make_prior
from crlb.errors import UsageError
from crlb.observation.conditions import Conditions, polynomials
from crlb.observation.forward_model import ForwardModel
from crlb.observation.moving import LSF, RV, axis_priors


class Unknowns(NamedTuple):
    """What multiplies the flux, c = sum_k a_k P_k, and the prior of a; a_0 = 1 where the scale is known.

    `curves` are the Legendre polynomials up to twice the order of the continuum, in float32: with
    P_j P_k = sum_l expand_jkl P_l they give all sums over pixels of products.
    """

    curves: Float[Array, "n_curves n_pix"]
    expand: Float[Array, "q q n_curves"]
    prior: GaussianPrior

    @property
    def continuum(self) -> Float[Array, "q n_pix"]:
        """P_0 up to the order of the continuum."""
        return self.curves[: len(self.expand)]


def make_unknowns(conditions: Conditions, model: ForwardModel) -> Unknowns:
    """Returns scale and continuum over the range of the pixels in use, on all pixels of the arm."""
    low, high = float(np.min(model.wave)), float(np.max(model.wave))
    curves = polynomials(np.asarray(model.emulator.wave), low, high, 2 * conditions.continuum)
    expand = products_of_legendre(conditions.continuum)
    prior = prior_of(replace(conditions, rv_sigma_kms=0.0))
    return Unknowns(jnp.asarray(curves, jnp.float32), jnp.asarray(expand, jnp.float64), prior)


def prior_under(
    conditions: Conditions,
    model: ForwardModel,
    shapes: Mapping[str, tuple[float, float]] | None = None,
    normal: Mapping[str, tuple[float, float]] | None = None,
) -> Prior:
    """Returns the prior of all labels of a model, velocity and width as `conditions` have them.

    Args:
        conditions: what is unknown besides the labels.
        model: how stars are seen, made with the same conditions (`forward_model`).
        shapes: a and b of the labels that have a Beta distribution over the model's box; others are uniform.
        normal: mean and standard deviation, in the label's unit, of those that have a normal one.

    Raises:
        UsageError: as `make_prior` and `check_axes`.
    """
    check_axes(conditions, model.label_names)
    axes = axis_priors(conditions, model.instrument.lsf_fwhm)
    own = dict(normal or {})
    if both := [name for name in axes if name in {**own, **(shapes or {})}]:
        raise UsageError(f"prior: that of {', '.join(both)} is the conditions'; leave it out")
    emulator = model.emulator
    return make_prior(emulator.low, emulator.high, emulator.label_names, shapes, own | axes)


def check_axes(conditions: Conditions, label_names: tuple[str, ...]) -> None:
    """Refuses conditions under which velocity or width is unknown without an axis of the model, or reversely.

    Raises:
        UsageError: naming the field of the conditions and the axis.
    """
    asked = {RV: ("rv_sigma_kms", conditions.rv_sigma_kms), LSF: ("lsf_sigma", conditions.lsf_sigma)}
    for axis, (field, sigma) in asked.items():
        if sigma and axis not in label_names:
            raise UsageError(
                f"{field} = {sigma:g}, but the model has no axis {axis}, only {', '.join(label_names)}; make "
                f"it under these conditions (forward_model(..., conditions=...)), or give {field} = 0"
            )
        if not sigma and axis in label_names:
            raise UsageError(
                f"{field} = 0: known under these conditions, but the model has an axis {axis}; make it under "
                "the same conditions (forward_model(..., conditions=...))"
            )


def check_normals(conditions: Conditions, model: ForwardModel, prior: Prior) -> None:
    """Refuses a prior of velocity or width other than that of the conditions.

    Raises:
        UsageError: naming it.
    """
    for name, needed in axis_priors(conditions, model.instrument.lsf_fwhm).items():
        found = prior.normal.get(name)
        if found is None or not np.allclose(found, needed, rtol=1e-6, atol=1e-9):
            words = "a uniform one" if found is None else f"{found[0]:g} +- {found[1]:g}"
            raise UsageError(
                f"prior of {name}: needed {needed[0]:g} +- {needed[1]:g}, that of the conditions, found "
                f"{words}; make it with prior_under"
            )
