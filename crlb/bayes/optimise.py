"""Levenberg-Marquardt within a box, many climbs at once: starts, one damped step, its verdict.

(F + damping diag(F) + floor) step = score,     x + step cut to the box
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from crlb.bayes.likelihood import Newton

FAR = 0.15  # of the unit cube, along some axis: starts closer than this would climb the same top
FIRST_DAMPING = 0.1

Climb = TypeVar("Climb")


def far_apart(
    unit: Float[np.ndarray, "m n_labels"], log_like: Float[np.ndarray, "n_star m"], n: int
) -> Int[np.ndarray, "n_star n"]:
    """Row numbers of each star's best point, of its best one far from that, and so on, `n` in all.

    Where no point is far enough from those before it, the first row stands in.
    """
    rows = [log_like.argmax(axis=1)]
    for _ in range(n - 1):
        distance = np.abs(unit[None] - unit[rows[-1]][:, None]).max(axis=2)
        log_like = np.where(distance > FAR, log_like, -np.inf)
        rows.append(log_like.argmax(axis=1))
    return np.stack(rows, axis=1)


@jax.jit
def damped_step(
    x: Float[Array, "*n d"],
    state: Newton,
    damping: Float[Array, "*n"],
    low: Float[Array, "..."] | float = 0.0,
    high: Float[Array, "..."] | float = 1.0,
    floor: Float[Array, "..."] | float = 12.0,
) -> tuple[Float[Array, "*n d"], Float[Array, "*n"]]:
    """Returns the point to try, coordinates pushed out over their edge held there; and step . score.

    Args:
        x: where the climbs are.
        state: likelihood there.
        damping: relative addition to the diagonal of the Fisher matrix.
        low: lower edges, of the rank of `x` or a number.
        high: upper edges.
        floor: absolute addition to the diagonal; 12 = 1/variance of a uniform distribution over 0..1.
    """
    score, fisher = state.score, state.fisher
    held = ((x <= low) & (score < 0)) | ((x >= high) & (score > 0))
    free = jnp.where(held, 0.0, 1.0)
    diagonal = jnp.diagonal(fisher, axis1=-2, axis2=-1) * (1 + damping[..., None]) + floor
    off = fisher * free[..., :, None] * free[..., None, :]
    eye = jnp.broadcast_to(jnp.eye(x.shape[-1]), fisher.shape)
    matrix = off * (1 - eye) + eye * diagonal[..., None, :]
    step = jnp.linalg.solve(matrix, (score * free)[..., None])[..., 0]
    tried = jnp.clip(x + step, low, high)
    return tried, jnp.sum((tried - x) * score, axis=-1)


@jax.jit
def accept(
    better: Bool[Array, "*n"], old: Climb, new: Climb, damping: Float[Array, "*n"]
) -> tuple[Climb, Array]:
    """Returns the new climbs where better, else the old ones (trees of arrays); and the next damping."""
    pick = lambda a, b: jnp.where(better.reshape(better.shape + (1,) * (a.ndim - better.ndim)), a, b)  # noqa: E731
    return jax.tree.map(pick, new, old), jnp.where(better, damping * 0.1, damping * 10 + 1e-3)


def in_batches(function: Callable, arrays: Any, size: int) -> Any:
    """`function` of all rows (leading axis of every array), `size` at a time, the last ones filled up."""
    n, parts = len(jax.tree.leaves(arrays)[0]), []
    for start in range(0, n, size):
        count = min(size, n - start)
        rows = start + np.resize(np.arange(count), size)
        part = function(jax.tree.map(lambda a: a[rows], arrays))  # noqa: B023
        parts.append(jax.tree.map(lambda a: np.asarray(a)[:count], part))  # noqa: B023
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)
