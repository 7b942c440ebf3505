"""Spectra on other pixels: flux conserved, variance propagated, segments combined by inverse variance."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from crlb.errors import DataError
from crlb.files.observed import Observed

HALF = 0.5  # of a pixel must be covered by usable pixels
GAP = 1.5  # times the usual step: a wider one is a gap, not a wide pixel
WINDOW = 51  # pixels: over which a step is usual


def combined(observed: Observed) -> Observed:
    """Returns one set of pixels for all segments, combined by inverse variance where they overlap.

    The pixels are those of the segment that begins first, then those of the others beyond its end. Segments
    with errors and such without the same calibration are not told apart: the flux is taken as it is.
    """
    parts = list(observed.parts())
    if len(parts) == 1:
        return observed
    wave = _joint_pixels([observed.wave[part] for part in parts])
    said = f"{len(parts)} segments combined by inverse variance on {wave.size} pixels"
    return _onto(observed, wave, (said if observed.has_errors else said.replace("inverse variance", "mean"),))


def resampled(observed: Observed, wave: Float[np.ndarray, " n"]) -> Observed:
    """Returns a spectrum on given pixels: the mean flux per Å of the usable pixels that each overlaps.

    flux = sum w f, variance = sum w^2 var, with w the shares of the overlap; neighbours then share noise,
    which an inverse variance cannot say. A pixel less than half of which is covered by usable ones is
    unusable. Segments are combined by inverse variance.

    Args:
        observed: the spectrum.
        wave: centres of the new pixels, vacuum Å, increasing.

    Raises:
        DataError: the new wavelengths are not increasing.
    """
    if wave.size < 2 or not (np.diff(wave) > 0).all():
        raise DataError("wavelengths to resample to must be at least two and increasing")
    found = _onto(observed, np.asarray(wave, np.float64), ())
    covered = int(np.count_nonzero(found.usable))
    said = f"resampled, flux conserved: {covered} of {wave.size} pixels covered by usable ones"
    low, high = cells(observed.wave[next(observed.parts())])
    coarse = float(np.median(high - low)) / float(np.median(np.diff(wave)))
    shared = (f"data pixels are {coarse:.2g} times as wide: neighbours share noise",) if coarse > GAP else ()
    return replace(found, done=(*found.done, said, *shared))


def cells(wave: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Returns lower and upper edges of pixels, Å: halfway to the neighbours, not across gaps."""
    from scipy.ndimage import median_filter

    step = np.diff(wave)
    most = GAP * median_filter(step, size=min(WINDOW, step.size), mode="nearest")
    half = 0.5 * np.minimum(step, most)
    return wave - np.concatenate([half[:1], half]), wave + np.concatenate([half, half[-1:]])


def _joint_pixels(waves: list[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " n"]:
    """The pixels of the segment that begins first (the longest of them), then those beyond its end."""
    waves = sorted(waves, key=lambda wave: (wave[0], -wave[-1]))
    joint = waves[0]
    for wave in waves[1:]:
        beyond = wave[wave > joint[-1] + 0.5 * (joint[-1] - joint[-2])]
        joint = np.concatenate([joint, beyond])
    return joint


def _onto(observed: Observed, wave: Float[np.ndarray, " n"], done: tuple[str, ...]) -> Observed:
    """All segments on these pixels, combined by inverse variance (by coverage, without errors)."""
    weight, total = np.zeros(wave.size), np.zeros(wave.size)
    power, reach = np.zeros(wave.size), np.zeros(wave.size)
    for part in observed.parts():
        flux, ivar, share = _segment(observed, part, wave)
        if not observed.has_errors:
            ivar = np.where(ivar > 0, share, 0.0)
        weight += ivar
        total += ivar * flux
        if observed.resolving_power is not None:
            inside = (wave >= observed.wave[part][0]) & (wave <= observed.wave[part][-1])
            here = np.where(ivar > 0, ivar, 1e-30 * inside)
            power += here * np.interp(wave, observed.wave[part], observed.resolving_power[part])
            reach += here
    flux = np.divide(total, weight, out=np.zeros(wave.size), where=weight > 0)
    return replace(
        observed,
        wave=wave,
        flux=flux,
        ivar=weight if observed.has_errors else (weight > 0).astype(np.float64),
        resolving_power=None if observed.resolving_power is None else _everywhere(power, reach),
        segment=None,
        done=(*observed.done, *done),
    )


def _everywhere(power: Float[np.ndarray, " n"], reach: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Resolving power where the spectrum reaches, and that of the nearest such pixel elsewhere."""
    there = np.flatnonzero(reach > 0)
    if not there.size:
        return np.full(power.shape, np.nan)
    pixels = np.arange(power.size)
    return np.asarray(np.interp(pixels, there, power[there] / reach[there]))


def _segment(
    observed: Observed, part: slice, wave: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Flux and inverse variance of one segment on new pixels, and the share of each that it covers."""
    low, high = cells(wave)
    into, out_of, length = _overlaps(cells(observed.wave[part]), (low, high))
    flux, ivar = observed.flux[part], observed.ivar[part]
    length = np.where(ivar[out_of] > 0, length, 0.0)
    covered = np.bincount(into, length, wave.size)
    share = covered / (high - low)
    total = np.bincount(into, length * flux[out_of], wave.size)
    variance = np.divide(1.0, ivar, out=np.zeros(ivar.shape), where=ivar > 0)
    spread = np.bincount(into, length**2 * variance[out_of], wave.size)
    good = (share >= HALF * (1 - 1e-9)) & (spread > 0)
    new_flux = np.divide(total, covered, out=np.zeros(wave.size), where=good)
    new_ivar = np.divide(covered**2, spread, out=np.zeros(wave.size), where=good)
    return new_flux, new_ivar, share


def _overlaps(
    old: tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]],
    new: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]],
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Pairs of new and old pixels that overlap, and by how much, Å."""
    first = np.searchsorted(old[1], new[0], side="right")  # the first old pixel that ends beyond the new edge
    stop = np.searchsorted(old[0], new[1], side="left")  # the first that begins beyond the new pixel
    n = np.maximum(stop - first, 0)
    into = np.repeat(np.arange(n.size), n)
    out_of = np.arange(into.size) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
    length = np.minimum(old[1][out_of], new[1][into]) - np.maximum(old[0][out_of], new[0][into])
    return into, out_of, np.maximum(length, 0.0)
