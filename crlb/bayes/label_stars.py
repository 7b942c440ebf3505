"""Observed spectra in, one posterior for each out, in order; one that cannot be used costs its row only."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from jaxtyping import Array, Key

from crlb.bayes.best_fit import Seen, Target
from crlb.bayes.observed import STARS_AT_ONCE, Wanted, observed_posteriors
from crlb.bayes.observed_result import ObservedPosterior
from crlb.bayes.prior import Prior
from crlb.bayes.sight import Aimed, Sight, aim
from crlb.bayes.solve import Inference
from crlb.errors import DataError
from crlb.files.flags import LEGEND
from crlb.files.observed import Observed, Origin
from crlb.readers.many import Spoilt


@dataclass(frozen=True, eq=False)
class LabelledStar:
    """One spectrum and what is known of its star.

    Args:
        origin: where the spectrum comes from.
        observed: the spectrum as it was compared; None where it could not be used.
        posterior: what is known; NaN where nothing could be computed.
        resolving_power: median, as stated or fitted; NaN where not known.
        note: what is odd, in words; empty if nothing is.
    """

    origin: Origin
    observed: Observed | None
    posterior: ObservedPosterior
    resolving_power: float
    note: str


def label_stars(
    spectra: Iterable[Observed | Spoilt],
    sight: Sight,
    prior: Prior,
    *,
    key: Key[Array, ""],
    inference: Inference,
    wanted: Wanted = Wanted(),
    first: int = 0,
) -> Iterator[LabelledStar]:
    """Yields what every spectrum says of its star, under the spectrum's own errors.

    Args:
        spectra: in the order of the rows; spoilt ones keep their row.
        sight: how they are looked at.
        prior: of the labels.
        key: chooses the quasi-random points.
        inference: what is unknown besides the labels, and how many points to use.
        wanted: what else is returned.
        first: number of the first spectrum, where others went before in another run.

    Raises:
        UsageError: prior of other labels or wider than the grid.
    """
    rest = iter(spectra)
    while block := list(islice(rest, STARS_AT_ONCE)):
        aimed = [_aimed(one, sight) for one in block]
        found = observed_posteriors(
            [one.target if isinstance(one, Aimed) else _NOTHING for one in aimed],
            sight.fine, prior, key=key, inference=inference, wanted=wanted, first=first,
        )  # fmt: skip
        first += len(block)
        for spectrum, one, posterior in zip(block, aimed, found, strict=True):
            yield _labelled(spectrum, one, posterior)


def _nowhere(rv_kms: float) -> Seen:
    raise DataError("a spectrum that cannot be used has no pixels")


_NOTHING = Target(np.array([1.0, 2.0]), np.zeros(2), np.zeros(2), _nowhere)  # keeps the place of a spoilt one


def _aimed(spectrum: Observed | Spoilt, sight: Sight) -> Aimed | Spoilt:
    if isinstance(spectrum, Spoilt):
        return spectrum
    good = spectrum.flux[spectrum.usable]
    if good.size and not np.median(good) > 0:
        why = f"its median flux is {np.median(good):.3g}, not positive"
        return Spoilt(spectrum.origin, why, frozenset({"BAD_SCALE"}))
    try:
        return aim(spectrum, sight)
    except DataError as error:
        return Spoilt(spectrum.origin, str(error), frozenset({"FEW_PIXELS"}))


def _labelled(
    spectrum: Observed | Spoilt, aimed: Aimed | Spoilt, posterior: ObservedPosterior
) -> LabelledStar:
    flags = set(aimed.flags) | (set(posterior.flags) if isinstance(aimed, Aimed) else {"UNUSABLE"})
    ordered = tuple(name for name in LEGEND if name in flags)
    if isinstance(aimed, Spoilt):
        failed = replace(posterior, flags=ordered, note=aimed.reason)
        return LabelledStar(spectrum.origin, None, failed, float("nan"), aimed.reason)
    note = "; ".join([*filter(None, [posterior.note]), *aimed.notes])
    found = replace(posterior, flags=ordered)
    return LabelledStar(spectrum.origin, aimed.observed, found, aimed.resolving_power, note)
