"""Real spectra with labels from the literature: where they are, how each set is read, which are used.

The spectra lie outside of the project (their licences are those of others); `labels.csv` beside them has a
row for each star and source.
"""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crlb.errors import MissingInputError
from crlb.files.observed import Observed
from crlb.files.records import Record
from crlb.labels import LABELS as BOX
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed

LABELS = ("T_eff", "log_g", "M_H")  # those that the literature has; K, dex, dex
ROOT = Path(__file__).resolve().parents[2]
COLUMNS = {"T_eff": "teff", "log_g": "logg", "M_H": "feh"}  # of labels.csv; [Fe/H] stands for [M/H]
AIR = ReadOptions(wave_unit="A", medium="air")
LEAST_RESOLVING_POWER = 1000  # below, the triplet is a single blend: said to be too coarse for log g


@dataclass(frozen=True, kw_only=True)
class Literature(Record):
    """Labels of a star from the literature: the mean over its sources.

    `spread`: standard deviation of the sources, None of fewer than two that have the label; `stated`: the
    smallest error that one of them states.
    """

    set: str
    file: str
    star: str
    sources: int
    labels: dict[str, float]
    spread: dict[str, float | None]
    stated: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Excluded(Record):
    """A file with labels that is not used, and why."""

    file: str
    star: str
    why: str


@dataclass(frozen=True)
class Set:
    """How the files of a folder are read.

    Args:
        title: as tables and figures name it.
        options: what the files do not say.
        why: where that is known from.
        too_coarse: whether its resolving power is below `LEAST_RESOLVING_POWER`.
        power: its resolving power where the files do not say it.
        library: whether its labels come from high-resolution spectra, interferometry or seismology.
    """

    title: str
    options: ReadOptions
    why: str
    too_coarse: bool = False
    power: float | None = None
    library: bool = True


# Resolving powers: middle of what makes the nearest nodes of all stars of a set fit best from 8400 to 8800 Å
# (README of the data), which no label of the literature enters.
SETS = {
    "sun": Set(
        "Sun",
        ReadOptions(
            wave_unit="nm", medium="vacuum", flux_unit="photon/s/cm2/nm", resolving_power=20_000.0,
            columns={"wave": "1", "flux": "2"},
        ),
        "header of the file: vacuum nm, photons, 0.04 nm FWHM",
    ),
    "deimos_cat": Set("DEIMOS", AIR, "header says neither; triplet at rest if read as air Å", power=7000.0),
    "indous_cat": Set("Indo-US", AIR, "header says neither; triplet at rest if read as air Å", power=8750.0),
    "mike": Set("MIKE", AIR, "header says neither; triplet at rest if read as air Å"),
    "stelib": Set("STELIB", AIR, "header says neither; triplet near rest if read as air Å", power=2600.0),
    "gaia_rvs": Set("Gaia RVS", ReadOptions(), "the format says all"),
    "lamost": Set("LAMOST", ReadOptions(), "header: VACUUM, log10 of Å", library=False),
    "calspec": Set("CALSPEC", ReadOptions(), "STIS low resolution", too_coarse=True),
    "made_up": Set("made up", ReadOptions(), "not observed: for the smoke size where there are no data"),
}  # fmt: skip


class Star(NamedTuple):
    """A star: its labels from the literature, its spectrum."""

    literature: Literature
    observed: Observed


def data_folder(named: Path | None) -> Path:
    """The folder of the spectra: the one named, or `observed` in the reference data."""
    reference = os.environ.get("SPECVIT_REFERENCE", ROOT.parent / "shared" / "reference")
    return named or Path(reference) / "observed"


def label_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of `labels.csv`.

    Raises:
        MissingInputError: the data are not there.
    """
    path = folder / "labels.csv"
    if not path.is_file():
        raise MissingInputError(
            f"the observed spectra with labels.csv are needed in {folder}, which has none; name their folder "
            "with --data, or set SPECVIT_REFERENCE to the folder that holds observed/"
        )
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def literature(rows: Iterable[Mapping[str, str]]) -> list[Literature]:
    """One entry for every file: mean and spread over the rows it has, in the order of their first row."""
    by_file: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_file.setdefault(row["file"], []).append(row)
    return [_literature(file, some) for file, some in by_file.items()]


def _literature(file: str, rows: Sequence[Mapping[str, str]]) -> Literature:
    values = {name: _numbers(rows, column) for name, column in COLUMNS.items()}
    errors = {name: _numbers(rows, f"e_{column}") for name, column in COLUMNS.items()}
    return Literature(
        set=file.partition("/")[0],
        file=file,
        star=rows[0]["star"],
        sources=len(rows),
        labels={name: float(np.mean(some)) for name, some in values.items() if some},
        spread={name: _spread(some) for name, some in values.items()},
        stated={name: min(some, default=None) for name, some in errors.items()},
    )


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _numbers(rows: Sequence[Mapping[str, str]], column: str) -> list[float]:
    return [float(row[column]) for row in rows if row[column].strip()]


def chosen(entries: Iterable[Literature]) -> tuple[list[Literature], list[Excluded]]:
    """The entries that are used, and the others with the reason: by rule, before any spectrum was seen."""
    used, left = [], []
    for one in entries:
        why = _why_not(one)
        if why:
            left.append(Excluded(file=one.file, star=one.star, why=why))
        else:
            used.append(one)
    return used, left


def _why_not(one: Literature) -> str:
    if one.set not in SETS:
        return "no table entry says how this set is read"
    if SETS[one.set].too_coarse:
        return f"resolving power below {LEAST_RESOLVING_POWER}"
    for name in LABELS:
        if name not in one.labels:
            return f"no {name} in the literature"
        low, high = BOX[name].low, BOX[name].high
        if not low <= one.labels[name] <= high:
            return f"{name} {one.labels[name]:g} outside the grid, {low:g} to {high:g}"
    return ""


def star_of(folder: Path, one: Literature) -> Star:
    """The star with its spectrum, the first of its file.

    Raises:
        DataError, MissingInputError, UsageError: as `open_observed`.
    """
    file = open_observed(folder / one.file, SETS[one.set].options)
    return Star(one, next(file.spectra()))


def label_noise(entries: Iterable[Literature]) -> dict[str, float]:
    """Pooled standard deviation between sources: root of the mean variance of stars with several."""
    entries = list(entries)
    found = {}
    for name in LABELS:
        squares = [one.spread[name] ** 2 for one in entries if one.spread[name] is not None]  # type: ignore[operator]
        found[name] = float(np.sqrt(np.mean(squares))) if squares else 0.0
    return found
