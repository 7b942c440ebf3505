"""The exposures that each of many stars needs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.errors import UsageError
from crlb.fisher.matrix import cramer_rao_bound, fisher_information
from crlb.observation.forward_model import ForwardModel, double_precision
from crlb.observation.nuisance import NuisanceModel
from crlb.planning.search import fewest_exposures
from crlb.planning.variance import CHUNK, Seen, see
from crlb.suggest import meant


class Needed(NamedTuple):
    """What every star needs for every wanted label, in the order in which these were given.

    Args:
        n_exp: the smallest number of exposures with which the 1-sigma bound is at most what is wanted; inf:
            there is none; NaN: the star lies outside the grid, or its labels cannot be told apart.
        floor: the bound in infinitely many exposures, in the unit of the label; 0 where all noise averages
            down in some pixel.
    """

    n_exp: Float[np.ndarray, "n n_want"]
    floor: Float[np.ndarray, "n n_want"]


@double_precision
def exposures_needed(
    model: ForwardModel,
    labels: Float[np.ndarray, "n n_labels"],
    mags: Float[np.ndarray, " n"],
    want: Mapping[str, float],
    *,
    nuisances: NuisanceModel | None = None,
    advance: Callable[[int], None] | None = None,
) -> Needed:
    """Returns how many exposures each of many stars needs, in float64.

    Args:
        model: how stars are seen; of its exposures the length and the seeing count.
        labels: of the stars, in the model's order.
        mags: their AB magnitudes in i.
        want: the 1-sigma bound that is wanted by label, in its unit.
        nuisances: flux(labels, nuisances) with the model's emulator, where more than the labels is unknown;
            the noise then counts as known, as in `observe`.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: no label is wanted, one that the model does not have, a bound that is not positive, or
            labels and magnitudes of no star, or of other lengths.
    """
    _check(model, labels, mags, want)
    columns = tuple(model.label_names.index(name) for name in want)
    parts = []
    for start in range(0, len(labels), CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), len(labels) - 1)  # one size: one compilation
        seen = see(model, nuisances, jnp.asarray(labels[rows]), jnp.asarray(mags[rows], jnp.float64))
        parts.append(_needed(seen, columns, tuple(want.values())))
        if advance is not None:
            advance(min(CHUNK, len(labels) - start))
    n_exp, floor = (np.concatenate(part)[: len(labels)] for part in zip(*parts, strict=True))
    return Needed(n_exp, floor)


def _needed(seen: Seen, columns: tuple[int, ...], want: tuple[float, ...]) -> Needed:
    """What a chunk of stars needs."""

    def sigmas(n_exp: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n_want"]:
        return np.asarray(_bounds(seen, jnp.asarray(n_exp), columns))

    one, lasting = sigmas(np.ones(CHUNK)), np.asarray((seen.parts[:, 2] > 0).all(axis=1))
    floor = np.where(lasting[:, None], sigmas(np.full(CHUNK, np.inf)), np.where(np.isnan(one), np.nan, 0.0))
    n_exp = [
        fewest_exposures(lambda n_exp, i=i: sigmas(n_exp)[:, i], wanted, CHUNK)  # type: ignore[misc]
        for i, wanted in enumerate(want)
    ]
    return Needed(np.where(np.isnan(one), np.nan, np.stack(n_exp, axis=1)), floor)


@partial(jax.jit, static_argnames="columns")
def _bounds(seen: Seen, n_exp: Float[Array, " n"], columns: tuple[int, ...]) -> Float[Array, "n n_want"]:
    """1-sigma bounds of the wanted labels of every star in its number of exposures."""

    def one(seen: Seen, n_exp: Float[Array, ""]) -> Float[Array, " n_want"]:
        weight = jnp.stack([1 / n_exp, 1 / n_exp, jnp.ones_like(n_exp)])
        variance = jnp.tensordot(weight, seen.parts, 1)
        slopes = jnp.tensordot(weight, seen.slopes, 1)
        return cramer_rao_bound(fisher_information(seen.jac, 1 / variance, slopes))[jnp.array(columns)]

    return jax.vmap(one)(seen, n_exp)


def _check(model: ForwardModel, labels: np.ndarray, mags: np.ndarray, want: Mapping[str, float]) -> None:
    if not want:
        raise UsageError("want: needed at least one label with its bound, found none")
    for name, wanted in want.items():
        if name not in model.label_names:
            known = model.label_names
            raise UsageError(
                f"want: unknown label {name}: this model has {', '.join(known)}{meant(name, known)}"
            )
        if not 0 < wanted < np.inf:
            raise UsageError(f"want: the bound of {name} must be positive and finite, found {wanted:g}")
    if not len(mags) or labels.shape != (len(mags), len(model.label_names)):
        raise UsageError(
            f"labels and mags: needed {len(model.label_names)} labels and a magnitude for every star, found "
            f"shapes {labels.shape} and {mags.shape}"
        )
