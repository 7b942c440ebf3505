"""A spectrum as its file holds it, with what the format says of it; not yet understood."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from crlb.files.observed import Origin
from crlb.readers.options import Medium

NoiseKind = Literal["ivar", "error", "variance"]


@dataclass(frozen=True, eq=False)
class Raw:
    """Arrays of one star in the file's order and units; None: the format does not say.

    What the format does not say must be said by the user (`ReadOptions`), or is refused with the option that
    says it; `crlb.readers.understand.observed_of` makes an `Observed` of both.

    Args:
        origin: where it comes from.
        wave: wavelengths in `wave_unit`; any order, NaN allowed.
        flux: in `flux_unit`.
        noise: what `noise_kind` says, in the unit of the flux (squared, inverse squared).
        noise_kind: inverse variance (0 = unusable), 1-sigma error, or variance.
        bad: cause -> pixels that must not be used ("masked BAD" -> flags); causes may overlap.
        wave_unit: unit of `wave` as in `ReadOptions.wave_unit`.
        medium: of the wavelengths.
        flux_unit: a unit astropy knows, perhaps with a factor ("1e-17 erg/s/cm2/A"), "normalised" or
            "unknown".
        resolving_power: wave / FWHM, one number or one per pixel.
        segment: number of every pixel's arm or exposure.
        rv_kms: radial velocity that the wavelengths are already free of; None: they are as observed (a
            heliocentric correction counts as observed).
        mag: AB magnitude in i.
        labels: by name, in the units of `crlb.labels`.
        notes: what the reader of the format did or found, sentence by sentence.
    """

    origin: Origin
    wave: Float[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, " n_pix"]
    noise: Float[np.ndarray, " n_pix"] | None = None
    noise_kind: NoiseKind | None = None
    bad: Mapping[str, Bool[np.ndarray, " n_pix"]] = field(default_factory=dict)
    wave_unit: str | None = None
    medium: Medium | None = None
    flux_unit: str | None = None
    resolving_power: float | Float[np.ndarray, " n_pix"] | None = None
    segment: Int[np.ndarray, " n_pix"] | None = None
    rv_kms: float | None = None
    mag: float | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
