"""What headers, comments and metadata say of spectra: medium, units, names, labels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from crlb.files.observed import Origin
from crlb.readers.options import Medium
from crlb.readers.raw import NoiseKind, Raw

# Keywords in lower case, "-" as "_"; the first there is wins.
STAR = ("object", "stariden", "star", "starname", "target", "objname", "obj", "source_id", "targname", "name")
LABELS = {
    "T_eff": ("t_eff", "teff"),
    "log_g": ("log_g", "logg"),
    "M_H": ("m_h", "mh", "fe_h", "feh"),
    "a_M": ("a_m", "alpha_m"),
    "C_M": ("c_m",),
}
MEDIUM = ("wave_medium", "wavemedium", "medium", "airorvac", "vac_air", "airvac", "wavemed")
WAVE_UNIT = ("wave_unit", "waveunit")
FLUX_UNIT = ("flux_unit", "bunit", "fluxunit")
NO_DATA = -999.0  # magnitudes at or below stand for "unknown"
POSSIBLE = {"T_eff": (1000.0, 1e5)}  # K; a label beyond stands for "unknown"
DEX = (-10.0, 10.0)  # as `POSSIBLE`, of labels in dex: 99 and -99 are none


@dataclass(frozen=True)
class About:
    """What a file says of its spectra besides their numbers; None: it does not say.

    Args:
        wave_unit: of the wavelengths.
        medium: of the wavelengths.
        flux_unit: of the fluxes.
        star: name of the star.
        mag: AB magnitude in i.
        rv_kms: radial velocity that the wavelengths are already free of.
        labels: by name, in the units of `crlb.labels`.
        notes: what was found, in sentences.
    """

    wave_unit: str | None = None
    medium: Medium | None = None
    flux_unit: str | None = None
    star: str = ""
    mag: float | None = None
    rv_kms: float | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def raw(
        self,
        origin: Origin,
        wave: np.ndarray,
        flux: np.ndarray,
        noise: np.ndarray | None,
        noise_kind: NoiseKind | None,
        bad: Mapping[str, np.ndarray],
        resolving_power: float | np.ndarray | None,
    ) -> Raw:
        """Returns a spectrum of which this is said."""
        return Raw(
            origin=origin if origin.star else replace(origin, star=self.star),
            wave=wave,
            flux=flux,
            noise=noise,
            noise_kind=noise_kind,
            bad=bad,
            wave_unit=self.wave_unit,
            medium=self.medium,
            flux_unit=self.flux_unit,
            resolving_power=resolving_power,
            rv_kms=self.rv_kms,
            mag=self.mag,
            labels=self.labels,
            notes=self.notes,
        )


def about(given: Mapping[str, object]) -> About:
    """Returns what keywords say, in any case; those that say nothing understandable are passed over."""
    words = {key.lower().replace("-", "_").strip(): value for key, value in given.items()}
    names = [str(words[key]).strip() for key in STAR if words.get(key) not in (None, "")]
    labels = {name: _label(words, name) for name in LABELS}
    return About(
        wave_unit=_text(words, WAVE_UNIT),
        medium=_medium(words),
        flux_unit=_text(words, FLUX_UNIT),
        star=names[0] if names else "",
        mag=_first_number(words, ("mag",)) if "snr" in words else None,
        labels={name: value for name, value in labels.items() if value is not None},
    )


def _label(words: Mapping[str, object], name: str) -> float | None:
    """A label by its keywords; None: not there, or a number that stands for "unknown"."""
    value = _first_number(words, LABELS[name])
    low, high = POSSIBLE.get(name, DEX)
    return value if value is not None and low < value < high else None


def medium_in(text: str) -> Medium | None:
    """Returns the medium that a text names as a word; None: none, or both."""
    air = re.search(r"(?i)\bair\b", text) is not None
    vacuum = re.search(r"(?i)\bvac(uum)?\b", text) is not None
    if air == vacuum:
        return None
    return "air" if air else "vacuum"


def _medium(words: Mapping[str, object]) -> Medium | None:
    for key in MEDIUM:
        if key in words and (found := medium_in(str(words[key]))):
            return found
    if isinstance(vacuum := words.get("vacuum"), bool | np.bool_ | int | str):
        said = str(vacuum).strip().lower()
        if said in ("true", "t", "1", "yes"):
            return "vacuum"
        if said in ("false", "f", "0", "no"):
            return "air"
    return None


def _text(words: Mapping[str, object], keys: tuple[str, ...]) -> str | None:
    found = [str(words[key]).strip() for key in keys if words.get(key) not in (None, "")]
    return found[0] if found else None


def _first_number(words: Mapping[str, object], keys: tuple[str, ...]) -> float | None:
    """The first number under one of these keywords; words such as "-" are none."""
    for key in keys:
        try:
            value = float(cast(float, words.get(key, "")))
        except (TypeError, ValueError):
            continue
        if np.isfinite(value) and value > NO_DATA:
            return value
    return None
