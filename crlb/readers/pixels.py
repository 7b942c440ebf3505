"""Pixels that must not be used, found by cause, and errors of every kind brought to inverse variances."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from crlb.readers.raw import NoiseKind, Raw

RUN = 10  # pixels: as many equal values without noise are a filling, not a spectrum
NO_DATA = (-999.0, -9999.0, -99999.0)  # fluxes that stand for "not measured", also alone
HUGE = 1e10  # times the median: no error and no flux of a star, but a sign for "no data"


def ivar_of(
    raw: Raw, order: np.ndarray
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], dict[str, int]]:
    """Returns flux, inverse variance (both 0 where unusable) and the number of pixels lost by cause.

    A pixel counts under its first cause: masks of the file, the flux, the errors.

    Args:
        raw: the spectrum as the file holds it; without errors the inverse variance is 1.
        order: which pixels, in which order.
    """
    flux = np.asarray(raw.flux, np.float64)[order]
    noise = None if raw.noise is None else np.asarray(raw.noise, np.float64)[order]
    ivar, causes = _inverse_variance(noise, raw.noise_kind, flux)
    lost: dict[str, int] = {}
    usable = np.ones(flux.shape, bool)
    given = ((name, np.asarray(bad, bool)[order]) for name, bad in raw.bad.items())
    for name, bad in (*given, *flux_causes(flux), *causes):
        bad = bad & usable
        if n := int(np.count_nonzero(bad)):
            lost[name] = lost.get(name, 0) + n
            usable &= ~bad
    if not lost:
        return flux, ivar, lost
    return np.where(usable, flux, 0.0), np.where(usable, ivar, 0.0), lost


def flux_causes(flux: Float[np.ndarray, " n"]) -> Iterator[tuple[str, Bool[np.ndarray, " n"]]]:
    """Yields what is wrong with fluxes alone: cause, pixels."""
    finite = np.isfinite(flux)
    if not finite.all():
        yield "flux not finite", ~finite
    size = np.abs(flux[finite])
    if not size.size:
        return
    if size.min() == 0:
        yield "flux filled with zeros", filled(flux, 0.0)
        size = size[size > 0]
    repeated = flux[1:][flux[1:] == flux[:-1]]
    for value in np.unique(repeated[repeated < 0]):
        if value not in NO_DATA:
            yield f"flux filled with {value:g}", filled(flux, float(value))
    if size.size and size.max() >= -NO_DATA[0]:
        for value in NO_DATA:
            yield f"flux is {value:g}, which means no data", flux == value
    # The median costs more than all the rest: it is taken only where it can matter.
    if size.size and size.max() > HUGE * size.min():
        yield "flux beyond any star", np.abs(np.where(finite, flux, 0.0)) > HUGE * np.median(size)


def filled(flux: Float[np.ndarray, " n"], value: float) -> Bool[np.ndarray, " n"]:
    """Returns True in runs of at least `RUN` pixels of this very value, and in runs of it at the ends."""
    equal = flux == value
    found = np.zeros(flux.shape, bool)
    if not equal.any():
        return found
    edges = np.flatnonzero(np.diff(equal, prepend=False, append=False))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        at_end = value == 0 and (start == 0 or stop == flux.size)
        found[start:stop] = at_end or stop - start >= RUN
    return found


def _inverse_variance(
    noise: Float[np.ndarray, " n"] | None,
    kind: NoiseKind | None,
    flux: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " n"], tuple[tuple[str, Bool[np.ndarray, " n"]], ...]]:
    """Inverse variances, not to be used where one of the causes holds, and these causes."""
    if noise is None or kind is None:
        return np.ones(flux.shape), ()
    word = "inverse variance" if kind == "ivar" else kind
    power = {"ivar": 1, "variance": -1, "error": -2}[kind]
    positive = (noise > 0) & (noise < np.inf)
    causes: list[tuple[str, Bool[np.ndarray, " n"]]] = []
    if positive.all():
        ivar = _power(noise, power)
    else:
        causes = [
            (f"{word} not finite", ~np.isfinite(noise)),
            (f"{word} 0", noise == 0),
            (f"{word} negative", noise < 0),
        ]
        ivar = np.where(positive, _power(np.where(positive, noise, 1.0), power), 0.0)
    if not (finite := np.isfinite(ivar)).all():
        causes.append((f"{word} so small that nothing was measured", ~finite))
        ivar = np.where(finite, ivar, 0.0)
    return ivar, (*causes, *sentinels(ivar, flux))


def _power(values: Float[np.ndarray, " n"], power: int) -> Float[np.ndarray, " n"]:
    with np.errstate(divide="ignore", over="ignore"):
        return values if power == 1 else 1.0 / (values if power == -1 else values * values)


def sentinels(
    ivar: Float[np.ndarray, " n"], flux: Float[np.ndarray, " n"]
) -> list[tuple[str, Bool[np.ndarray, " n"]]]:
    """Errors that stand for "no data" (1e30), and those so small that nothing was measured."""
    good = ivar > 0
    there = ivar[good]
    size = np.abs(flux)
    size = size[(size > 0) & (size < np.inf)]
    if not there.size:
        return []
    # Medians cost more than all the rest: they are taken only where they can matter.
    usual = there.min() * HUGE**2 >= there.max()
    if usual and not (size.size and there.min() < (HUGE * size.min()) ** -2):
        return []
    middle = float(np.median(there))
    scale = float(np.median(size)) if size.size else 0.0
    # Where most pixels have no data, the median is the sentinel itself: the flux tells.
    huge = ivar < max(middle / HUGE**2, (HUGE * scale) ** -2 if scale > 0 else 0.0)
    causes = [("error so large that it means no data", good & huge)]
    if (good & ~huge).any():
        middle = float(np.median(ivar[good & ~huge]))
        causes.append(("error so small that nothing was measured", good & (ivar > middle * HUGE**2)))
    return causes
