"""Noise of a spectrograph on its pixels, from its description, as the electrons of `NoiseModel`.

What is described is turned into electrons of a source of constant f_nu and of everything else, S and B per
pixel in the exposures described. A signal-to-noise ratio q at one magnitude gives, with the share b of the
variance that is not the source's own photons,

    S = q^2 / (1 - b),    B = S b / (1 - b)

and at two magnitudes, r = 10^(-0.4 (m_2 - m_1)), both follow from S^2/(S + B) = q_1^2 and
(r S)^2/(r S + B) = q_2^2:

    S = (r - 1) / (r^2/q_2^2 - 1/q_1^2),    B = S^2/q_1^2 - S
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from crlb.detector import Detector
from crlb.errors import DataError
from crlb.instruments.values import Section
from crlb.observation.exposure import REFERENCE_EXPTIME_S
from crlb.observation.noise import I_BAND_EDGE, I_BAND_SOFTNESS, REFERENCE_MAG
from crlb.observation.noise_curves import NoiseModel, running_maximum

UNCALIBRATED_SNR = 100.0  # per pixel at the reference magnitude, where no noise is described
UNCALIBRATED_EXPOSURES = 12 * REFERENCE_EXPTIME_S
# Background where none is described, of the median S: it gives pixels their weights and adds nothing.
NEGLIGIBLE = 1e-6
POSSIBLE = 1e-6  # by so much rounding may carry two signal-to-noise ratios past what photons allow
MAGNITUDES = (-10.0, 40.0)
BAND_BLUE = 6900.0  # Å, blue half-power point of the SDSS i filter


class Electrons(NamedTuple):
    """Electrons per pixel in a 900 s exposure; of the source at the reference magnitude, and of the sky."""

    signal: Float[np.ndarray, " n_pix"]
    sky: Float[np.ndarray, " n_pix"]
    stray_e: float = 0.0
    dark_var: float = 0.0
    read_var: float = 0.0
    sky_floor: float = 0.0


def arm_electrons(noise: Section, detector: Detector) -> Electrons:
    """Returns the electrons of an arm.

    Raises:
        DataError: a value is missing, unknown or out of range, or a table does not reach all pixels.
        MissingInputError: a table cannot be read.
    """
    kind = noise.choice("curves", "snr", "tables")
    if kind == "curves":
        return _from_curves(noise, detector)
    if kind == "snr":
        return _from_constant(noise, detector)
    return _from_tables(noise, detector)


def uncalibrated(detector: Detector) -> Electrons:
    """Returns the electrons of photons alone, their number proportional to flux times wavelength."""
    signal = (detector.high - detector.low) / detector.wave
    seconds = UNCALIBRATED_EXPOSURES / REFERENCE_EXPTIME_S
    signal = signal / np.median(signal) * UNCALIBRATED_SNR**2 / seconds
    return Electrons(signal, np.full(len(detector), NEGLIGIBLE * UNCALIBRATED_SNR**2 / seconds))


def noise_model(
    electrons: list[Electrons], detector: Detector, band: tuple[float, float] | None, source: str
) -> NoiseModel:
    """Returns the noise of all arms together.

    Args:
        electrons: of the arms, in the order of the pixels. Scalars of several arms must agree.
        detector: pixels of all arms.
        band: wavelengths (Å) between which the mean f_nu is the AB magnitude; None: SDSS i, as far as there
            are pixels.
        source: where the facts come from.

    Raises:
        DataError: no pixel lies in the band, or arms differ in what is one number for all.
    """
    scalars = [one[2:] for one in electrons]
    if len(set(scalars)) > 1:
        raise DataError("noise: stray_e, dark_var, read_var and sky_floor must be the same in all arms")
    sky = np.concatenate([one.sky for one in electrons])
    peak = np.concatenate([running_maximum(one.sky) for one in electrons])
    stray_e, dark_var, read_var, sky_floor = scalars[0]
    return NoiseModel(
        wave=jnp.asarray(detector.wave),
        signal_e=jnp.asarray(np.concatenate([one.signal for one in electrons])),
        sky_e=jnp.asarray(sky),
        skymax_e=jnp.asarray(peak),
        stray_e=stray_e,
        dark_var=dark_var,
        read_var=read_var,
        sky_floor=sky_floor,
        noise_adjust=1.0,
        source=source,
        band=jnp.asarray(_band(detector, band)),
    )


def _band(detector: Detector, band: tuple[float, float] | None) -> Float[np.ndarray, " n_pix"]:
    """Photon weight of every pixel in a magnitude, d nu / nu ~ d wave / wave."""
    wave = detector.wave
    low, high = band or (BAND_BLUE, I_BAND_EDGE + 5 * I_BAND_SOFTNESS)
    weight = (detector.high - detector.low) / wave * ((wave >= low) & (wave <= high))
    if band is None:
        weight = weight / (1 + np.exp((wave - I_BAND_EDGE) / I_BAND_SOFTNESS))
    if not weight.sum() > 0:
        words = "i band" if band is None else "band"
        raise DataError(
            f"magnitude: no pixel lies in the {words}, {low:.0f} to {high:.0f} Å; the pixels lie between "
            f"{wave.min():.0f} and {wave.max():.0f} Å: give magnitude: [start, end] within them"
        )
    return np.asarray(weight)


def _seconds(noise: Section) -> float:
    """The whole exposure that is described, in units of the curves' 900 s."""
    return noise.number("exptime_s") * noise.number("n_exp", 1.0) / REFERENCE_EXPTIME_S


