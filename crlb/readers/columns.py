"""Columns of a table of spectra: which is what, by name or as the user says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from crlb.errors import DataError
from crlb.files.observed import Origin
from crlb.readers.meta import About, medium_in
from crlb.readers.options import Medium, ReadOptions
from crlb.readers.units import wave_unit

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
        *(
            "pixmask",
            "flux_mask",
            "badpix",
            "bad_pixel",
            "maskbits",
            "or_mask",
            "masked",
            "andmask",
            "ormask",
        ),
    ),
    "good": ("good", "usable", "goodpix", "good_pixel", "ok"),
    "power": ("resolving_power", "specres"),
    "star": (
        *("source_id", "star", "star_id", "object", "object_id", "obj_id", "objid", "targetid", "target_id"),
        *("target", "spectrum_id", "spec_id", "sourceid", "name", "id"),
    ),
}
KNOWN = frozenset(one for names in NAMES.values() for one in names)
OWN = ("wave", "flux", "error", "noisy")  # columns that `crlb spectrum` writes
LONGEST_NAME, MOST_COLUMNS = 200, 5000  # characters of a name, and columns; a FITS table has 999 at most
_UNIT = re.compile(r"^(.*?)\s*[\[(]\s*(.*?)\s*[\])]\s*$")
_SUFFIX = re.compile(r"^(.+?)_(nm|um|micron|microns|a|aa|ang|angstrom|angstroms|vac|vacuum|air)$")


@dataclass(frozen=True)
class Name:
    """A column's name taken apart: "wave_air [nm]" is wave, nm, air."""

    base: str
    unit: str | None = None
    medium: Medium | None = None


def parsed(name: str) -> Name:
    """Returns base name, unit and medium that a column's name says; one that is endless says nothing."""
    if len(name) > LONGEST_NAME:
        return Name(name)
    found = _UNIT.match(name.strip())
    base, unit = (found[1], found[2]) if found else (name.strip(), None)
    unit, medium = unit_and_medium(unit)
    base = re.sub(r"[\s\-.]+", "_", base.lower())
    while base not in KNOWN and (found := _SUFFIX.match(base)):
        base, word = found[1], found[2]
        if wave_unit(word):
            unit = unit or word
        else:
            medium = "air" if word == "air" else "vacuum"
    return Name(base, unit, medium)


def unit_and_medium(text: str | None) -> tuple[str | None, Medium | None]:
    """Returns what a unit says of the medium, and the rest of it: "nm (air)" is nm, air."""
    medium = medium_in(text or "")
    if not medium or not text:
        return text or None, None
    return re.sub(r"(?i)\b(in|vac|vacuum|air)\b", "", text).strip(" ,;()[]") or None, medium


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
        DataError: more columns than a table has; an option names a column that is not there; wave or flux is
            missing, or two columns could be it.
    """
    names = list(table.columns)
    if not table.named and not options.columns:
        return _unnamed(table)
    if len(names) > MOST_COLUMNS:
        raise DataError(f"a table must have at most {MOST_COLUMNS:,} columns, found {len(names):,}")
    roles = {role: _chosen(role, column, names) for role, column in options.columns.items()}
    for role in NAMES:
        if role not in roles and not (role in ("log10", "ln") and roles.get("wave")):
            roles[role] = _by_name(role, table)
    if roles.get("wave") is None:
        roles["wave"] = roles.get("log10") or roles.get("ln")
    if "flux" not in options.columns and tuple(names) == OWN:
        roles["flux"] = "noisy"
    for role in ("wave", "flux"):
        if roles.get(role) is None:
            raise DataError(f"no column for {role} among {listed(names)}; name it with --columns {role}=NAME")
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
    raise DataError(f"--columns {role}={column}: no such column; the columns are {listed(names)}")


def _by_name(role: str, table: Table) -> str | None:
    """The column that a role has by its name; None: there is none."""
    found = [name for name in table.columns if parsed(name).base in NAMES[role]]
    if role == "wave":
        vacuum = [name for name in found if parsed(name).medium == "vacuum"]
        found = vacuum if len(vacuum) == 1 else found
    if len(found) <= 1 or role == "star":
        return found[0] if found else None
    best = [name for name in found if parsed(name).base == NAMES[role][0]]
    second = [name for name in found if role == "mask" and parsed(name).base in ("and_mask", "andmask")]
    if len(best) == 1 or len(second) == 1:
        return (best if len(best) == 1 else second)[0]
    role = {"log10": "wave", "ln": "wave", "good": "mask"}.get(role, role)
    raise DataError(
        f"several columns could be {role}: {listed(found)}; name it with --columns {role}=NAME"
        + (f" ({role}=none for none)" if role not in ("wave", "flux") else "")
    )


def _unnamed(table: Table) -> dict[str, str]:
    """Two columns without names are wave and flux, three have the error, too."""
    names = list(table.columns)
    if len(names) not in (2, 3):
        raise DataError(
            f"{len(names)} columns without names; say which is which: --columns wave=1 flux=2 error=3"
        )
    third = table.columns[names[2]] if len(names) == 3 else np.array([0.5])
    if third.dtype.kind in "fiu" and np.isin(third, (0, 1)).all():
        raise DataError(
            "the third column has no names and only 0 and 1, which are no errors: say which is which, "
            "--columns wave=1 flux=2 mask=3"
        )
    return dict(zip(("wave", "flux", "error"), names, strict=False))


def listed(names: Sequence[str]) -> str:
    """Returns names of columns for a message, 40 at most."""
    shown = ", ".join(f"'{name}'" for name in names[:40])
    return (shown or "none") + (f" and {len(names) - 40} more" if len(names) > 40 else "")
