"""An observed spectrum on the pixels of a network, and how it differs from those it was taught."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.flags import LEAST_PIXELS, LEAST_RANGE, LEAST_SNR
from crlb.files.observed import MODEL_UNIT, NORMALISED, UNKNOWN_UNIT, Observed
from crlb.readers.combine import resampled
from crlb.readers.many import Spoilt
from specvit_jax.evaluation.instrument import Found, at_rest
from specvit_jax.evaluation.resolution import smoothed
from specvit_jax.evaluation.training_set import TrainingSet

COVERED = 0.95  # of the pixels must be usable, or the conditions count as others
OTHER_ERRORS = 1.5  # ratio to the errors of the training that counts as other noise
OTHER_SNR = 1.1  # ratio to the range of the training that counts as another magnitude
COARSER = 1.25  # times less resolving power counts as another one
SHARPER = 1.05  # times more, and the spectrum is smoothed
SAME_PIXELS = 0.01  # of a pixel: wavelengths that differ less are the same
STRETCHES = 16  # of the spectrum, in which the errors are compared
SIGNIFICANT = 5.0  # sigma by which the median of a flux must be above zero
MEDIAN_SIGMA = 1.4826  # standard deviation per median absolute deviation of normal numbers
SECOND_DIFFERENCE = 1.5  # variance of f1 - (f0 + f2)/2, per variance of f


@dataclass(frozen=True, eq=False)
class Prepared:
    """A spectrum on the pixels of a network, at its own scale.

    Args:
        flux: 0 where not usable.
        ivar: inverse variance; 0 where not usable.
        snr: median over usable pixels of flux/error; where the file has no errors, from the scatter.
        good: fraction of the network's pixels that are usable.
        rv_kms: radial velocity that was removed, km/s; NaN: none, it is not known.
        flags: of `crlb.files.flags`.
        notes: what was found, and in which conditions it differs from the training, in words.
    """

    flux: Float[np.ndarray, " n_pix"]
    ivar: Float[np.ndarray, " n_pix"]
    snr: float
    good: float
    rv_kms: float
    flags: frozenset[str]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Reads:
    """What a network reads.

    Args:
        wave: its pixels, vacuum Å.
        lsf_fwhm: full width at half maximum of the lines it was taught, Å.
        training: the spectra it was trained on; None: not known.
    """

    wave: Float[np.ndarray, " n_pix"]
    lsf_fwhm: float
    training: TrainingSet | None

    @cached_property
    def power(self) -> float:
        """Resolving power in the middle of the pixels."""
        return float(np.mean(self.wave)) / self.lsf_fwhm

    @cached_property
    def spacing(self) -> float:
        """Å per pixel."""
        return float(np.median(np.diff(self.wave)))


class Brought(NamedTuple):
    """A spectrum on the pixels of a network, and how it came there."""

    found: Observed
    same: bool  # its own pixels are the network's
    power: float | None  # its resolving power; None: not known
    velocity: Found | None  # that was searched; None: it is stated


def prepare(observed: Observed, reads: Reads) -> Prepared | Spoilt:
    """The spectrum on the pixels of a network: at rest, flux conserved, segments combined; or why not."""
    try:
        brought = _bring(observed if observed.has_errors else _with_errors(observed), reads)
    except DataError as error:
        return Spoilt(observed.origin, str(error))
    found = brought.found
    usable = found.usable
    if reason := _too_few(usable, reads):
        return Spoilt(observed.origin, reason, frozenset({"FEW_PIXELS"}))
    flux = found.flux[usable]
    middle, snr = float(np.median(flux)), found.snr
    if reason := _no_flux(flux, middle):
        return Spoilt(observed.origin, reason, frozenset({"BAD_SCALE"}))
    good = flux.size / usable.size
    notes = (
        *_other_sampling(reads, brought),
        *_other_flux(found.unit, good),
        *_other_noise(found, snr, middle, reads.training),
    )
    flags = {
        "NO_ERRORS": not observed.has_errors,
        "LOW_SNR": snr < LEAST_SNR,
        "CONDITIONS": bool(notes),
        "RESOLUTION": brought.power is None or brought.power > SHARPER * reads.power,
        "VELOCITY": brought.velocity is not None and bool(brought.velocity.warning),
    }
    said = () if brought.velocity is None else brought.velocity.said
    return Prepared(
        flux=found.flux,
        ivar=found.ivar,
        snr=snr,
        good=good,
        rv_kms=_removed(brought),
        flags=frozenset(name for name, holds in flags.items() if holds),
        notes=(*said, *notes),
    )


def _bring(observed: Observed, reads: Reads) -> Brought:
    velocity = None
    if observed.rv_kms is None and not _own(observed, reads.wave):
        observed, velocity = at_rest(observed)
    same = _same_pixels(observed.wave, reads.wave)
    power = _power(observed, reads, velocity)
    found = observed if same else resampled(observed, reads.wave)
    if power is not None and power > SHARPER * reads.power:
        found = smoothed(found, reads.wave / power, reads.lsf_fwhm)
    return Brought(found, same, power, velocity)


def _removed(brought: Brought) -> float:
    """The velocity that was removed, km/s: 0 for files that are at rest by themselves, NaN: none is known."""
    if brought.found.rv_kms is not None:
        return brought.found.rv_kms
    return 0.0 if brought.velocity is None else float("nan")


def _own(observed: Observed, wave: np.ndarray) -> bool:
    """Whether this is a spectrum of one of this project's own files: at rest, whatever is not said."""
    return observed.unit == MODEL_UNIT and _same_pixels(observed.wave, wave)


