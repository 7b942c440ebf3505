"""Levenberg-Marquardt within a box, many problems at once: starts, one damped step, its acceptance.

    (F + damping diag(F) + floor) step = score,     x + step cut to the box

Source: Marquardt 1963, J. SIAM 11, 431.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from crlb.bayes.likelihood import Newton

# Of the unit cube, along some axis: starts closer than this would be optimised to the same local maximum.
SEPARATION = 0.15
UNIFORM_INFORMATION = 12.0  # 1/variance of a uniform distribution over 0..1: what is known without a spectrum
# The damping starts a hundredfold below that of a step along the gradient, and goes down or up by the factor
# of ten of Marquardt; what is added lets it grow from zero.
FIRST_DAMPING = 0.1
LESS_DAMPING, MORE_DAMPING, LEAST_INCREASE = 0.1, 10.0, 1e-3

Iterate = TypeVar("Iterate")
Arrays = TypeVar("Arrays")
Answer = TypeVar("Answer")


def far_apart(
    unit: Float[np.ndarray, "m n_labels"], log_like: Float[np.ndarray, "n_star m"], n: int
) -> Int[np.ndarray, "n_star n"]:
    """Row numbers of each star's best point, of its best one far from that, and so on, `n` in all.

    Where no point is far enough from those before it, the first row stands in.
    """
    rows = [log_like.argmax(axis=1)]
    for _ in range(n - 1):
        distance = np.abs(unit[None] - unit[rows[-1]][:, None]).max(axis=2)
        log_like = np.where(distance > SEPARATION, log_like, -np.inf)
        rows.append(log_like.argmax(axis=1))
    return np.stack(rows, axis=1)


@jax.jit
def damped_step(
    x: Float[Array, "*n d"],
    state: Newton,
    damping: Float[Array, "*n"],
    low: Float[Array, "..."] | float = 0.0,
    high: Float[Array, "..."] | float = 1.0,
    floor: Float[Array, "..."] | float = UNIFORM_INFORMATION,
) -> tuple[Float[Array, "*n d"], Float[Array, "*n"]]:
    """Returns the point to try, and the gain in ln L that a linear model promises: step . score.

    Coordinates at an edge whose score points outwards are held there.

    Args:
        x: current points.
        state: likelihood there.
        damping: relative addition to the diagonal of the Fisher matrix.
        low: lower edges, of the rank of `x` or a number.
        high: upper edges.
        floor: absolute addition to the diagonal.
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
    better: Bool[Array, "*n"], old: Iterate, new: Iterate, damping: Float[Array, "*n"]
) -> tuple[Iterate, Array]:
    """Returns the new iterates where better, else the old ones (trees of arrays); and the next damping."""
    pick = lambda a, b: jnp.where(better.reshape(better.shape + (1,) * (a.ndim - better.ndim)), a, b)  # noqa: E731
    kept: Iterate = jax.tree.map(pick, new, old)
    return kept, jnp.where(better, damping * LESS_DAMPING, damping * MORE_DAMPING + LEAST_INCREASE)


def in_batches(function: Callable[[Arrays], Answer], arrays: Arrays, size: int) -> Answer:
    """Returns `function` of all rows (leading axis of every array), computed `size` at a time.

    The last batch is filled up with repeated rows, so that one shape is compiled.
    """
    n, parts = len(jax.tree.leaves(arrays)[0]), []
    for start in range(0, n, size):
        count = min(size, n - start)
        rows = start + np.resize(np.arange(count), size)
        part = function(jax.tree.map(lambda a: a[rows], arrays))  # noqa: B023
        parts.append(jax.tree.map(lambda a: np.asarray(a)[:count], part))  # noqa: B023
    answer: Answer = jax.tree.map(lambda *a: np.concatenate(a), *parts)
    return answer
