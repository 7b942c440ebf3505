"""Labels that differ by rounding only, as those that went through float32 do, are one. Host side, numpy."""

import numpy as np
from jaxtyping import Bool, Float

ROUNDING = 2e-7  # of a label's largest value: labels nearer to each other are one; float32 rounds by 6e-8


def unite_rounded(labels: Float[np.ndarray, "n n_labels"]) -> Float[np.ndarray, "n n_labels"]:
    """Returns labels in which values of a label that differ by rounding are one value.

    Of 0.3 and 0.30000001 it is the one with the fewest digits, 0.3; what has no such neighbour stays.
    """
    if not np.isfinite(labels).all():
        return labels
    return np.stack([_united(column) for column in labels.T], axis=1) if labels.size else labels


def _united(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    values, where = np.unique(column, return_inverse=True)
    apart = np.diff(values) > ROUNDING * np.abs(values).max()
    if apart.all():
        return column
    groups = np.split(values, np.flatnonzero(apart) + 1)
    best = [min(group.tolist(), key=lambda value: len(repr(value))) for group in groups]
    united: np.ndarray = np.repeat(best, [len(group) for group in groups])[where]
    return united


def is_node(column: Float[np.ndarray, " n"], value: float) -> Bool[np.ndarray, " n"]:
    """Returns where a label has a value, up to rounding."""
    same: np.ndarray = np.abs(column - value) <= ROUNDING * np.abs(column).max(initial=0.0)
    return same
