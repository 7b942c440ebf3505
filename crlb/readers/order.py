"""The order of pixels: increasing wavelengths within segments, each wavelength once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

PIECE = 20  # pixels: shorter pieces of increasing wavelengths are a table out of order, not arms


@dataclass(frozen=True, eq=False)
class Order:
    """Which pixels of a file are used, in which order.

    Args:
        pixels: their numbers in the file.
        segment: of each, from 0, not decreasing; None: one.
        lost: pixels left out, by cause.
        done: what was done, in sentences.
    """

    pixels: Int[np.ndarray, " n_used"]
    segment: Int[np.ndarray, " n_used"] | None
    lost: dict[str, int]
    done: tuple[str, ...]


def order_of(wave: Float[np.ndarray, " n"], segment: Int[np.ndarray, " n"] | None) -> Order:
    """Returns the order in which wavelengths increase within each segment.

    Wavelengths that are not finite or not positive are left out. Descending ones are reversed. Where they
    step back a few times, a new segment begins (orders, arms, exposures one after the other); where they do
    all the time, they are sorted.

    Args:
        wave: in any unit that increases with the wavelength.
        segment: as the file says; None: it does not.
    """
    good = np.isfinite(wave) & (wave > 0)
    pixels = np.flatnonzero(good)
    lost = {"wavelength not finite": int(wave.size - pixels.size)} if pixels.size < wave.size else {}
    if segment is not None:
        return _within(wave, pixels, segment, lost)
    steps = np.diff(wave[pixels])
    if (steps > 0).all():
        return Order(pixels, None, lost, ())
    done: tuple[str, ...] = ()
    if np.count_nonzero(steps < 0) > np.count_nonzero(steps > 0):
        pixels, steps = pixels[::-1], -steps[::-1]
        done = ("descending wavelengths reversed",)
    falls = np.flatnonzero(steps < 0)
    if not falls.size:
        return Order(pixels, None, lost, done)
    if pixels.size < PIECE * (falls.size + 1):
        pixels = pixels[np.argsort(wave[pixels], kind="stable")]
        return Order(pixels, None, lost, ("wavelengths out of order sorted",))
    number = np.zeros(pixels.size, np.int64)
    number[falls + 1] = 1
    return _whole(pixels, np.cumsum(number), lost, done)


def _whole(
    pixels: Int[np.ndarray, " n"],
    number: Int[np.ndarray, " n"],
    lost: dict[str, int],
    done: tuple[str, ...],
) -> Order:
    """Pieces as segments, without those of one pixel."""
    single = np.bincount(number)[number] < 2
    if single.any():
        lost = lost | {"alone in its segment": int(np.count_nonzero(single))}
        pixels, number = pixels[~single], number[~single]
    number = np.unique(number, return_inverse=True)[1].astype(np.int64)
    n = int(number[-1]) + 1 if number.size else 0
    said = f"wavelengths step back {n - 1} times: {n} segments (arms, orders or exposures) of one star"
    return Order(pixels, number if n > 1 else None, lost, (*done, said) if n > 1 else done)


def _within(
    wave: Float[np.ndarray, " n"],
    pixels: Int[np.ndarray, " n_good"],
    segment: Int[np.ndarray, " n"],
    lost: dict[str, int],
) -> Order:
    """The order in which the wavelengths of every segment of the file increase."""
    number = np.asarray(segment)[pixels]
    order = np.lexsort((wave[pixels], number))
    moved = not np.array_equal(order, np.arange(order.size))
    done = ("pixels sorted by segment and wavelength",) if moved else ()
    pixels = pixels[order]
    number = np.unique(number[order], return_inverse=True)[1].astype(np.int64)
    single = np.bincount(number)[number] < 2
    if single.any():
        lost = lost | {"alone in its segment": int(np.count_nonzero(single))}
        pixels, number = pixels[~single], number[~single]
        number = np.unique(number, return_inverse=True)[1].astype(np.int64)
    return Order(pixels, number if number.size and number[-1] > 0 else None, lost, done)


@dataclass(frozen=True, eq=False)
class Columns:
    """What belongs to the pixels of one spectrum, in their order."""

    wave: Float[np.ndarray, " n"]
    flux: Float[np.ndarray, " n"]
    ivar: Float[np.ndarray, " n"]
    segment: Int[np.ndarray, " n"] | None
    resolving_power: Float[np.ndarray, " n"] | None


def without_repeats(columns: Columns, has_errors: bool) -> tuple[Columns, int]:
    """Returns pixels with every wavelength once per segment, and how many were averaged away.

    Pixels of one wavelength are averaged by inverse variance; unusable ones count nothing.
    """
    new = np.diff(columns.wave, prepend=-np.inf) != 0
    if columns.segment is not None:
        new |= np.diff(columns.segment, prepend=-1) != 0
    if new.all():
        return columns, 0
    starts = np.flatnonzero(new)
    weight = np.add.reduceat(columns.ivar, starts)
    total = np.add.reduceat(columns.ivar * columns.flux, starts)
    flux = np.divide(total, weight, out=np.zeros_like(weight), where=weight > 0)
    merged = Columns(
        wave=columns.wave[starts],
        flux=flux,
        ivar=weight if has_errors else np.minimum(weight, 1.0),
        segment=None if columns.segment is None else columns.segment[starts],
        resolving_power=None if columns.resolving_power is None else columns.resolving_power[starts],
    )
    return merged, int(columns.wave.size - starts.size)
