"""Observed spectra in, labelled stars out, batch by batch: a star's row does not depend on the others'."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from crlb.files.flags import flag_text
from crlb.files.observed import Observed, Origin
from crlb.readers.many import Spoilt
from specvit_jax.evaluation.distance import Compared, Frame, compare
from specvit_jax.evaluation.labelled import LabelledStars
from specvit_jax.evaluation.predict import BATCH, Predictions, predict
from specvit_jax.evaluation.prepared import Prepared, Reads, prepare
from specvit_jax.network.weights import Weights
from specvit_jax.settings.observed_under import LEVEL, conditions_in

STRANGE = 1e-3  # p-value below which a spectrum is unlike those of the training


def label_stars(
    weights: Weights,
    reads: Reads,
    frame: Frame | None,
    spectra: Iterable[Observed | Spoilt],
    batch: int = BATCH,
) -> Iterator[LabelledStars]:
    """Yields labelled stars in batches, in the order of the spectra.

    Every batch has the same shape, and a spectrum that cannot be used keeps its place in it, so that it
    changes no other row, bit for bit.

    Args:
        weights: of the network.
        reads: its pixels and what it was trained on.
        frame: of the training set; None: it is not known, and neither is the distance from it.
        spectra: the stars.
        batch: spectra at once.
    """
    spectra = iter(spectra)
    while group := list(islice(spectra, batch)):
        stars = [one if isinstance(one, Spoilt) else prepare(one, reads) for one in group]
        origins = tuple(one.origin for one in group)
        compared = _compared(stars, typical_flux(weights), frame, batch)
        found = predict(weights, compared.flux, _mask(stars, weights, batch), batch)
        edges = None if reads.training is None or _says_classes(weights) else reads.training.label_range
        yield _table(stars, origins, compared, found, edges)


def _says_classes(weights: Weights) -> bool:
    """Whether a network says a probability, which has no edge of the training."""
    return weights.config.model.threshold is not None


def typical_flux(weights: Weights) -> np.ndarray:
    """The flux of a network's training: its mean, or 0.5 in every pixel for one that reads flux as it is."""
    mean = np.asarray(weights.input_scaler.mean)
    return np.full_like(mean, LEVEL) if weights.config.data.input_scaling == "none" else mean


def _compared(
    stars: Sequence[Prepared | Spoilt], mean: np.ndarray, frame: Frame | None, batch: int
) -> Compared:
    """The spectra at the scale of the training, filled up to a whole batch with what stands for nothing."""
    flux, ivar = np.zeros((batch, len(mean))), np.zeros((batch, len(mean)))
    for i, one in enumerate(stars):
        if isinstance(one, Prepared):
            flux[i], ivar[i] = one.flux, one.ivar
    if frame is not None:
        return compare(flux, ivar, frame)
    unknown = np.full(batch, np.nan)
    scale = np.ones(batch)
    for i, one in enumerate(stars):
        if isinstance(one, Prepared):
            usable = one.ivar > 0
            scale[i] = np.median(mean[usable]) / np.median(one.flux[usable])
    filled = np.where(ivar > 0, flux * scale[:, None], mean[None]).astype(np.float32)
    return Compared(filled, scale, unknown, unknown, unknown)


def _mask(stars: Sequence[Prepared | Spoilt], weights: Weights, batch: int) -> np.ndarray | None:
    """1 for usable pixels, 0 for others, for a network that was taught lost pixels; None: they are filled.

    A spectrum that cannot be used counts as usable throughout: it only keeps a place.
    """
    if not conditions_in(weights.config.data.conditions).lost:
        return None
    found = np.ones((batch, len(weights.input_scaler.mean)), np.float32)
    for i, one in enumerate(stars):
        if isinstance(one, Prepared):
            found[i] = one.ivar > 0
    return found


def _table(
    stars: Sequence[Prepared | Spoilt],
    origins: tuple[Origin, ...],
    compared: Compared,
    found: Predictions,
    edges: np.ndarray | None,
) -> LabelledStars:
    good = np.array([isinstance(one, Prepared) for one in stars])
    n = len(stars)
    used = [one if isinstance(one, Prepared) else None for one in stars]
    labels = np.where(good[:, None], found.labels[:n].astype(np.float64), np.nan)
    sigma = found.sigma
    if sigma is not None:
        sigma = np.where(good[:, None], sigma[:n].astype(np.float64), np.nan)
    p_value = np.where(good, compared.p_value[:n], np.nan)
    flags = [_flags(one, p) for one, p in zip(stars, p_value, strict=True)]
    for i in np.flatnonzero(_at_edge(labels, sigma, edges)):
        flags[i] = flags[i] | {"EDGE"}
    return LabelledStars(
        label_names=found.label_names,
        labels=labels,
        sigma=sigma,
        origins=origins,
        snr=_numbers(used, "snr"),
        good_pixels=_numbers(used, "good"),
        distance=np.where(good, compared.distance[:n], np.nan),
        p_value=p_value,
        rv_kms=_numbers(used, "rv_kms"),
        flags=tuple(flag_text(each) for each in flags),
        notes=tuple(one.reason if isinstance(one, Spoilt) else "; ".join(one.notes) for one in stars),
    )


def _numbers(stars: Sequence[Prepared | None], name: str) -> np.ndarray:
    return np.array([np.nan if one is None else getattr(one, name) for one in stars], np.float64)


def _flags(star: Prepared | Spoilt, p_value: float) -> frozenset[str]:
    if isinstance(star, Spoilt):
        return star.flags | {"UNUSABLE"}
    return star.flags | ({"OUT_OF_DISTRIBUTION"} if p_value < STRANGE else set())


def _at_edge(labels: np.ndarray, sigma: np.ndarray | None, edges: np.ndarray | None) -> np.ndarray:
    """Stars with a label within its sigma of an edge of the training, or beyond; None: there are no edges."""
    if edges is None:
        return np.zeros(len(labels), bool)
    low, high = edges
    width = 0.0 if sigma is None else sigma
    found: np.ndarray = ((labels - width < low) | (labels + width > high)).any(axis=1)
    return found
