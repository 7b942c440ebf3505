"""Columns of a table of spectra: which is what, by name, and the spectra they hold."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from crlb.errors import DataError
from crlb.files.observed import MODEL_UNIT, NORMALISED, Origin
from crlb.readers.meta import About, medium_in
from crlb.readers.options import Medium, ReadOptions
from crlb.readers.raw import NoiseKind, Raw
from crlb.readers.units import noise_factor, wave_unit

# Names in lower case, words joined by "_"; the first of each is the one that wins over the others.
NAMES: dict[str, tuple[str, ...]] = {
    "wave": (
        *("wave", "wavelength", "wavelengths", "lambda", "lam", "wl", "wlen", "wavelen", "wavel", "ll"),
        *("waveobs", "wave_obs", "lambda_obs", "spectral_axis", "λ", "wavelength_vacuum", "wvl"),
    ),
    "log10": (
        "loglam",
        "log_lam",
        "loglambda",
        "log_lambda",
        "logwave",
        "log_wave",
        "log10_wave",
        "loglam10",
    ),
    "ln": ("lnlam", "lnlambda", "ln_lambda", "lnwave", "ln_wave"),
    "flux": (
        *("flux", "fluxes", "flam", "f_lambda", "flambda", "flux_lambda", "fnu", "f_nu", "flux_nu"),
        *("flux_density", "fluxdensity", "spec", "spectrum", "counts", "intensity", "norm_flux", "flux_norm"),
        *("normalized_flux", "normalised_flux", "flux_normalized", "flux_normalised", "nflux", "normflux"),
    ),
    "error": (
        *("error", "err", "sigma", "sig", "flux_error", "flux_err", "fluxerr", "fluxerror", "uncertainty"),
        *("unc", "flux_unc", "flux_uncertainty", "e_flux", "eflux", "std", "stddev", "stdev", "flux_sigma"),
        *(
            "flux_std",
            "sigma_flux",
            "err_flux",
            "error_flux",
            "errors",
            "errs",
            "noise",
            "dflux",
            "fluxsigma",
        ),
    ),
    "ivar": ("ivar", "invvar", "inverse_variance", "inv_var", "flux_ivar", "ivar_flux", "inversevariance"),
    "variance": ("variance", "var", "flux_var", "fluxvar", "var_flux", "flux_variance", "fluxvariance"),
    "mask": (
        *("mask", "and_mask", "flag", "flags", "bad", "dq", "dataqual", "data_quality", "quality", "qual"),
        *("pixmask", "flux_mask", "badpix", "bad_pixel", "maskbits", "or_mask", "masked"),
    ),
    "good": ("good", "usable", "goodpix", "good_pixel", "ok"),
    "power": ("resolving_power", "specres"),
    "star": (
        *("source_id", "star", "star_id", "object", "object_id", "obj_id", "objid", "targetid", "target_id"),
        *("target", "spectrum_id", "spec_id", "sourceid", "name", "id"),
    ),
}
NOISE: tuple[NoiseKind, ...] = ("ivar", "error", "variance")  # the first there is wins
OWN = ("wave", "flux", "error", "noisy")  # columns that `crlb spectrum` writes
_UNIT = re.compile(r"^(.*?)\s*[\[(]\s*(.*?)\s*[\])]\s*$")
_SUFFIX = re.compile(r"^(.+?)_(nm|um|micron|microns|a|aa|ang|angstrom|angstroms|vac|vacuum|air)$")


@dataclass(frozen=True)
class Name:
    """A column's name taken apart: "wave_air [nm]" is wave, nm, air."""

    base: str
    unit: str | None = None
    medium: Medium | None = None


