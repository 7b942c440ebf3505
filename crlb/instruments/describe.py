"""A spectrograph from its description."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from crlb.detector import Detector
from crlb.errors import DataError
from crlb.instruments.noise import Electrons, arm_electrons, noise_model, uncalibrated
from crlb.instruments.pixels import arm_pixels
from crlb.instruments.values import Section, section
from crlb.observation.spectrograph import Spectrograph

MOST_ARMS = 20
NOT_KNOWN = "no noise described: photons alone, for a given signal-to-noise ratio"


def described(values: object, place: str, folder: Path) -> Spectrograph:
    """Returns the spectrograph that a mapping describes (`crlb instrument new` explains its keys).

    Args:
        values: the description.
        place: what to call it in errors.
        folder: which names of files start from.

    Raises:
        DataError: a value is missing, unknown or out of range.
        MissingInputError: a file cannot be read.
    """
    whole, arms = _sections(values, place, folder)
    parts = _pixels(whole, arms)
    detector = joined([part for _, part in parts], whole.words("name"))
    with jax.enable_x64(True):
        electrons = [_electrons(whole, arm, part) for arm, (_, part) in zip(arms, parts, strict=True)]
        known = [one for one in electrons if one is not None]
        if known and len(known) < len(arms):
            raise DataError(f"{place}: needed the noise of all arms, or of none; some have none")
        source = whole.words("source", "own description")
        noise = noise_model(
            known or [uncalibrated(detector)], detector, _band(whole),
            source if known else f"{source}; {NOT_KNOWN}",
        )  # fmt: skip
    lengths = tuple((own, len(part)) for own, part in parts)
    return Spectrograph(detector, noise, lengths, calibrated=bool(known))


def described_pixels(values: object, place: str, folder: Path) -> Detector:
    """Returns the pixels of the spectrograph that a mapping describes; nothing of it is computed by jax.

    Arguments and errors as `described`.
    """
    whole, arms = _sections(values, place, folder)
    return joined([part for _, part in _pixels(whole, arms)], whole.words("name"))


def _sections(values: object, place: str, folder: Path) -> tuple[Section, list[Section]]:
    """The description of a spectrograph, and those of its arms."""
    whole = section(values, place, folder).only("name", "source", "arms", "magnitude", "noise")
    whole.words("name")  # the first thing that is missed
    arms = whole.sections("arms")
    if len(arms) > MOST_ARMS:
        raise DataError(f"{place}: needed at most {MOST_ARMS} arms, found {len(arms)}")
    return whole, arms


def _pixels(whole: Section, arms: Sequence[Section]) -> list[tuple[str, Detector]]:
    """Name and pixels of every arm."""
    names = [arm.only("name", "pixels", "fwhm", "resolving_power", "noise").words("name") for arm in arms]
    if len(set(names)) != len(names):
        raise DataError(f"{whole.place}: names of the arms must differ, found {', '.join(names)}")
    name = whole.words("name")
    return [
        (own, arm_pixels(replace(arm, place=f"{whole.place}, arm {own}"), name))
        for arm, own in zip(arms, names, strict=True)
    ]


def joined(parts: Sequence[Detector], name: str) -> Detector:
    """Returns the pixels of all arms, one arm after the other."""
    low, high, fwhm = (
        np.concatenate([getattr(one, key) for one in parts]) for key in ("low", "high", "lsf_fwhm")
    )
    return Detector(low, high, fwhm, name)


def _electrons(whole: Section, arm: Section, detector: Detector) -> Electrons | None:
    """The noise of an arm, its own or that of all; None: none is described."""
    owner = arm if arm.has("noise") else whole
    if owner.values.get("noise", "none") == "none":
        return None
    return arm_electrons(owner.section("noise"), detector)


def _band(whole: Section) -> tuple[float, float] | None:
    """The wavelengths between which magnitudes are means, Å."""
    if not whole.has("magnitude"):
        return None
    ends = whole.array("magnitude")
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise DataError(f"{whole.place}: magnitude must be [start, end] in Å, found {ends.tolist()}")
    return float(ends[0]), float(ends[1])
