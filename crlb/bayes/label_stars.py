"""Observed spectra in, one posterior for each out, in order; one that cannot be used costs its row only."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Key

from crlb.bayes.best_fit import MAD, Seen, Target
from crlb.bayes.observed import STARS_AT_ONCE, Wanted, observed_posteriors
from crlb.bayes.observed_result import ObservedPosterior
from crlb.bayes.prior import Prior
from crlb.bayes.sight import Aimed, Sight, aim
from crlb.bayes.solve import Inference
from crlb.errors import DataError
from crlb.files.flags import LEGEND
from crlb.files.observed import Observed, Origin
from crlb.readers.many import Spoilt

# Noise puts one pixel of five hundred million beyond six sigma: what lies there is a cosmic ray, a residual
# of the sky, a line that no model has. More than a few per cent of them are no accidents: another object.
OUTLIER, MOST_OUTLIERS = 6.0, 0.02
FAR_FROM_FIT = f"further than {OUTLIER:g} sigma from the best fit"  # as a cause of unusable pixels
CLEANINGS = 3  # fits anew at most: what was left out may have pulled the fit that others are judged by
WINGS = 3  # pixels to either side of an outlier that may belong to it


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
    rest, work = iter(spectra), _Work(sight, prior, key, inference, wanted)
    while block := list(islice(rest, STARS_AT_ONCE)):
        aimed: list[Aimed | Spoilt] = [_aimed(one, sight) for one in block]
        found = _posteriors(work, aimed, first)
        for _ in range(CLEANINGS):
            again = {i: one for i, one in enumerate(map(_without_outliers, aimed, found)) if one is not None}
            if not again:
                break
            fresh = _posteriors(work, list(again.values()), first)
            for (i, cleaned), posterior in zip(again.items(), fresh, strict=True):
                aimed[i], found[i] = cleaned, posterior
        first += len(block)
        for spectrum, one, posterior in zip(block, aimed, found, strict=True):
            yield _labelled(spectrum, one, posterior, wanted)


class _Work(NamedTuple):
    """What is the same for all stars."""

    sight: Sight
    prior: Prior
    key: Key[Array, ""]
    inference: Inference
    wanted: Wanted


def _posteriors(work: _Work, aimed: Sequence[Aimed | Spoilt], first: int) -> list[ObservedPosterior]:
    """The posterior of every spectrum, with the best fit on its pixels."""
    targets = [one.target if isinstance(one, Aimed) else _NOTHING for one in aimed]
    return list(
        observed_posteriors(
            targets, work.sight.fine, work.prior, key=work.key, inference=work.inference,
            wanted=replace(work.wanted, model=True), first=first,
        )
    )  # fmt: skip


def _without_outliers(aimed: Aimed | Spoilt, found: ObservedPosterior) -> Aimed | None:
    """The spectrum without pixels far from its best fit; None: there are none, or too many for accidents."""
    if isinstance(aimed, Spoilt) or found.model is None:
        return None
    far = outliers(aimed.target, found)
    left_out = far.sum() + aimed.observed.lost.get(FAR_FROM_FIT, 0)
    if not far.any() or left_out > MOST_OUTLIERS * found.n_pix:
        return None
    ivar = np.where(far, 0.0, aimed.target.ivar)
    lost = {**aimed.observed.lost, FAR_FROM_FIT: int(left_out)}
    return replace(
        aimed,
        observed=replace(aimed.observed, ivar=ivar, lost=lost),
        target=replace(aimed.target, ivar=ivar),
    )


def outliers(target: Target, found: ObservedPosterior) -> Bool[np.ndarray, " n_pix"]:
    """Returns the usable pixels further than `OUTLIER` sigma from the best fit, and their neighbours' wings.

    Sigma is that of the file, of the model, or of the residuals as they scatter, whichever is larger. Pixels
    next to them that are off by half as much to the same side belong to the same accident.
    """
    model = found.model
    assert model is not None
    used = (target.ivar > 0) & np.isfinite(model)
    level = np.maximum(np.abs(model), np.median(np.abs(model[used])))
    own = np.where(used, target.ivar, 1.0) ** -0.5 if target.has_errors else found.error * level
    pull = np.where(used, (target.flux - model) / np.hypot(own, found.model_error * level), 0.0)
    pull /= max(1.0, MAD * float(np.median(np.abs(pull[used]))))
    far: Bool[np.ndarray, " n_pix"] = np.abs(pull) > OUTLIER
    for _ in range(WINGS):
        near = np.zeros_like(far)
        near[1:] |= far[:-1] & (pull[1:] * pull[:-1] > 0)
        near[:-1] |= far[1:] & (pull[:-1] * pull[1:] > 0)
        far |= near & (np.abs(pull) > OUTLIER / 2)
    return far


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
        return Spoilt(spectrum.origin, with_lost(str(error), spectrum), frozenset({"FEW_PIXELS"}))


def with_lost(why: str, observed: Observed) -> str:
    """Returns a reason with the causes of unusable pixels behind it."""
    lost = ", ".join(f"{cause} {n}" for cause, n in observed.lost.items())
    return f"{why}; unusable pixels: {lost}" if lost else why


def _labelled(
    spectrum: Observed | Spoilt, aimed: Aimed | Spoilt, posterior: ObservedPosterior, wanted: Wanted
) -> LabelledStar:
    flags = set(aimed.flags) | (set(posterior.flags) if isinstance(aimed, Aimed) else {"UNUSABLE"})
    ordered = tuple(name for name in LEGEND if name in flags)
    if isinstance(aimed, Spoilt):
        failed = replace(posterior, flags=ordered, note=aimed.reason)
        return LabelledStar(spectrum.origin, None, failed, float("nan"), aimed.reason)
    n = aimed.observed.lost.get(FAR_FROM_FIT, 0)
    said = f"{n} pixel{'s' if n > 1 else ''} {FAR_FROM_FIT} left out" if n else ""
    note = "; ".join([*filter(None, [posterior.note, said]), *aimed.notes])
    found = replace(posterior, flags=ordered, model=posterior.model if wanted.model else None)
    return LabelledStar(spectrum.origin, aimed.observed, found, aimed.resolving_power, note)