def parsed(name: str) -> Name:
    """Returns base name, unit and medium that a column's name says."""
    found = _UNIT.match(name.strip())
    base, unit = (found[1], found[2]) if found else (name.strip(), None)
    medium = medium_in(unit or "")
    if medium and unit:
        unit = re.sub(r"(?i)\b(in|vac|vacuum|air)\b[ ,;]*", "", unit).strip(" ,;") or None
    base = re.sub(r"[\s\-.]+", "_", base.lower())
    known = {one for names in NAMES.values() for one in names}
    while base not in known and (found := _SUFFIX.match(base)):
        base, word = found[1], found[2]
        if wave_unit(word):
            unit = unit or word
        else:
            medium = "air" if word == "air" else "vacuum"
    return Name(base, unit, medium)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns as arrays, one value per pixel, or one row of pixels per spectrum.

    Args:
        columns: by name; masked numbers are NaN.
        units: of columns, where they are said.
        about: what headers and comments say of all spectra.
        origin: where it comes from.
        named: whether the file names its columns; otherwise their names are numbers from 1.
        word: for what the columns are in the file.
    """

    columns: Mapping[str, np.ndarray]
    origin: Origin
    units: Mapping[str, str] = field(default_factory=dict)
    about: About = field(default_factory=lambda: About())
    named: bool = True
    word: str = "columns"


def roles_of(table: Table, options: ReadOptions) -> dict[str, str]:
    """Returns role -> name of its column: as the options say, else by what the names mean.

    Raises:
        DataError: an option names a column that is not there; wave or flux is missing, or two columns could
            be it.
    """
    names = list(table.columns)
    roles = {role: _chosen(role, column, names) for role, column in options.columns.items()}
    for role in NAMES:
        if role not in roles and not (role in ("log10", "ln") and roles.get("wave")):
            roles[role] = _by_name(role, table)
    if not table.named and not options.columns:
        return _unnamed(names)
    if roles.get("wave") is None:
        roles["wave"] = roles.get("log10") or roles.get("ln")
    if "flux" not in options.columns and tuple(names) == OWN:
        roles["flux"] = "noisy"
    for role in ("wave", "flux"):
        if roles.get(role) is None:
            raise DataError(
                f"no column for {role} among {_listed(names)}; name it with --columns {role}=NAME"
            )
    return {role: column for role, column in roles.items() if column and role not in ("log10", "ln")}


def _chosen(role: str, column: str, names: Sequence[str]) -> str | None:
    """The column that an option names: as it is, in another case, without its unit, or by number from 1."""
    if column.lower() == "none" and "none" not in names:
        return None
    for found in (
        [name for name in names if name == column],
        [name for name in names if name.lower() == column.lower()],
        [name for name in names if parsed(name).base == column.lower()],
    ):
        if len(found) == 1:
            return found[0]
    if column.isdecimal() and 1 <= int(column) <= len(names):
        return names[int(column) - 1]
    raise DataError(f"--columns {role}={column}: no such column; the columns are {_listed(names)}")


def _by_name(role: str, table: Table) -> str | None:
    """The column that a role has by its name; None: there is none."""
    found = [name for name in table.columns if parsed(name).base in NAMES[role]]
    if role == "wave":
        vacuum = [name for name in found if parsed(name).medium == "vacuum"]
        found = vacuum if len(vacuum) == 1 else found
    if len(found) <= 1 or role == "star":
        return found[0] if found else None
    best = [name for name in found if parsed(name).base == NAMES[role][0]]
    second = [name for name in found if role == "mask" and parsed(name).base == "and_mask"]
    if len(best) == 1 or len(second) == 1:
        return (best if len(best) == 1 else second)[0]
    role = {"log10": "wave", "ln": "wave", "good": "mask"}.get(role, role)
    raise DataError(
        f"several columns could be {role}: {_listed(found)}; name it with --columns {role}=NAME"
        + (f" ({role}=none for none)" if role not in ("wave", "flux") else "")
    )


def _unnamed(names: Sequence[str]) -> dict[str, str]:
    """Two columns without names are wave and flux, three have the error, too."""
    if len(names) not in (2, 3):
        raise DataError(
            f"{len(names)} columns without names; say which is which: --columns wave=1 flux=2 error=3"
        )
    return dict(zip(("wave", "flux", "error"), names, strict=False))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:40])
    return (shown or "none") + (f" and {len(names) - 40} more" if len(names) > 40 else "")


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
    if arrays["flux"].ndim == 2:
        for row in range(len(arrays["flux"])):
            one = {role: _row(role, values, row, arrays["flux"].shape) for role, values in arrays.items()}
            origin = replace(table.origin, row=None if len(arrays["flux"]) == 1 else row)
            yield _raw(replace(table, origin=origin), roles, one, said, options)
        return
    for name, pixels in _stars(arrays):
        origin = replace(table.origin, star=name or table.about.star)
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
    unit = table.units.get(roles["wave"]) or name.unit or table.about.wave_unit
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
    listed = ", ".join(f"{role} '{column}'" for role, column in roles.items() if role != "star")
    return replace(
        table.about,
        wave_unit=unit,
        medium=name.medium or table.about.medium or ("vacuum" if own else None),
        flux_unit=flux_unit or (MODEL_UNIT if own else None),
        notes=(
            *table.about.notes,
            f"columns: {listed}" if table.named else f"columns without names: {listed}",
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
    power = arrays.get("power")
    return said.raw(
        origin=replace(table.origin, star=star or said.star),
        wave=_numbers("wave", arrays["wave"]),
        flux=_numbers("flux", arrays["flux"]),
        noise=None if kind is None else _numbers(kind, arrays[kind]) * factor,
        noise_kind=kind,
        bad=_bad(roles, arrays, options),
        resolving_power=None if power is None else _power(power),
    )


def _noise_factor(table: Table, roles: Mapping[str, str], said: About, kind: NoiseKind) -> float:
    """By what the errors are to be multiplied to be in the unit of the flux."""
    unit = table.units.get(roles[kind]) or parsed(roles[kind]).unit
    return noise_factor(said.flux_unit, unit, kind) if unit and said.flux_unit else 1.0


def _numbers(role: str, values: np.ndarray) -> np.ndarray:
    """Float64 in the machine's byte order."""
    if values.dtype.kind not in "fiub":
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
        raise DataError(
            f"--mask-bits must be numbers from 0, as '{name}' has no names, found {', '.join(bits)}"
        )
    whole = np.where(np.isfinite(values), values, 0).astype(np.int64)
    return {f"masked {name} bit {bit}": (whole >> int(bit)) & 1 == 1 for bit in bits}


def _truth(values: np.ndarray) -> np.ndarray:
    """True where a number is not 0 (also NaN), or a word says yes."""
    if values.dtype.kind in "USO":
        words = np.char.lower(np.char.strip(values.astype(str)))
        return np.isin(words, ["true", "t", "1", "1.0", "yes", "y"])
    truth: np.ndarray = values != 0
    return truth