def _same_pixels(wave: np.ndarray, wanted: np.ndarray) -> bool:
    if wave.shape != wanted.shape:
        return False
    if wave is wanted or np.array_equal(wave, wanted):
        return True
    return bool((np.abs(wave - wanted) <= SAME_PIXELS * np.gradient(wanted)).all())


def _too_few(usable: np.ndarray, reads: Reads) -> str:
    n, length = int(usable.sum()), float(usable.sum()) * reads.spacing
    if n >= min(LEAST_PIXELS, usable.size // 2) and length >= min(
        LEAST_RANGE, reads.spacing * usable.size / 2
    ):
        return ""
    span = f"{reads.wave[0]:.0f} to {reads.wave[-1]:.0f} Å"
    return f"{n} usable pixels between {span}, where the network reads; {LEAST_PIXELS} are needed"


def _with_errors(observed: Observed) -> Observed:
    """With the errors that the scatter of neighbouring pixels tells, one for each segment."""
    ivar = observed.ivar.copy()
    for part in observed.parts():
        usable = observed.usable[part]
        ivar[part] = np.where(usable, _scatter(observed.flux[part], usable) ** -2, 0.0)
    return replace(observed, ivar=ivar, has_errors=True)


def _scatter(flux: np.ndarray, usable: np.ndarray) -> float:
    """Standard deviation of the noise from second differences of neighbours, which spectra hardly show.

    At least 1 in 10,000 of the flux: none is infinitely good.
    """
    inner = usable[1:-1] & usable[:-2] & usable[2:]
    differences = (flux[1:-1] - 0.5 * (flux[:-2] + flux[2:]))[inner]
    found = MEDIAN_SIGMA * float(np.median(np.abs(differences))) if differences.size else 0.0
    least = 1e-4 * float(np.median(np.abs(flux[usable]))) if usable.any() else 0.0
    return max(found / float(np.sqrt(SECOND_DIFFERENCE)), least, 1e-30)


def _no_flux(flux: np.ndarray, middle: float) -> str:
    """Why flux of this median is that of no star: it is not above zero by its own scatter."""
    spread = MEDIAN_SIGMA * float(np.median(np.abs(flux - middle)))
    # The median of n normal numbers scatters by sqrt(pi / 2 n) of their own deviation.
    least = SIGNIFICANT * spread * (np.pi / 2 / flux.size) ** 0.5
    if middle > least and middle > 0:
        return ""
    return f"the median of the flux, {middle:.3g}, is not above zero (its scatter {spread:.3g}): no star"


def _power(observed: Observed, reads: Reads, velocity: Found | None) -> float | None:
    """The resolving power in the middle of the network's pixels, as stated, else as it was found."""
    if observed.resolving_power is None:
        return None if velocity is None else velocity.resolving_power
    nearest = int(np.argmin(np.abs(observed.wave - np.mean(reads.wave))))
    found = float(observed.resolving_power[nearest])
    return found if np.isfinite(found) else None


def _other_sampling(reads: Reads, brought: Brought) -> tuple[str, ...]:
    said = [] if brought.same else ["resampled to the network's pixels"]
    power, velocity = brought.power, brought.velocity
    if power is None:
        said.append("resolving power not stated")
    elif power > SHARPER * reads.power:
        said.append(f"smoothed from a resolving power of {power:.0f} to {reads.power:.0f}")
    elif power < reads.power / COARSER:
        said.append(f"resolving power {power:.0f}, trained for {reads.power:.0f}")
    if velocity is not None and velocity.rv_kms is None:
        said.append("velocity not known, none found: taken as at rest")
    return tuple(said)


def _other_flux(unit: str, good: float) -> tuple[str, ...]:
    said = []
    if unit == NORMALISED:
        said.append("the continuum was divided out, which the network was not taught")
    if unit == UNKNOWN_UNIT:
        said.append("the unit of the flux is not known: taken as per Å")
    if good < COVERED:
        said.append(f"{100 * good:.0f} % of the pixels usable")
    return tuple(said)


def _other_noise(found: Observed, snr: float, middle: float, training: TrainingSet | None) -> tuple[str, ...]:
    """How SNR and shape of the errors of a spectrum of this median differ from those of the training."""
    if training is None:
        return ()
    said = []
    low, high = (float(end) for end in training.snr_range)
    if not low / OTHER_SNR <= snr <= high * OTHER_SNR:
        said.append(f"SNR {snr:.3g}, trained for {low:.2g} to {high:.2g}")
    worst = _worst_error(found, middle, training, training.errors_at(training.mag_of(snr)))
    if not 1 / OTHER_ERRORS <= worst <= OTHER_ERRORS:
        said.append(f"errors {worst:.2g} times those of the training at this SNR, at the worst place")
    return tuple(said)


def _worst_error(found: Observed, middle: float, training: TrainingSet, taught: np.ndarray) -> float:
    """Ratio of the errors to those of the training in the stretch of the spectrum where it is largest."""
    usable = found.usable
    scale = float(np.median(training.mean[usable])) / middle
    stretch = np.arange(usable.size) * STRETCHES // usable.size
    ratio = scale / np.sqrt(found.ivar[usable]) / taught[usable]
    parts = np.split(ratio, np.flatnonzero(np.diff(stretch[usable])) + 1)
    medians = np.array([_median(part) for part in parts])
    return float(medians[np.argmax(np.abs(np.log(medians)))])


def _median(values: np.ndarray) -> float:
    """Without the generality of numpy's, which takes ten times as long for a few hundred numbers."""
    return float(np.partition(values, values.size // 2)[values.size // 2])
