"""The answers to a planner's questions, computed: rows per magnitude, per time, and maps of sigma."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from crlb.planning.planned import Planned, PosteriorStar
from crlb.planning.result import ExposuresRow, FaintestRow, TimeMap
from crlb.planning.search import MOST, faintest_mag, faintest_near, fewest_exposures
from crlb.planning.time import SECONDS, whole_exposures

N_MAGS, N_TIMES = 21, 21  # of a map
AROUND = 1.5  # mag: what a map shows on either side of the magnitudes
LONGEST_H, SHORTEST_H = 300.0, 10.0  # of a map


def exposures_rows(
    one: Planned, mags: Sequence[float], want: Mapping[str, float], exptime_s: float
) -> tuple[ExposuresRow, ...]:
    """Returns a row for every magnitude and wanted label of a star through one instrument.

    Args:
        one: the star.
        mags: AB magnitudes, in the band of the first instrument.
        want: the sigma that is wanted by label, in its unit.
        exptime_s: length of an exposure, s.
    """
    return tuple(
        _exposures_row(one, float(mag), name, wanted, exptime_s)
        for mag in mags
        for name, wanted in want.items()
    )


def _exposures_row(one: Planned, mag: float, name: str, want: float, exptime_s: float) -> ExposuresRow:
    floor = one.floor(mag)[name]

    def sigma(n_exp: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return np.array([one.sigmas(float(n), mag)[name] for n in n_exp])

    # A posterior costs much. A bound is asked at every number: nothing makes its limit its least value.
    hopeless = isinstance(one, PosteriorStar) and floor > want
    found = np.inf if hopeless else float(fewest_exposures(sigma, want)[0])
    known = found <= MOST
    return ExposuresRow(
        instrument=one.instrument,
        mag=mag,
        label=name,
        want=want,
        n_exp=int(found) if known else None,
        hours=found * exptime_s / SECONDS if known else None,
        sigma=one.sigmas(found, mag)[name] if known else None,
        snr=one.snr(found, mag) if known else None,
        floor=floor,
        set_by=one.set_by,
    )


def faintest_rows(
    one: Planned, hours: Sequence[float], want: Mapping[str, float], exptime_s: float
) -> tuple[FaintestRow, ...]:
    """Returns a row for every time and wanted label of a star through one instrument.

    Arguments as `exposures_rows`; `hours` are of exposure.

    Raises:
        UsageError: an exposure is longer than that.
    """
    return tuple(
        _faintest_row(one, float(time), name, wanted, exptime_s)
        for time in hours
        for name, wanted in want.items()
    )


def _faintest_row(one: Planned, hours: float, name: str, want: float, exptime_s: float) -> FaintestRow:
    n_exp = whole_exposures(hours, exptime_s)
    if isinstance(one, PosteriorStar):
        start = faintest_mag(lambda mag: one.bounded.sigmas(n_exp, mag)[name], want)
        start = start if np.isfinite(start) else one.bounded.seen.star.mag - one.bounded.offset
        found = faintest_near(lambda mag: one.sigmas(n_exp, mag)[name], want, start)
    else:
        found = faintest_mag(lambda mag: one.sigmas(n_exp, mag)[name], want)
    known = bool(np.isfinite(found))
    return FaintestRow(
        instrument=one.instrument,
        hours=hours,
        n_exp=n_exp,
        label=name,
        want=want,
        mag=found if known else None,
        snr=one.snr(n_exp, found) if known else None,
    )


def time_maps(
    one: Planned,
    mags: Sequence[float],
    want: Mapping[str, float],
    exptime_s: float,
    advance: Callable[[int], None] | None = None,
) -> tuple[TimeMap, ...]:
    """Returns sigma of every wanted label over magnitude and time, 21 of each.

    Args:
        one: the star through an instrument.
        mags: AB magnitudes that the maps show, with 1.5 on either side.
        want: as `exposures_rows`.
        exptime_s: length of an exposure, s; the shortest time is one exposure, the longest 300 h.
        advance: called with the number of points just finished.
    """
    magnitudes = np.linspace(min(mags) - AROUND, max(mags) + AROUND, N_MAGS)
    longest = np.clip(100 * exptime_s / SECONDS, SHORTEST_H, max(LONGEST_H, 2 * exptime_s / SECONDS))
    n_exp = np.geomspace(1, longest * SECONDS / exptime_s, N_TIMES)
    table = {name: np.empty((N_TIMES, N_MAGS)) for name in want}
    for i, n in enumerate(n_exp):
        for j, mag in enumerate(magnitudes):
            found = one.sigmas(float(n), float(mag))
            for name in want:
                table[name][i, j] = found[name]
        if advance is not None:
            advance(N_MAGS)
    hours = n_exp * exptime_s / SECONDS
    return tuple(
        TimeMap(one.instrument, name, wanted, magnitudes, n_exp, hours, table[name])
        for name, wanted in want.items()
    )
