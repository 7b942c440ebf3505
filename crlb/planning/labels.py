"""Sigma of a label over T_eff and log g."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from crlb.errors import UsageError
from crlb.fisher.algebra import LabelledFisher
from crlb.observation.forward_model import ForwardModel
from crlb.observation.nuisance import NuisanceModel
from crlb.observation.star import Star
from crlb.planning.bounds import bounds_or_nan
from crlb.planning.result import LabelMap
from crlb.planning.time import SECONDS
from crlb.planning.variance import any_exposures

PER_AXIS = 15  # points of T_eff, and of log g
AXES = ("T_eff", "log_g")


def label_maps(
    model: ForwardModel,
    nuisances: NuisanceModel,
    labels: Float[np.ndarray, " n_labels"],
    mag: float,
    want: Mapping[str, float],
    *,
    name: str,
    fisher: Callable[[Star], LabelledFisher],
    advance: Callable[[int], None] | None = None,
) -> tuple[LabelMap, ...]:
    """Returns the bound of every wanted label over the grid's range of T_eff and log g, 15 points of each.

    Args:
        model: how stars are seen, with the exposures in question.
        nuisances: flux(labels, nuisances) with its emulator.
        labels: of the star, whose other labels all points have.
        mag: AB magnitude of all points, in the band of the instrument.
        want: the sigma that is wanted by label, in its unit.
        name: of the instrument.
        fisher: the Fisher matrix of a star, with what is known besides.
        advance: called with the number of points just finished.

    Raises:
        UsageError: the model lacks one of the two labels.
    """
    missing = [name for name in AXES if name not in model.label_names]
    if missing:
        raise UsageError(f"the map is over T_eff and log_g, but {missing[0]} is not free in this grid")
    at = [model.label_names.index(name) for name in AXES]
    heat, gravity = (
        np.linspace(float(model.emulator.low[i]), float(model.emulator.high[i]), PER_AXIS) for i in at
    )
    points = np.tile(np.asarray(labels, np.float64), (PER_AXIS, PER_AXIS, 1))
    points[:, :, at[0]], points[:, :, at[1]] = heat[None, :], gravity[:, None]
    table = {label: np.empty((PER_AXIS, PER_AXIS)) for label in want}
    for row, some in enumerate(points):
        for column, seen in enumerate(any_exposures(model, nuisances, some, mag)):
            found = bounds_or_nan(fisher(seen.at(model.exposure.n_exp)))
            for label in want:
                table[label][row, column] = found[label]
        if advance is not None:
            advance(PER_AXIS)
    exposure = model.exposure
    hours = exposure.n_exp * exposure.exptime_s / SECONDS
    return tuple(
        LabelMap(
            *(name, label, wanted, float(mag), exposure.n_exp, hours),
            *(heat, gravity, table[label]),
        )
        for label, wanted in want.items()
    )
