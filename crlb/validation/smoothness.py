"""Whether errors of the emulator grow with the distance of the nodes as those of smooth spectra do."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from crlb.grids.spectral_grid import SpectralGrid
from crlb.validation.leave_out import HALVED, SINGLE, dropped_nodes, leading_error, places
from crlb.validation.result import Row, Smoothness

LEAST_ERROR = 1e-300  # in place of an error of zero, by which the other cannot be divided


def smoothness(grid: SpectralGrid, rows: Sequence[Row]) -> tuple[Smoothness, ...]:
    """Returns, by axis and degree, how the flux error grows from single to halved, and should if smooth."""
    error = {
        (row.axis, row.degree, row.test): row.flux_error.median
        for row in rows
        if row.region == "all" != row.axis
    }
    return tuple(
        Smoothness(
            axis=axis,
            degree=degree,
            halved_over_single=halved / max(error[axis, degree, SINGLE], LEAST_ERROR),
            if_smooth=_if_smooth(places(grid)[grid.label_names.index(axis)], degree),
        )
        for (axis, degree, test), halved in error.items()
        if test == HALVED and len(grid.axes[grid.label_names.index(axis)]) >= degree + 2
    )


def _if_smooth(axis: Float[np.ndarray, " n"], degree: int) -> float:
    """Growth of the leading error from single to halved, medians over the nodes left out."""
    everything = np.arange(len(axis))
    halved, single = (
        np.concatenate([leading_error(axis, np.delete(everything, x), axis[x], degree) for x in sets])
        for sets in dropped_nodes(axis).values()
    )
    return float(np.median(halved) / np.median(single))
