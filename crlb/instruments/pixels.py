"""Pixels and line-spread widths of an arm, from its description."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from crlb.detector import Detector, cell_edges
from crlb.errors import DataError
from crlb.instruments.values import Section
from crlb.wavelengths import air_to_vacuum

SHORTEST, LONGEST = 500.0, 1e6  # Å, of what is taken for wavelengths
MOST_PIXELS = 200_000  # of an arm
MOST_POWER = 1e6
STEPS_PER_FWHM = 4  # of the integral that counts pixels whose size follows the line-spread width
Width = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]


def arm_pixels(arm: Section, name: str) -> Detector:
    """Returns the pixels of an arm.

    Raises:
        DataError: a value is missing, unknown or out of range.
        MissingInputError: a file cannot be read.
    """
    width = _width(arm)
    edges = _edges(arm, width)
    low, high = edges
    if not (np.isfinite(low).all() and (high > low).all() and (np.diff(low) > 0).all()):
        raise DataError(f"{arm.place}: wavelengths of the pixels must increase")
    if low[0] < SHORTEST or high[-1] > LONGEST:
        raise DataError(
            f"{arm.place}: wavelengths must lie between {SHORTEST:g} and {LONGEST:g} Å, found {low[0]:g} to "
            f"{high[-1]:g}; are they in nm or µm?"
        )
    return Detector(low, high, width((low + high) / 2), name)


def _width(arm: Section) -> Width:
    """The full width at half maximum of a line against wavelength, Å."""
    kind = arm.choice("fwhm", "resolving_power")
    if isinstance(arm.values[kind], dict):
        wave, values = _curve(arm.section(kind), kind)
        if not (values > 0).all():
            raise DataError(f"{arm.place}, {kind}: must be positive all along")
    else:
        wave, values = np.array([SHORTEST]), np.array([arm.number(kind, high=MOST_POWER)])

    def width(at: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        read: Float[np.ndarray, " n"] = np.interp(at, wave, values)
        return read if kind == "fwhm" else at / read

    return width


def _curve(given: Section, kind: str) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Wavelengths and values of a curve, from lists or a file."""
    given.only("wave", kind, "file")
    if given.has("file"):
        table = given.table("file", "wave", kind)
        if kind not in table.columns:
            raise DataError(f"{table.path}: needed a column {kind}, found {', '.join(table.columns)}")
        wave, values = table.columns["wave"], table.columns[kind]
    else:
        wave, values = given.array("wave"), given.array(kind)
    if len(wave) != len(values) or not (np.diff(wave) > 0).all():
        raise DataError(f"{given.place}: needed increasing wavelengths and one {kind} for each")
    return wave, values


def _edges(arm: Section, width: Width) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Lower and upper edges of the pixels, vacuum Å."""
    pixels = arm.section("pixels").only("start", "end", "step", "per_fwhm", "centres", "file", "medium")
    medium = pixels.words("medium", "vacuum")
    if medium not in ("vacuum", "air"):
        raise DataError(f"{pixels.place}: medium must be vacuum or air, found {medium}")
    kind = pixels.choice("step", "per_fwhm", "centres", "file")
    if kind == "step":
        edges = _equal(pixels)
    elif kind == "per_fwhm":
        edges = _following(pixels, width)
    else:
        edges = _listed(pixels, kind)
    edges = air_to_vacuum(edges) if medium == "air" else edges
    return edges[:-1], edges[1:]


def _equal(pixels: Section) -> Float[np.ndarray, " n_plus_1"]:
    start, end = _range(pixels)
    step = pixels.number("step")
    n = _count(pixels, (end - start) / step * (1 + 1e-9))
    return start + step * np.arange(n + 1)


def _following(pixels: Section, width: Width) -> Float[np.ndarray, " n_plus_1"]:
    """Edges of pixels of the size width(wave) / per_fwhm: where the number of pixels so far is whole."""
    start, end = _range(pixels)
    per_fwhm = pixels.number("per_fwhm", low=0.5, high=100.0)
    finest = float(width(np.linspace(start, end, 1000)).min()) / STEPS_PER_FWHM
    fine = np.linspace(start, end, _count(pixels, (end - start) / finest * per_fwhm, 64 * MOST_PIXELS) + 2)
    density = per_fwhm / width(fine)
    passed = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(fine))])
    n = _count(pixels, passed[-1])
    return np.interp(np.arange(n + 1), passed, fine)


def _listed(pixels: Section, kind: str) -> Float[np.ndarray, " n_plus_1"]:
    centres = pixels.array("centres") if kind == "centres" else pixels.table("file", "wave").columns["wave"]
    _count(pixels, float(len(centres)))
    if not (np.diff(centres) > 0).all():
        raise DataError(f"{pixels.place}: centres of the pixels must increase")
    return cell_edges(centres)


def _range(pixels: Section) -> tuple[float, float]:
    start, end = pixels.number("start"), pixels.number("end")
    if not start < end:
        raise DataError(f"{pixels.place}: start must lie below end, found {start:g} and {end:g} Å")
    return start, end


def _count(pixels: Section, n: float, most: int = MOST_PIXELS) -> int:
    if not 2 <= n <= most:
        raise DataError(f"{pixels.place}: an arm must have 2 to {MOST_PIXELS:,} pixels, found {n:,.0f}")
    return int(n)