def _brightness(mag: float) -> float:
    return float(10 ** (-0.4 * (mag - REFERENCE_MAG)))


def _magnitude(noise: Section) -> float:
    return noise.number("mag", low=MAGNITUDES[0], high=MAGNITUDES[1])


def _from_curves(noise: Section, detector: Detector) -> Electrons:
    """Electrons per pixel and exposure of an AB 18 source and of the sky, with scalars as PFS has them."""
    scalars = ("stray_e", "dark_var", "read_var", "sky_floor")
    noise.only("curves", "exptime_s", *scalars)
    table = noise.table("curves", "wave", "signal_e", "sky_e")
    longer = noise.number("exptime_s") / REFERENCE_EXPTIME_S
    signal, sky = (table.at(detector.wave, name) / longer for name in ("signal_e", "sky_e"))
    _check(noise, signal > 0, "signal_e must be positive")
    _check(noise, sky >= 0, "sky_e must not be negative")
    stray_e, dark_var, read_var, floor = (_scalar(noise, name) for name in scalars)
    return Electrons(signal, sky, stray_e / longer, dark_var / longer, read_var, floor)


def _scalar(noise: Section, name: str) -> float:
    return noise.number(name, 0.0, low=-1e-300)


def _from_constant(noise: Section, detector: Detector) -> Electrons:
    """One signal-to-noise ratio for all pixels, or for all resolution elements."""
    noise.only("snr", "per", "mag", "exptime_s", "n_exp", "background")
    per = noise.words("per", "pixel")
    if per not in ("pixel", "element"):
        raise DataError(f"{noise.place}: per must be pixel or element (a line-spread FWHM), found {per}")
    snr = np.full(len(detector), noise.number("snr"))
    if per == "element":
        snr = snr * np.sqrt((detector.high - detector.low) / detector.lsf_fwhm)
    return _at_one_magnitude(noise, snr)


def _from_tables(noise: Section, detector: Detector) -> Electrons:
    """Signal-to-noise ratios or relative errors per pixel against wavelength, at one or two magnitudes."""
    noise.only("tables")
    tables = noise.sections("tables")
    snr = [_snr(one, detector) for one in tables]
    if len(tables) == 1:
        return _at_one_magnitude(tables[0], snr[0])
    if len(tables) != 2:
        raise DataError(f"{noise.place}: tables: needed one or two magnitudes, found {len(tables)}")
    return _at_two_magnitudes(noise, tables, snr)


def _snr(table: Section, detector: Detector) -> Float[np.ndarray, " n_pix"]:
    table.only("file", "mag", "exptime_s", "n_exp", "background")
    read = table.table("file", "wave", "snr", "error")
    kind = "snr" if "snr" in read.columns else "error"
    found = read.at(detector.wave, kind)
    _check(table, found > 0, f"{kind} must be positive")
    return found if kind == "snr" else 1 / found


def _at_one_magnitude(noise: Section, snr: Float[np.ndarray, " n_pix"]) -> Electrons:
    share = noise.number("background", low=-1e-300, high=1 - 1e-6)
    signal = snr**2 / (1 - share)
    background = np.maximum(signal * share / (1 - share), NEGLIGIBLE * np.median(signal))
    seconds = _seconds(noise)
    return Electrons(signal / seconds / _brightness(_magnitude(noise)), background / seconds)


def _at_two_magnitudes(
    noise: Section, tables: list[Section], snr: list[Float[np.ndarray, " n_pix"]]
) -> Electrons:
    seconds = [_seconds(one) for one in tables]
    if seconds[0] != seconds[1] or any(one.has("background") for one in tables):
        raise DataError(
            f"{noise.place}: tables of two magnitudes must be of the same exposures, and tell the background "
            "themselves: leave background out"
        )
    mags = [_magnitude(one) for one in tables]
    if mags[0] == mags[1]:
        raise DataError(f"{noise.place}: the two magnitudes must differ, found {mags[0]:g} twice")
    (bright, first), (faint, second) = sorted(zip(mags, (0, 1), strict=True))
    ratio, (q_1, q_2) = float(10 ** (-0.4 * (faint - bright))), (snr[first] ** 2, snr[second] ** 2)
    possible = (q_2 > ratio**2 * q_1) & (q_2 <= ratio * q_1 * (1 + POSSIBLE))
    _check(noise, possible, "S/N must fall with magnitude as photons and a constant background have it")
    signal = (ratio - 1) / (ratio**2 / q_2 - 1 / q_1)
    background = np.maximum(signal**2 / q_1 - signal, NEGLIGIBLE * np.median(signal))
    return Electrons(signal / seconds[0] / _brightness(bright), background / seconds[0])


def _check(noise: Section, good: Bool[np.ndarray, " n_pix"], words: str) -> None:
    if not good.all():
        raise DataError(f"{noise.place}: {words}, but it is not in {int((~good).sum())} pixels")
