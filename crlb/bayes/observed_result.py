"""What one observed spectrum says of its star: labels, unknowns, how good the fit is, and flags."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from crlb.files.records import ABSENT, Record


@dataclass(frozen=True, eq=False)
class ObservedPosterior(Record):
    """What is known of a star once its spectrum is seen, labels in the order and units of `label_names`.

    Numbers are NaN where nothing could be computed; then `note` says why and UNUSABLE is among the flags.

    Args:
        label_names: names of the labels.
        mean: posterior mean.
        sigma: posterior standard deviation.
        quantiles: marginal quantiles.
        best: labels of the best fit.
        ess: effective number of points behind these numbers.
        converged: whether there are enough of them, and two halves of them agree.
        chi2: of the best fit, all unknowns fitted, under the errors in use.
        dof: usable pixels less labels and unknowns.
        p_value: probability of a larger chi2; NaN where the errors were estimated from this fit.
        n_pix: pixels in use.
        snr: median of flux/error over them, errors of the file or estimated, without that of the model.
        scale: flux of the file / flux of the model; 1 where known.
        scale_sigma: its standard deviation; 0 where known.
        continuum: coefficients of order 1 and up, relative to the scale.
        rv_kms: radial velocity relative to the file's wavelengths, posterior mean or as given, km/s.
        rv_sigma_kms: its standard deviation; 0 where known.
        model_error: relative error of the model that was added to that of the pixels.
        error: relative error of a pixel that was estimated where the file has none, else NaN.
        gain: decrease of chi2 from a continuum without lines to the best fit.
        p_star: bound on the probability that a star of the grid gives no larger gain.
        explained: share of the structure beyond noise and continuum that the best fit explains; NaN if there
            is none.
        flags: as in `crlb.files.flags`.
        note: reason why nothing could be computed, else empty.
        model: best fit on the star's pixels in the unit of its flux, NaN where the grid does not reach; None:
            not asked for.
        samples: labels drawn from the posterior, of equal weight; None: not asked for.
    """

    label_names: tuple[str, ...]
    mean: Float[np.ndarray, " n_labels"]
    sigma: Float[np.ndarray, " n_labels"]
    quantiles: Float[np.ndarray, "n_labels n_q"]
    best: Float[np.ndarray, " n_labels"]
    ess: float
    converged: bool
    chi2: float
    dof: int
    p_value: float
    n_pix: int
    snr: float
    scale: float
    scale_sigma: float
    continuum: tuple[float, ...]
    rv_kms: float
    rv_sigma_kms: float
    model_error: float
    error: float
    gain: float
    p_star: float
    explained: float
    flags: tuple[str, ...]
    note: str = ""
    model: Float[np.ndarray, " n_pix"] | None = field(default=None, metadata=ABSENT)
    samples: Float[np.ndarray, "n n_labels"] | None = field(default=None, metadata=ABSENT)


def unusable(
    label_names: tuple[str, ...], n_quantiles: int, n_pix: int, flags: tuple[str, ...], note: str
) -> ObservedPosterior:
    """Returns the result of a star of which nothing can be computed."""
    nan, none = float("nan"), np.full(len(label_names), np.nan)
    return ObservedPosterior(
        label_names, none, none, np.full((len(label_names), n_quantiles), np.nan), none,
        ess=0.0, converged=False, chi2=nan, dof=0, p_value=nan, n_pix=n_pix, snr=nan, scale=nan,
        scale_sigma=nan, continuum=(), rv_kms=nan, rv_sigma_kms=nan, model_error=nan, error=nan, gain=nan,
        p_star=nan, explained=nan, flags=(*flags, "UNUSABLE"), note=note,
    )  # fmt: skip
