"""Velocity and line-spread width as two more labels: a grid's emulator with smooth axes for them.

The instrument is linear in flux, so that a spectrum at velocity v and width w is a sum of the emulator's
basis spectra as the instrument shows them then:

    flux(labels, v, w) = c(labels) . B(v, w),     B(v, w) = sum_ab N_a(v) N_b(w) B_ab

with the splines N of nodes between which a Gaussian line of the narrowest width moves little. The rows B_ab
are cut to the directions that matter and merged with the coefficients into one tensor, an `Emulator` of the
labels and "rv_kms" and "lsf_fwhm".
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from crlb.detector import DETECTOR_WAVE, FWHM_PER_SIGMA, SPEED_OF_LIGHT_KMS, Detector, pfs_medium
from crlb.errors import UsageError
from crlb.grids.emulator import Emulator, spline_coefficients
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.conditions import Conditions
from crlb.observation.pixels import before_instrument, on_pixels

RV, LSF = "rv_kms", "lsf_fwhm"  # names of the two labels: km/s, Å
REACH_SIGMA = 4.0  # of the prior on either side that an axis covers; 6e-5 of it lies outside
# Between two nodes a line moves by this share of its own sigma: a cubic spline errs by 1e-3 of its depth.
RV_STEP = 0.6
LSF_STEP = 0.25  # ratio of neighbouring widths, minus one
MOST_NODES = 64  # of the velocity axis: beyond, measure the velocity first
# Of the flux, rms: what leaving out directions may cost; a hundredth of the noise at an SNR of 100.
LOST = 1e-4
MOST_DIRECTIONS = 512  # that are looked for


def axis_nodes(
    conditions: Conditions, lsf_fwhm: float, reddest: float = float(DETECTOR_WAVE[-1])
) -> dict[str, Float[np.ndarray, " n"]]:
    """Returns the nodes of the axes that `conditions` ask for: of velocity in km/s, of width (FWHM) in Å.

    Args:
        conditions: what is unknown.
        lsf_fwhm: full width at half maximum of the instrument's line-spread function, Å.
        reddest: largest wavelength of the pixels, where a velocity moves lines most, Å.

    Raises:
        UsageError: a velocity without a bound, or known so badly that its axis would be too long.
    """
    axes, narrowest = {}, lsf_fwhm * (1 - REACH_SIGMA * conditions.lsf_sigma)
    if conditions.rv_sigma_kms:
        reach = REACH_SIGMA * conditions.rv_sigma_kms
        step = RV_STEP * narrowest / FWHM_PER_SIGMA / reddest * SPEED_OF_LIGHT_KMS
        if not 2 * reach / step < MOST_NODES:
            raise UsageError(
                f"rv_sigma_kms must be at most {MOST_NODES * step / 2 / REACH_SIGMA:.0f} km/s as an axis of "
                f"the model, found {conditions.rv_sigma_kms:g}; measure the velocity first (crlb posterior "
                "does)"
            )
        axes[RV] = np.linspace(-reach, reach, max(5, int(np.ceil(2 * reach / step)) + 1))
    if conditions.lsf_sigma:
        low, high = np.log1p(REACH_SIGMA * conditions.lsf_sigma * np.array([-1.0, 1.0])).tolist()
        n = max(4, int(np.ceil((high - low) / np.log1p(LSF_STEP))) + 1)
        axes[LSF] = lsf_fwhm * np.exp(np.linspace(low, high, n))
    return axes


def axis_priors(conditions: Conditions, lsf_fwhm: float) -> dict[str, tuple[float, float]]:
    """Returns mean and standard deviation of the priors of the axes, in their units, for `make_prior`."""
    found = {}
    if conditions.rv_sigma_kms:
        found[RV] = (0.0, conditions.rv_sigma_kms)
    if conditions.lsf_sigma:
        found[LSF] = (lsf_fwhm, conditions.lsf_sigma * lsf_fwhm)
    return found


def moving_emulator(
    grid: SpectralGrid,
    conditions: Conditions,
    *,
    detector: Detector | None = None,
    degree: int = 3,
) -> tuple[Emulator, Bool[np.ndarray, " n_pix"]]:
    """Returns the emulator with the axes that `conditions` ask for, in float64, and which pixels it covers.

    Flux is scaled as in `crlb.forward_model`: to a median of about 0.5 over the pixels at rest.

    Args:
        grid: model spectra, not yet on the detector.
        conditions: what is unknown; velocity, width or both.
        detector: pixels, over which the median of the flux is, and line-spread widths; an unknown width is
            that of `Detector.width`, and the others go with it. None: the PFS red arm.
        degree: of the splines between the nodes of the labels, 3 or 5.

    Raises:
        UsageError: as `axis_nodes`; or a width below that of the grid's own spectra.
        DataError: as `before_instrument`.
    """
    detector = pfs_medium() if detector is None else detector
    axes = axis_nodes(conditions, detector.width, float(detector.wave.max()))
    with jax.enable_x64(True):
        fine = _cut(before_instrument(grid, degree, detector=detector))
        _check_width(grid, axes, detector)
        table, covered = _seen(fine, axes, detector)
        mass = _mass(axes, conditions, detector.width)
        coefficients, basis = _merged(np.asarray(fine.coefficients), _splines(table, axes, degree), mass)
        return replace(
            fine,
            coefficients=jnp.asarray(coefficients),
            basis=jnp.asarray(basis),
            wave=detector.wave,
            axes=(*fine.axes, *(tuple(map(float, axis)) for axis in axes.values())),
            label_names=(*fine.label_names, *axes),
            resolving_power=min(grid.resolving_power, float(detector.wave.mean()) / detector.width),
        ), covered


def _check_width(grid: SpectralGrid, axes: dict[str, np.ndarray], detector: Detector) -> None:
    if LSF not in axes:
        return
    own, least = detector.wave / grid.resolving_power, detector.lsf_fwhm * axes[LSF][0] / detector.width
    worst = int(np.argmax(own / least))
    if least[worst] < own[worst]:
        raise UsageError(
            f"lsf_sigma: a width down to {least[worst]:.2f} Å needs spectra sharper than that, but those of "
            f"the grid have {own[worst]:.2f} Å at {detector.wave[worst]:.0f} Å; use a grid of higher "
            "resolving power, or take the width as known (0)"
        )


def _seen(
    fine: Emulator, axes: dict[str, np.ndarray], detector: Detector
) -> tuple[Float[np.ndarray, "*axes k n_pix"], Bool[np.ndarray, " n_pix"]]:
    """The basis on the pixels at every node of the axes, and the pixels that are covered at all of them."""
    velocities, widths = axes.get(RV, np.zeros(1)), axes.get(LSF, np.array([detector.width]))
    profile = detector.lsf_fwhm / detector.width
    seen = [
        [on_pixels(fine, detector.low, detector.high, fwhm=width * profile, rv_kms=rv) for width in widths]
        for rv in velocities
    ]
    table = np.array([[np.asarray(one.emulator.basis) for one in row] for row in seen])
    covered = np.logical_and.reduce([one.covered for row in seen for one in row])
    shape = (*(len(axis) for axis in axes.values()), *table.shape[2:])
    return table.reshape(shape), covered


def _splines(table: np.ndarray, axes: dict[str, np.ndarray], degree: int) -> np.ndarray:
    """Values at the nodes turned into coefficients of the splines through them."""
    places = tuple(tuple(map(float, axis)) for axis in axes.values())
    found: np.ndarray = spline_coefficients(table.reshape(*table.shape[: len(axes)], -1), places, degree)
    return found.reshape(table.shape)


def _merged(
    coefficients: Float[np.ndarray, "*nodes k"], table: Float[np.ndarray, "*axes k n_pix"], mass: np.ndarray
) -> tuple[Float[np.ndarray, "*nodes_and_axes r"], Float[np.ndarray, "r n_pix"]]:
    """One tensor and one basis instead of coefficients times a table of bases.

    Directions are left out where all spectra together, weighted by the prior of velocity and width, lose less
    than `LOST` of their flux, rms. They are found from random sums of the rows, twice through the table.
    Source: Halko, Martinsson & Tropp 2011, SIAM Review 53, 217, algorithms 4.4 and 5.1.
    """
    k, n_pix = table.shape[-2:]
    size = np.sqrt((coefficients.reshape(-1, k) ** 2).mean(axis=0))
    rows = (table * (np.sqrt(mass)[..., None] * size)[..., None]).reshape(-1, n_pix)
    sums = np.random.default_rng(0).normal(size=(n_pix, min(MOST_DIRECTIONS, *rows.shape)))
    directions = np.linalg.qr(rows.T @ (rows @ sums))[0]
    inside = rows @ directions
    values, vectors = np.linalg.eigh(inside.T @ inside)
    lost = (rows**2).sum() - values[::-1].cumsum()
    rank = min(len(values), int((lost > LOST**2 * (rows**2).sum()).sum()) + 1)
    basis = (directions @ vectors[:, ::-1][:, :rank]).T
    merged = np.tensordot(coefficients, table @ basis.T, axes=(-1, table.ndim - 2))
    return merged, basis


def _mass(axes: dict[str, np.ndarray], conditions: Conditions, lsf_fwhm: float) -> np.ndarray:
    """The share of the prior that each node of the axes stands for."""
    priors, found = axis_priors(conditions, lsf_fwhm), np.ones(())
    for name, axis in axes.items():
        centre, sigma = priors[name]
        density = np.exp(-0.5 * ((axis - centre) / sigma) ** 2) * np.gradient(axis)
        found = found[..., None] * (density / density.sum())
    return np.asarray(found)


def _cut(fine: Emulator) -> Emulator:
    """The emulator with fewer directions, which lose less than `LOST` of the flux of all nodes together."""
    coefficients, basis = np.asarray(fine.coefficients), np.asarray(fine.basis)
    q, r = np.linalg.qr(basis.T)
    flat = coefficients.reshape(-1, basis.shape[0]) @ r.T
    _, size, vectors = np.linalg.svd(flat, full_matrices=False)
    left = (size**2)[::-1].cumsum()[::-1]
    rank = max(1, int((left > LOST**2 * left[0]).sum()))
    kept = (flat @ vectors[:rank].T).reshape(*coefficients.shape[:-1], rank)
    return replace(fine, coefficients=jnp.asarray(kept), basis=jnp.asarray(vectors[:rank] @ q.T))
