"""The labels of a stellar spectrum: names, units, ranges, in one fixed order."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from crlb.errors import DataError


class Label(NamedTuple):
    """A label's unit, the box of the embedded grid and the published study, and what it means."""

    unit: str
    low: float
    high: float
    description: str


LABELS: dict[str, Label] = {
    "T_eff": Label("K", 3750.0, 6000.0, "effective temperature"),
    "log_g": Label("dex", 1.0, 5.0, "log10 of surface gravity in cm/s^2"),
    "M_H": Label("dex", -2.5, 0.75, "metallicity [M/H] relative to the Sun"),
    "a_M": Label("dex", -0.25, 0.5, "alpha enhancement [alpha/M]: O Ne Mg Si S Ar Ca Ti"),
    "C_M": Label("dex", -0.75, 0.5, "carbon enhancement [C/M]"),
}
LABEL_NAMES: tuple[str, ...] = tuple(LABELS)
# Of a label's name: it becomes a column of tables, a setting, a part of file names.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,39}", re.ASCII)
# Held at these values unless asked for: the published study varies the first three labels only.
SOLAR_SCALED: dict[str, float] = {"a_M": 0.0, "C_M": 0.0}


def check_label_names(names: Sequence[str]) -> None:
    """Refuses names of labels that are no names: each begins with a letter and has only A-Z a-z 0-9 _ . + -.

    Raises:
        DataError: one is not, or has more than 40 characters.
    """
    for name in names:
        if not NAME.fullmatch(name):
            raise DataError(
                f"label_names must begin with a letter and have at most 40 of A-Z a-z 0-9 _ . + -, "
                f"found {name[:80]!r}; rename it"
            )


def option_of(name: str) -> str:
    """Returns the option of a field: --seeing-arcsec, but --T_eff: one that is a label is spelled like it."""
    return "--" + (name if name in LABELS else name.replace("_", "-"))


def unit_of(name: str) -> str:
    """Returns the unit of a label, empty if unknown."""
    return LABELS[name].unit if name in LABELS else ""


def coordinate(name: str, label: Any) -> Any:
    """The variable that the splines of a label run in: -5040 K / T_eff, or the label itself.

    Lines change more evenly in the reciprocal temperature than in T_eff.

    Source: the reciprocal temperature theta = 5040 K / T of the excitation and ionisation equations, Gray
    2005, The Observation and Analysis of Stellar Photospheres, chapter 1.
    """
    return -5040.0 / label if name == "T_eff" else label
