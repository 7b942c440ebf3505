"""The spectra that the columns of a table hold: one, one per star, or one per row."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from crlb.detector import DEFAULT_LSF_FWHM, SPEED_OF_LIGHT_KMS
from crlb.errors import DataError
from crlb.files.observed import MODEL_UNIT, NORMALISED
from crlb.readers.columns import NAMES, OWN, Table, parsed, roles_of, unit_and_medium
from crlb.readers.meta import About
from crlb.readers.options import ReadOptions
from crlb.readers.raw import NoiseKind, Raw
from crlb.readers.units import noise_factor, wave_unit

NOISE: tuple[NoiseKind, ...] = ("ivar", "error", "variance")  # the first there is wins


def raws_of(table: Table, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectra of a table: one, one per star where a column names stars, or one per row.

    Raises:
        DataError: as `roles_of`; columns that are no numbers, or of lengths that do not fit.
    """
    roles = roles_of(table, options)
    arrays = {role: np.asarray(table.columns[name]) for role, name in roles.items()}
    for role in ("wave", "flux"):
        if arrays[role].dtype.kind not in "fiub" or arrays[role].ndim not in (1, 2):
            raise DataError(
                f"{role} must be numbers, found {arrays[role].dtype} of shape {arrays[role].shape} in "
                f"'{roles[role]}'; name another column with --columns {role}=NAME"
            )
    said = _said(table, roles)
    n, shape = arrays["wave"].size, arrays["flux"].shape
    if arrays["wave"].ndim == 1 and len(shape) == 2 and shape[0] == n != shape[1]:
        # A row of the table is a pixel, a cell has that pixel of several spectra (specutils writes so).
        arrays = {role: values.T if values.shape == shape else values for role, values in arrays.items()}
    if arrays["flux"].ndim == 2:
        for row in range(len(arrays["flux"])):
            one = {role: _row(role, values, row, arrays["flux"].shape) for role, values in arrays.items()}
            origin = replace(table.origin, row=None if len(arrays["flux"]) == 1 else row)
            yield _raw(replace(table, origin=origin), roles, one, said, options)
        return
    for name, pixels in _stars(arrays):
        origin = replace(table.origin, star=name or table.origin.star or table.about.star)
        one = {role: values[pixels] for role, values in arrays.items() if role != "star"}
        yield _raw(replace(table, origin=origin), roles, one, said, options)


def _row(role: str, values: np.ndarray, row: int, shape: tuple[int, ...]) -> np.ndarray:
    """What belongs to one spectrum: its row, or what all of them share."""
    if values.ndim == 2 and values.shape == shape:
        return np.asarray(values[row])
    if role in ("star", "rv", "power") and values.shape[:1] == shape[:1]:
        return np.asarray(values[row])
    if values.shape == shape[1:]:
        return values
    raise DataError(f"{role} has shape {values.shape}, which does not fit the flux of shape {shape}")


def _stars(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, slice | np.ndarray]]:
    """Name and pixels of every star of a table with a row per pixel."""
    stars = arrays.get("star")
    if stars is None or stars.ndim != 1 or not stars.size:
        yield "", slice(None)
        return
    names, first, inverse = np.unique(stars.astype(str), return_index=True, return_inverse=True)
    # A column that numbers the pixels names no stars.
    if names.size == 1 or names.size > stars.size / 2:
        yield str(names[0]) if names.size == 1 else "", slice(None)
        return
    for i in np.argsort(first):
        yield str(names[i]), np.flatnonzero(inverse == i)


def _said(table: Table, roles: Mapping[str, str]) -> About:
    """What the columns' names and units add to what is said of all spectra."""
    name = parsed(roles["wave"])
    unit, medium = unit_and_medium(table.units.get(roles["wave"]) or table.about.wave_unit)
    unit = unit or name.unit
    own = tuple(table.columns) == OWN
    base = "log10" if name.base in NAMES["log10"] else "ln" if name.base in NAMES["ln"] else ""
    if base and not (unit and ("log" in unit or "ln" in unit or "dex" in unit)):
        unit = f"{base}({unit or 'A'})"
    if own:
        unit = unit or "A"
    flux = parsed(roles["flux"])
    flux_unit = table.units.get(roles["flux"]) or flux.unit or table.about.flux_unit
    if flux_unit is None and flux.base in ("fnu", "f_nu", "flux_nu"):
        flux_unit = "FNU"
    if flux_unit is None and "norm" in flux.base:
        flux_unit = NORMALISED
    names = ", ".join(f"{role} '{column}'" for role, column in roles.items() if role != "star")
    return replace(
        table.about,
        wave_unit=unit,
        medium=name.medium or medium or table.about.medium or ("vacuum" if own else None),
        flux_unit=flux_unit or (MODEL_UNIT if own else None),
        notes=(
            *table.about.notes,
            f"{table.word}{'' if table.named else ' without names'}: {names}",
        ),
    )


