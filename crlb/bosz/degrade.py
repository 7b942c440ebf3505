"""From the pixels of a BOSZ file to those of a grid file: cut, lower resolving power, vacuum wavelengths."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.bosz.catalogue import ORIGINAL
from crlb.bosz.read import BoszSpectrum
from crlb.detector import FWHM_PER_SIGMA
from crlb.errors import DataError, UsageError
from crlb.synthesis.spectrum import kernel_half_width, log_wave, smooth
from crlb.wavelengths import AIR_ABOVE, air_to_vacuum, vacuum_to_air

ORIGINAL_SPACING = 1e-6  # in ln wave: what the 2024 originals are interpolated to before they are smoothed
MIN_KERNEL_SIGMA = 0.7  # pixels; the width of a narrower Gaussian is wrong when it is sampled
PIXELS_PER_FWHM = 3  # at least, after smoothing


@dataclass(frozen=True)
class Pixels:
    """How every spectrum of an edition and resolving power becomes a row of the grid file.

    BOSZ pixels are equally spaced in ln wave, so one kernel serves all of them: a Gaussian whose FWHM^2 is
    the difference of (wave / R)^2 of the result and of the files. 2024 wavelengths are equally spaced in
    air, so the smoothing comes first and the conversion to vacuum after it.

    Args:
        wave: vacuum wavelengths of the result, Å.
        native: the file's wavelengths that are needed (air or vacuum, as in the file), Å.
        first: position of `native[0]` in the file; None for the 2024 originals, which are interpolated.
        spacing: of `native` in ln wave.
        resolving_power: wave / FWHM of the result.
        kernel_power: wave / FWHM of the kernel; None without smoothing.
        every: pixels of `native` per pixel of the result.
    """

    wave: Float[np.ndarray, " n_out"]
    native: Float[np.ndarray, " n_native"]
    first: int | None
    spacing: float
    resolving_power: float
    kernel_power: float | None
    every: int

    def __call__(
        self, spectrum: BoszSpectrum
    ) -> tuple[Float[np.ndarray, " n_out"], Float[np.ndarray, " n_out"]]:
        """Returns flux and continuum on `wave`, erg/s/cm^2/Å.

        Raises:
            DataError: the spectrum lies on other wavelengths, or is not positive there.
        """
        self._check_positive(spectrum)
        flux, cont = (self._row(spectrum, table) for table in (spectrum.flux, spectrum.cont))
        return flux, cont

    def _check_positive(self, spectrum: BoszSpectrum) -> None:
        """Refuses flux that is not positive where it is wanted; beside it, zero is what the star emits."""
        low, high = self.wave[0], self.wave[-1]
        near = slice(*np.searchsorted(spectrum.wave, [0.99 * low, 1.01 * high]))
        vacuum = air_to_vacuum(spectrum.wave[near]) if spectrum.medium == "air" else spectrum.wave[near]
        wanted = (vacuum >= low) & (vacuum <= high)
        flux, cont = spectrum.flux[near], spectrum.cont[near]
        empty = wanted & (flux == 0) & (cont == 0)
        if empty.any():
            raise DataError(
                f"the archive has its placeholder (flux 0, continuum 1: nothing is emitted) in "
                f"{int(empty.sum())} pixels between the wavelengths kept, up to {vacuum[empty][-1]:.2f} Å; "
                "choose a range (--wave) beyond it"
            )
        for name, table in (("flux", flux), ("continuum", cont)):
            bad = wanted & ~(table > 0)
            if bad.any():
                where = f"{vacuum[np.argmax(bad)]:.2f} Å"
                raise DataError(f"{name} must be positive between the wavelengths kept, is not at {where}")

    def _row(self, spectrum: BoszSpectrum, table: Float[np.ndarray, " n_pix"]) -> Float[np.ndarray, " n_out"]:
        if self.first is None:
            row = np.interp(self.native, spectrum.wave, table)
        else:
            there = slice(self.first, self.first + len(self.native))
            if not np.array_equal(spectrum.wave[there], self.native):
                raise DataError("its wavelengths are not those of the other files")
            row = table[there]
        return row if self.kernel_power is None else np.asarray(self._smooth(jnp.asarray(row)))

    @cached_property
    def _smooth(self) -> Callable[[Array], Array]:
        power, spacing, every = self.kernel_power, self.spacing, self.every
        assert power is not None
        return jax.jit(lambda row: smooth(row, power, spacing, every))


def plan_pixels(
    spectrum: BoszSpectrum, wave_range: tuple[float, float], resolving_power: float | None
) -> Pixels:
    """Returns how spectra like this one are cut and smoothed.

    Args:
        spectrum: the first of them.
        wave_range: lowest and highest vacuum wavelength kept, Å.
        resolving_power: wave / FWHM wanted; None keeps that of the files.

    Raises:
        UsageError: the range is empty or the files do not reach that far; the resolving power cannot be had.
    """
    low, high = wave_range
    if not 0 < low < high < math.inf:
        raise UsageError(f"wave_range must be two increasing wavelengths in Å, found {low:g} {high:g}")
    spacing = ORIGINAL_SPACING if spectrum.spacing is None else spectrum.spacing
    power, kernel = _kernel_power(spectrum, spacing, resolving_power)
    half = 0 if kernel is None else kernel_half_width(kernel, spacing)
    every = 1 if kernel is None else max(1, int(1 / (PIXELS_PER_FWHM * power * spacing)))
    wave, first = _file_wave(spectrum, wave_range, spacing, half)
    vacuum = air_to_vacuum(wave) if spectrum.medium == "air" else wave
    inside = np.flatnonzero((vacuum >= low) & (vacuum <= high))
    if not len(inside) or inside[0] < half or inside[-1] + half >= len(wave):
        raise UsageError(
            f"wave_range must lie within the files and leave {half} pixels for the kernel at either side: "
            f"they cover {vacuum[0]:.2f} to {vacuum[-1]:.2f} Å, found {low:g} to {high:g} Å"
        )
    keep = inside[::every]
    begin, end = keep[0] - half, keep[-1] + half + 1
    return Pixels(
        wave=vacuum[keep],
        native=wave[begin:end],
        first=None if first is None else int(first + begin),
        spacing=spacing,
        resolving_power=power,
        kernel_power=kernel,
        every=every,
    )


def _file_wave(
    spectrum: BoszSpectrum, wave_range: tuple[float, float], spacing: float, half: int
) -> tuple[Float[np.ndarray, " n"], int | None]:
    """All wavelengths of the file; for the 2024 originals equally spaced ones around the range."""
    if spectrum.spacing is not None:
        return spectrum.wave, 0
    low, high = vacuum_to_air(np.asarray(wave_range, np.float64))
    low, high = low * math.exp(-(half + 2) * spacing), high * math.exp((half + 2) * spacing)
    if low < max(spectrum.wave[0], AIR_ABOVE) or high > spectrum.wave[-1]:
        raise UsageError(
            f"wave_range of the originals must lie between {AIR_ABOVE:g} and {spectrum.wave[-1]:g} Å, "
            f"found {wave_range[0]:g} to {wave_range[1]:g} Å"
        )
    return log_wave(float(low), float(high), spacing), None


def _kernel_power(spectrum: BoszSpectrum, spacing: float, wanted: float | None) -> tuple[float, float | None]:
    """Returns the resolving power of the result, and wave / FWHM of the kernel that makes it."""
    given = spectrum.node.resolving_power
    if given == ORIGINAL:
        if wanted is None:
            raise UsageError("resolving_power is needed for the originals (R = 200,000 and more), found none")
        return wanted, wanted
    if wanted is None or wanted == given:
        return float(given), None
    widest = 1 / (FWHM_PER_SIGMA * MIN_KERNEL_SIGMA * spacing)  # largest wave / FWHM of a kernel
    largest = 1 / math.hypot(1 / int(given), 1 / widest)
    if not 0 < wanted <= largest:
        raise UsageError(
            f"resolving_power must be {given} (that of the files) or between 0 and {largest:.0f}, where the "
            f"kernel is wide enough for their pixels; found {wanted:g}"
        )
    return wanted, 1 / math.sqrt(1 / wanted**2 - 1 / int(given) ** 2)
