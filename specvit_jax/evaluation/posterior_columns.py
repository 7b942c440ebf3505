"""The exact posterior beside the network's labels: its columns in the table of `specvit predict --posterior`.

A door to crlb: the posterior asks the same spectra what they say under the model, without any training. jax
is loaded by the first batch, not before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crlb.files.flags import flag_text
from crlb.files.observed import MODEL_UNIT, Observed
from crlb.files.tables import Column
from crlb.grids.grid_file import default_grid_path, grid_labels
from crlb.labels import SOLAR_SCALED, unit_of
from crlb.readers.many import Spoilt

if TYPE_CHECKING:
    from crlb.bayes.label_stars import LabelledStar
    from crlb.observation.conditions import Conditions


def posterior_columns(grid: Path | None) -> tuple[Column, ...]:
    """The columns that the posterior adds, with their units.

    Args:
        grid: grid file of the network's training; None: the embedded grid.
    """
    labels = [
        column
        for name in _free_labels(grid)
        for column in (
            Column(f"{name}_posterior", unit_of(name), f"posterior mean of {name}"),
            Column(f"{name}_posterior_sigma", unit_of(name), "its standard deviation"),
        )
    ]
    return (
        *labels,
        Column("posterior_chi2_dof", description="chi2 of the best fit per degree of freedom"),
        Column("posterior_rv_kms", "km / s", "radial velocity relative to the file's wavelengths"),
        Column("posterior_rv_sigma_kms", "km / s", "its 1 sigma; 0 where it was given"),
        Column("posterior_flags", kind="text", description="flags of the posterior, see the legend"),
        Column("posterior_note", kind="text", description="what is odd, in words"),
    )


def posterior_of(
    grid: Path | None, rows: Callable[[], int]
) -> Callable[[Sequence[Observed | Spoilt]], Mapping[str, Sequence[object]]]:
    """What returns those columns for one batch of spectra after the other.

    Args:
        grid: as in `posterior_columns`.
        rows: how many rows the table has before the batch: the points of a star follow from its number.
    """
    from crlb.bayes.label import label, make_sight

    sight = make_sight(grid)

    def columns(spectra: Sequence[Observed | Spoilt]) -> Mapping[str, Sequence[object]]:
        stars = label(list(spectra), sight, conditions=_conditions(spectra), first=rows())
        return _by_column(list(stars))

    return columns


def _free_labels(grid: Path | None) -> tuple[str, ...]:
    return tuple(name for name in grid_labels(grid or default_grid_path()) if name not in SOLAR_SCALED)


def _conditions(spectra: Sequence[Observed | Spoilt]) -> "Conditions":
    """As for real stars; spectra of this project's simulations are what the model says, without an error."""
    from crlb.bayes.label import REAL_STAR

    simulated = all(one.unit == MODEL_UNIT for one in spectra if isinstance(one, Observed))
    return replace(REAL_STAR, model_error=0.0) if simulated else REAL_STAR


def _by_column(stars: "Sequence[LabelledStar]") -> Mapping[str, Sequence[object]]:
    found = [star.posterior for star in stars]
    columns: dict[str, Sequence[object]] = {}
    for i, name in enumerate(found[0].label_names):
        columns[f"{name}_posterior"] = [one.mean[i] for one in found]
        columns[f"{name}_posterior_sigma"] = [one.sigma[i] for one in found]
    return columns | {
        "posterior_chi2_dof": [one.chi2 / one.dof if one.dof > 0 else np.nan for one in found],
        "posterior_rv_kms": [one.rv_kms for one in found],
        "posterior_rv_sigma_kms": [one.rv_sigma_kms for one in found],
        "posterior_flags": [flag_text(one.flags) for one in found],
        "posterior_note": [star.note for star in stars],
    }
