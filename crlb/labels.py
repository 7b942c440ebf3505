"""The labels of a stellar spectrum: names, units, ranges, in one fixed order."""

from typing import Any, NamedTuple


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
# Held at these values unless asked for: the published study varies the first three labels only.
SOLAR_SCALED: dict[str, float] = {"a_M": 0.0, "C_M": 0.0}


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
