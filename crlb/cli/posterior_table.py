"""The table that `crlb posterior` writes: a row per star, with units, and what the columns mean."""

from collections.abc import Mapping, Sequence

import numpy as np

from crlb.bayes.label_stars import LabelledStar
from crlb.files.flags import flag_text
from crlb.files.table_formats import Column
from crlb.labels import LABELS, unit_of

UNITS = {"dex": "dex", "K": "K"}  # as astropy writes them


def columns_of(
    label_names: Sequence[str], quantiles: Sequence[float], known: Sequence[str]
) -> tuple[Column, ...]:
    """Returns the columns.

    Args:
        label_names: the labels.
        quantiles: probabilities.
        known: labels that the files have themselves.
    """
    return (
        Column("file", kind="text", description="file of the spectrum"),
        Column("row", kind="integer", description="spectrum within the file, from 0"),
        Column("star", kind="text", description="name in the file"),
        Column("mag", "mag", "AB magnitude in i, as the file or --mag says"),
        *(column for name in label_names for column in _label_columns(name, quantiles, name in known)),
        Column("chi2_dof", description="chi2 of the best fit per degree of freedom"),
        Column("p_value", description="probability of a larger chi2"),
        Column("n_pix", kind="integer", description="pixels used"),
        Column("snr", description="median of flux/error over them, per pixel"),
        Column("rv_kms", "km / s", "radial velocity relative to the file's wavelengths, receding positive"),
        Column("rv_sigma_kms", "km / s", "its 1 sigma; 0 where it was given"),
        Column("resolving_power", description="wavelength / FWHM, median, as stated or fitted"),
        Column("model_error", description="relative error of the model, added in quadrature"),
        Column("ess", description="effective number of points of the integration"),
        Column("converged", kind="flag", description="whether they were enough"),
        Column("flags", kind="text", description="see the legend; - for none"),
        Column("note", kind="text", description="what is odd, in words"),
    )


def _label_columns(name: str, quantiles: Sequence[float], known: bool) -> list[Column]:
    unit, words = UNITS.get(unit_of(name), ""), LABELS[name].description if name in LABELS else name
    truth = [Column(f"{name}_true", unit, f"{words}, as the file says")] if known else []
    spread = [
        Column(f"{name}_q{100 * q:g}", unit, f"{100 * q:g} % quantile of its posterior") for q in quantiles
    ]
    return [
        *truth,
        Column(f"{name}_mean", unit, f"{words}, posterior mean"),
        Column(f"{name}_sigma", unit, "its posterior standard deviation"),
        *spread,
    ]


Row = dict[str, object]


def row_of(
    star: LabelledStar, mag: float | None, quantiles: Sequence[float], known: Mapping[str, float]
) -> Row:
    """Returns a star's row; `known` are the labels that its file has, NaN where it does not."""
    found = star.posterior
    row: Row = {
        "file": star.origin.path,
        "row": star.origin.row or 0,
        "star": star.origin.star,
        "mag": np.nan if mag is None else mag,
    }
    for i, name in enumerate(found.label_names):
        if name in known:
            row[f"{name}_true"] = known[name]
        row |= {f"{name}_mean": found.mean[i], f"{name}_sigma": found.sigma[i]}
        row |= {f"{name}_q{100 * q:g}": found.quantiles[i, j] for j, q in enumerate(quantiles)}
    return row | {
        "chi2_dof": found.chi2 / found.dof if found.dof > 0 else np.nan,
        "p_value": found.p_value,
        "n_pix": found.n_pix,
        "snr": found.snr,
        "rv_kms": found.rv_kms,
        "rv_sigma_kms": found.rv_sigma_kms,
        "resolving_power": star.resolving_power,
        "model_error": found.model_error,
        "ess": found.ess,
        "converged": found.converged,
        "flags": flag_text(found.flags),
        "note": star.note,
    }


def by_column(rows: Sequence[Row]) -> dict[str, list[object]]:
    """Returns rows of equal keys column by column."""
    return {name: [row[name] for row in rows] for name in rows[0]}