def _raw(
    table: Table,
    roles: Mapping[str, str],
    arrays: Mapping[str, np.ndarray],
    said: About,
    options: ReadOptions,
) -> Raw:
    kind = next((kind for kind in NOISE if kind in arrays), None)
    chosen = [kind for kind in NOISE if kind in options.columns and kind in arrays]
    kind = chosen[0] if chosen else kind
    factor = 1.0 if kind is None else _noise_factor(table, roles, said, kind)
    star = str(arrays["star"]) if "star" in arrays and arrays["star"].ndim == 0 else table.origin.star
    wave = _numbers("wave", arrays["wave"])
    power = _power(arrays["power"]) if "power" in arrays else None
    if power is None and tuple(table.columns) == OWN:
        power = wave / DEFAULT_LSF_FWHM  # tables of `crlb spectrum`
    if "rv" in arrays and options.rv_kms is None:
        wave, said = _without_velocity(wave, table, roles, arrays["rv"], said, options)
    return said.raw(
        origin=replace(table.origin, star=star or said.star),
        wave=wave,
        flux=_numbers("flux", arrays["flux"]),
        noise=None if kind is None else _numbers(kind, arrays[kind]) * factor,
        noise_kind=kind,
        bad=_bad(roles, arrays, options),
        resolving_power=power,
    )


def _without_velocity(
    wave: np.ndarray,
    table: Table,
    roles: Mapping[str, str],
    rv: np.ndarray,
    said: About,
    options: ReadOptions,
) -> tuple[np.ndarray, About]:
    """Wavelengths without the velocity that a column has, km/s unless its unit says m/s."""
    known = np.atleast_1d(_numbers("rv", rv))
    known = known[np.isfinite(known)]
    unit = wave_unit(options.wave_unit or said.wave_unit or "")
    if not known.size or unit is None:
        return wave, replace(said, notes=(*said.notes, f"no velocity in '{roles['rv']}': none removed"))
    metres = table.units.get(roles["rv"], "").replace(" ", "").lower() in ("m/s", "ms-1", "ms^-1", "m.s-1")
    velocity = float(known[0]) / (1000 if metres else 1)
    ratio = 1 + velocity / SPEED_OF_LIGHT_KMS
    if not ratio > 0:
        raise DataError(f"velocity of {velocity:g} km/s in '{roles['rv']}': beyond that of light")
    shifted = wave / ratio if unit.base is None else wave - np.log(ratio) / np.log(unit.base)
    said = replace(said, notes=(*said.notes, f"velocity of '{roles['rv']}' removed"), rv_kms=velocity)
    return shifted, said


def _noise_factor(table: Table, roles: Mapping[str, str], said: About, kind: NoiseKind) -> float:
    """By what the errors are to be multiplied to be in the unit of the flux."""
    unit = table.units.get(roles[kind]) or parsed(roles[kind]).unit
    return noise_factor(said.flux_unit, unit, kind) if unit and said.flux_unit else 1.0


def _numbers(role: str, values: np.ndarray) -> np.ndarray:
    """Float64 in the machine's byte order."""
    if values.dtype.kind not in "fiu":
        raise DataError(
            f"{role} must be numbers, found {values.dtype}; name another with --columns {role}=NAME"
        )
    return values.astype(np.float64)


def _power(values: np.ndarray) -> float | np.ndarray:
    return float(values) if values.ndim == 0 else _numbers("resolving power", values)


def _bad(
    roles: Mapping[str, str], arrays: Mapping[str, np.ndarray], options: ReadOptions
) -> dict[str, np.ndarray]:
    """Pixels that a mask column excludes: any bit, or those asked for."""
    bad: dict[str, np.ndarray] = {}
    if "good" in arrays and "mask" not in options.columns:
        bad[f"masked {roles['good']}"] = ~_truth(arrays["good"])
    if "mask" in arrays:
        bad.update(masked(arrays["mask"], roles["mask"], options.mask_bits))
    elif options.mask_bits not in (None, ("all",), ("none",)):
        raise DataError("--mask has no effect: there is no mask; name it with --columns mask=NAME")
    return bad


def masked(values: np.ndarray, name: str, bits: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    """Returns cause -> pixels that a mask without names of its bits excludes.

    Args:
        values: numbers or truth values, 0 = good.
        name: of the mask.
        bits: numbers of the bits that count; None or ("all",): every one; ("none",): none of them.

    Raises:
        DataError: a bit is named, though the file names none.
    """
    if bits == ("none",):
        return {}
    if bits is None or bits == ("all",) or values.dtype.kind in "bUSO":
        return {f"masked {name}": _truth(values)}
    if not all(bit.isdecimal() and int(bit) < 64 for bit in bits):
        raise DataError(f"--mask must be numbers from 0, as '{name}' has no names, found {', '.join(bits)}")
    whole = np.where(np.isfinite(values), values, 0).astype(np.int64)
    return {f"masked {name} bit {bit}": (whole >> int(bit)) & 1 == 1 for bit in bits}


def _truth(values: np.ndarray) -> np.ndarray:
    """True where a number is not 0 (also NaN), or a word says yes."""
    if values.dtype.kind in "USO":
        words = np.char.lower(np.char.strip(values.astype(str)))
        return np.isin(words, ["true", "t", "1", "1.0", "yes", "y"])
    truth: np.ndarray = values != 0
    return truth
