"""The bounds of a Fisher matrix, also where there are none."""

import jax

from crlb.fisher.algebra import LabelledFisher
from crlb.fisher.matrix import Bounds, bounds


def bounds_or_nan(fisher: LabelledFisher) -> dict[str, float]:
    """Returns the 1-sigma bound of every label, all others unknown; NaN where they cannot be told apart."""
    return dict(zip(fisher.label_names, _bounds(fisher).sigma[0].tolist(), strict=True))


def why_nan(fisher: LabelledFisher) -> str:
    """Returns which labels cannot be told apart, in words; empty where they can."""
    return _bounds(fisher).reason[0]


def _bounds(fisher: LabelledFisher) -> Bounds:
    with jax.enable_x64(True):
        return bounds(fisher.matrix[None], fisher.label_names)
