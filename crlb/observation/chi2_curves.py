"""chi2 of model spectra against an observed one, at many velocities at once and pixel by pixel.

    chi2(v) = min over a of sum_i w_i [y_i - t(ln wave_i - ln(1 + v/c)) sum_k a_k z_i^k]^2

for every template t, with a polynomial continuum of order `ORDER` in z (ln wave scaled to -1..1) fitted anew
at each velocity. All sums over pixels are correlations in ln(wave): Fourier transforms do them for all
velocities together, to the accuracy of a linear interpolation between the templates' samples. numpy only.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from crlb.detector import FWHM_PER_SIGMA, SPEED_OF_LIGHT_KMS
from crlb.errors import DataError
from crlb.files.observed import Observed
from crlb.observation.templates import SAMPLES_PER_FWHM, Templates, fast_size

ORDER = 3  # of the continuum
FEWEST_PIXELS = 20  # that must be usable within the templates' range
OUTLIER_SIGMA = 5.0  # pixels further from a fit, in robust sigmas, do not count (cosmic rays, the sky)
MEDIAN_OF_SQUARE = 0.4549  # of a normal deviate: the median of chi2 with one degree of freedom
AROUND = 101  # pixels over which residuals are averaged
LEAST_NOISE = 0.1  # of the mean variance: no stretch counts for more, where there are no errors
LEAST_OUTLIER = 0.03  # sigma, of the mean flux, that the models may be wrong by
WEIGHINGS = 3  # rounds of fit and weights; the first fit follows the outliers
LEAST_COVERED = 0.3  # share of the weight that a velocity must keep within the templates' range
ENDS_SIGMA = 2.0  # of the broadening kernel: so much of the templates' ends is not compared
FINER = 4  # samples per sample of the templates, pixel by pixel


class Pixels(NamedTuple):
    """Pixels that count.

    Args:
        pixel: index of each in the observed spectrum.
        place: in samples of the templates at rest.
        flux: divided by `scale`.
        ivar: times `scale` squared.
        z: ln(wavelength) scaled to -1..1.
        width: of a pixel, in ln(wavelength): median.
    """

    pixel: Int[np.ndarray, " n"]
    place: Float[np.ndarray, " n"]
    flux: Float[np.ndarray, " n"]
    ivar: Float[np.ndarray, " n"]
    z: Float[np.ndarray, " n"]
    width: float


class Fit(NamedTuple):
    """One template on the pixels.

    Args:
        chi2: of the residuals.
        residuals: flux less model over the errors.
        slope: change of the model over the errors per sample of shift, less what the continuum can follow.
        difference: flux less model, in units of `Pixels.flux`.
        pixel: index of each in the observed spectrum.
    """

    chi2: float
    residuals: Float[np.ndarray, " n"]
    slope: Float[np.ndarray, " n"]
    difference: Float[np.ndarray, " n"]
    pixel: Int[np.ndarray, " n"]


def joined(observed: Observed, width: float) -> Observed:
    """Returns the spectrum with pixels much finer than `width` (in ln wavelength) joined to about that."""
    wave, flux, ivar, segment = [], [], [], []
    for number, part in enumerate(observed.parts()):
        n = part.stop - part.start
        ln_pixel = np.log(observed.wave[part.stop - 1] / observed.wave[part.start]) / (n - 1)
        count = min(max(int(width / ln_pixel), 1), n // 2)
        starts = np.arange(part.start, part.stop - count + 1, count)
        weight = np.add.reduceat(observed.ivar[: starts[-1] + count], starts)
        light = np.add.reduceat((observed.ivar * observed.flux)[: starts[-1] + count], starts)
        wave.append(np.add.reduceat(observed.wave[: starts[-1] + count], starts) / count)
        flux.append(light / np.where(weight > 0, weight, 1.0))
        ivar.append(weight)
        segment.append(np.full(len(starts), number))
    return replace(
        observed,
        wave=np.concatenate(wave),
        flux=np.concatenate(flux),
        ivar=np.concatenate(ivar),
        segment=np.concatenate(segment),
        resolving_power=None,
    )


def templates_for(templates: Templates, resolving_power: float) -> Templates:
    """Returns the templates with samples no finer than data of this resolving power need."""
    factor = int(1 / (resolving_power * SAMPLES_PER_FWHM * templates.spacing) + 1e-6)
    return templates.thinned(factor) if factor > 1 else templates


def shift_of(rv_kms: float, templates: Templates) -> float:
    """Returns by how many samples of the templates a velocity (km/s) moves a spectrum."""
    return float(np.log1p(rv_kms / SPEED_OF_LIGHT_KMS) / templates.spacing)


def velocity_of(shift: float, templates: Templates) -> float:
    """Returns the velocity in km/s that moves a spectrum by `shift` samples of the templates."""
    return float(SPEED_OF_LIGHT_KMS * np.expm1(shift * templates.spacing))


def pixels_for(observed: Observed, templates: Templates, shifts: Int[np.ndarray, " n"]) -> Pixels:
    """Returns the usable pixels that the templates reach at one of the shifts at least.

    Raises:
        DataError: they are fewer than 20.
    """
    n_wave = templates.flux.shape[1]
    place = (np.log(np.maximum(observed.wave, 1.0)) - templates.ln_start) / templates.spacing
    index = np.flatnonzero(observed.usable & (place >= shifts[0]) & (place < n_wave - 1 + shifts[-1]))
    if len(index) < FEWEST_PIXELS:
        ends = np.exp(templates.ln_start + templates.spacing * np.array([0, n_wave]))
        raise DataError(
            f"{observed.origin}: needed at least {FEWEST_PIXELS} usable pixels between {ends[0]:.0f} and "
            f"{ends[1]:.0f} Å, where the model spectra are, found {len(index)}"
        )
    flux, ivar, where = observed.flux[index], observed.ivar[index], place[index]
    scale = float(np.mean(np.abs(flux))) or 1.0
    low, high = observed.cells
    width = float(np.median((high - low)[index] / observed.wave[index]))
    z = 2 * (where - where.min()) / np.ptp(where) - 1
    return Pixels(index, where, flux / scale, ivar * scale**2, z, width)


def gain_curves(
    pixels: Pixels, templates: Templates, resolving_power: float, shifts: Int[np.ndarray, " n_shift"]
) -> Float[np.ndarray, "m n_shift"]:
    """Returns by how much each template's chi2 is below that of a continuum without lines at each shift.

    Both over the pixels that the templates reach at that shift; -inf where these are too few.

    Args:
        pixels: as `pixels_for`.
        templates: the same as there.
        resolving_power: of the data.
        shifts: in samples of the templates, consecutive.
    """
    flux, n_wave = templates.broadened(resolving_power, pixels.width), templates.flux.shape[1]
    inner = _inner(templates, resolving_power)
    table = np.zeros((len(flux) + 1, n_wave))  # the last row is a template without lines
    table[:-1, inner], table[-1, inner] = flux[:, inner], 1.0
    size = fast_size(n_wave + len(shifts))
    power, start = pixels.z ** np.arange(2 * ORDER + 1)[:, None], int(shifts[0])
    first = np.fft.rfft(_binned(pixels.ivar * pixels.flux * power[: ORDER + 1], pixels, start, size))
    second = np.fft.rfft(_binned(pixels.ivar * power, pixels, start, size))
    linear = _correlated(np.fft.rfft(table, size), first, size)[..., : len(shifts)]
    square = _correlated(np.fft.rfft(table**2, size), second, size)[..., : len(shifts)]
    count = np.fft.rfft(_binned(np.ones((1, len(pixels.flux))), pixels, start, size))
    reached = _correlated(np.fft.rfft(table[-1:], size), count, size)[0, 0, : len(shifts)]
    covered = (square[-1, 0] > LEAST_COVERED * pixels.ivar.sum()) & (reached > FEWEST_PIXELS - 0.5)
    explained = _explained(linear[..., covered], square[..., covered])
    gain = np.full((len(flux), len(shifts)), -np.inf)
    gain[:, covered] = explained[:-1] - explained[-1]
    return gain


def _inner(templates: Templates, resolving_power: float) -> slice:
    """The samples whose broadening needs nothing from beyond the ends."""
    lacking = max(resolving_power**-2 - templates.resolving_power**-2, 0.0) ** 0.5 / FWHM_PER_SIGMA
    ends = int(np.ceil(ENDS_SIGMA * lacking / templates.spacing))
    return slice(ends, templates.flux.shape[1] - ends)


def _binned(values: Float[np.ndarray, "m n"], pixels: Pixels, start: int, size: int) -> np.ndarray:
    """Values of the pixels shared linearly between the samples on either side of each, from `start` on."""
    left = np.floor(pixels.place).astype(int)
    part = pixels.place - left
    table = np.zeros((len(values), size))
    for row, value in zip(table, values, strict=True):
        row += np.bincount(left - start, value * (1 - part), size)[:size]
        row += np.bincount(left - start + 1, value * part, size)[:size]
    return table


def _correlated(templates: np.ndarray, data: np.ndarray, size: int) -> np.ndarray:
    """Correlation (templates, data, shift) from the Fourier transforms of both."""
    return np.fft.irfft(np.conj(templates)[:, None, :] * data[None], size)


def _explained(linear: np.ndarray, square: np.ndarray) -> np.ndarray:
    """b . A^-1 b of the normal equations of every template and shift: chi2 of nothing less chi2."""
    terms = np.arange(ORDER + 1)
    right = np.moveaxis(linear, 1, -1)[..., None]
    matrix = np.moveaxis(square[:, terms[:, None] + terms], (1, 2), (-2, -1))
    found: np.ndarray = (right * np.linalg.solve(matrix, right)).sum(axis=(-2, -1))
    return found


class OnPixels:
    """Broadened templates, finely sampled, to be compared with the pixels one velocity at a time."""

    def __init__(
        self, pixels: Pixels, templates: Templates, resolving_power: float, rows: Int[np.ndarray, " m"]
    ):
        self.pixels = pixels
        self.flux = templates.broadened(resolving_power, pixels.width, rows, FINER)
        inner = _inner(templates, resolving_power)
        self.first, self.last = inner.start, inner.stop - 1

    def covered(self, shift: float) -> Bool[np.ndarray, " n"]:
        """Returns the pixels that the templates reach at this shift, with a margin of a sample."""
        at = self.pixels.place - shift
        found: Bool[np.ndarray, " n"] = (at > self.first + 1) & (at < self.last - 1)
        return found

    def fit(
        self,
        row: int,
        shift: float,
        chosen: Bool[np.ndarray, " n"],
        factor: Float[np.ndarray, " m"] | float = 1.0,
    ) -> Fit:
        """Returns the fit of one row at a shift (samples) to chosen pixels, their ivar times `factor`."""
        pixels, step = self.pixels, 0.5 / FINER
        place, root = pixels.place[chosen] - shift, np.sqrt(pixels.ivar[chosen] * factor)
        samples = np.arange(self.flux.shape[1]) / FINER
        model, ahead, behind = (np.interp(place + d, samples, self.flux[row]) for d in (0.0, -step, step))
        powers = pixels.z[chosen][:, None] ** np.arange(ORDER + 1)
        columns = (root * model)[:, None] * powers
        found = np.linalg.solve(columns.T @ columns, columns.T @ (root * pixels.flux[chosen]))
        continuum = powers @ found
        difference = pixels.flux[chosen] - model * continuum
        slope = root * (ahead - behind) / (2 * step) * continuum
        slope -= columns @ np.linalg.solve(columns.T @ columns, columns.T @ slope)
        residuals = root * difference
        return Fit(float(residuals @ residuals), residuals, slope, difference, pixels.pixel[chosen])

    def weighed(self, row: int, shift: float, observed: Observed) -> Observed:
        """Returns the spectrum with errors as large as the residuals around, outliers without weight.

        A telluric band or a fringe that no template has then counts as little as it should. A pixel is an
        outlier if it is 5 robust sigmas, and 15 % of the mean flux, from the fit: no line of a star is
        further from that of another one alike.
        """
        chosen = self.covered(shift)
        given, factor = self.pixels.ivar[chosen], np.ones(int(chosen.sum()))
        least = 1.0 if observed.has_errors else 0.0
        for _ in range(WEIGHINGS):
            square = given * self.fit(row, shift, chosen, factor).difference ** 2
            typical = max(float(np.median(square)) / MEDIAN_OF_SQUARE, least)
            far = square > OUTLIER_SIGMA**2 * np.maximum(typical, LEAST_OUTLIER**2 * given)
            factor = np.where(far, 0.0, 1 / _around(square, far, max(least, LEAST_NOISE * typical)))
        ivar = observed.ivar * np.median(factor[factor > 0])
        ivar[self.pixels.pixel[chosen]] = observed.ivar[self.pixels.pixel[chosen]] * factor
        return replace(observed, ivar=ivar)


def _around(square: np.ndarray, far: np.ndarray, least: float) -> np.ndarray:
    """Mean square around every pixel without those that are far off, at least `least`, never 0."""
    window = np.ones(min(AROUND, len(square)))
    near = np.maximum(np.convolve(~far, window, "same"), 1.0)
    level = np.convolve(np.where(far, 0.0, square), window, "same") / near
    found: np.ndarray = np.maximum(level, least if least > 0 else 1.0)
    return found
