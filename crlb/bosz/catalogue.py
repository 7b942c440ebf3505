"""What BOSZ holds: the axes of both editions, their resolving powers, and which models exist.

Sources: Bohlin et al. 2017, AJ 153, 234; Mészáros et al. 2024, A&A 688, A197, whose 495 pairs of T_eff and
log g (both kinds of atmosphere counted) LOG_G_2024 reproduces.
"""

from typing import Final, Literal

from crlb.errors import UsageError
from crlb.grids.rounding import ROUNDING
from crlb.labels import LABELS

ORIGINAL: Final = "orig"  # 2024 only: as synthesised, each spectrum with its own wavelengths

Edition = Literal[2017, 2024]
FileFormat = Literal["fits", "ascii", "txt"]
Model = Literal["mp", "ms", "ap"]  # MARCS plane-parallel, MARCS spherical, ATLAS9
Atmosphere = Literal["auto", "marcs", "atlas9"]
Resolution = int | Literal["orig"]


def _values(low: float, high: float, spacing: float) -> tuple[float, ...]:
    return tuple(low + spacing * i for i in range(round((high - low) / spacing) + 1))


M_H = _values(-2.5, 0.75, 0.25)
A_M = _values(-0.25, 0.5, 0.25)
C_M = _values(-0.75, 0.5, 0.25)
AXES: dict[Edition, dict[str, tuple[float, ...]]] = {
    2017: {
        "T_eff": (
            _values(3500.0, 12000.0, 250.0)
            + _values(12500.0, 20000.0, 500.0)
            + _values(21000.0, 35000.0, 1000.0)
        ),
        "log_g": _values(0.0, 5.0, 0.5),
        "M_H": M_H,
        "a_M": A_M,
        "C_M": C_M,
    },
    2024: {
        "T_eff": (
            _values(2800.0, 4000.0, 100.0)
            + _values(4250.0, 12000.0, 250.0)
            + _values(12500.0, 16000.0, 500.0)
        ),
        "log_g": _values(-0.5, 5.5, 0.5),
        "M_H": M_H,
        "a_M": A_M,
        "C_M": C_M,
    },
}
RESOLVING_POWERS: dict[Edition, tuple[Resolution, ...]] = {
    2017: (200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 300000),
    2024: (500, 1000, 2000, 5000, 10000, 20000, 50000, ORIGINAL),
}
MICROTURBULENCES: dict[Edition, tuple[int, ...]] = {2017: (2,), 2024: (0, 1, 2, 4)}  # km/s
FORMATS: dict[Edition, tuple[FileFormat, ...]] = {2017: ("fits", "ascii"), 2024: ("txt",)}
MARCS_MAX_T_EFF = 8000.0  # K
ATLAS9_MIN_T_EFF = 7500.0  # K
SPHERICAL_MAX_LOG_G = 3.0  # dex, cm/s^2; MARCS models of dwarfs are plane-parallel
# 2024: log g of the models at T_eff up to the first number (K); outside of it nothing was computed.
LOG_G_2024 = (
    (4000.0, -0.5, 5.5),
    (4750.0, -0.5, 5.0),
    (5750.0, 0.0, 5.0),
    (7000.0, 1.0, 5.0),
    (12000.0, 2.0, 5.0),
    (16000.0, 3.0, 5.0),
)


def check_listed(name: str, value: object, allowed: tuple[object, ...], what: str) -> None:
    """Refuses a value that is not among the allowed ones.

    Args:
        name: of the argument.
        value: what was given.
        allowed: the values there are.
        what: what these are, in the plural.

    Raises:
        UsageError: naming the argument, the value and the allowed ones.
    """
    if value in allowed:
        return
    shown = " ".join(f"{x:g}" if isinstance(x, float) else str(x) for x in allowed)
    raise UsageError(f"{name} must be one of the {what}, found {value}; there are: {shown}")


def marcs(log_g: float) -> Model:
    """Returns the geometry of the MARCS model at a surface gravity (dex, cm/s^2): giants are spherical."""
    return "ms" if log_g <= SPHERICAL_MAX_LOG_G else "mp"


def log_g_range(T_eff: float) -> tuple[float, float]:
    """Returns the lowest and highest log g (dex, cm/s^2) of the 2024 models at a T_eff (K)."""
    return next((low, high) for upper, low, high in LOG_G_2024 if T_eff <= upper)


def choose_model(edition: Edition, T_eff: float, log_g: float, atmosphere: Atmosphere = "auto") -> Model:
    """Returns the kind of model atmosphere: "auto" is MARCS up to 8000 K (2024), ATLAS9 elsewhere."""
    if atmosphere == "marcs" or (atmosphere == "auto" and edition == 2024 and T_eff <= MARCS_MAX_T_EFF):
        return marcs(log_g)
    return "ap"


def check_edition(edition: int) -> None:
    """Refuses an edition that does not exist.

    Raises:
        UsageError: naming the editions there are.
    """
    check_listed("edition", edition, tuple(AXES), "editions")


def is_within(edition: Edition, name: str, value: float, low: float, high: float) -> bool:
    """Returns whether a label lies between bounds, which may have been rounded (float32)."""
    slack = ROUNDING * max(map(abs, AXES[edition][name]))
    return low - slack <= value <= high + slack


def nearest(value: float, axis: tuple[float, ...]) -> float:
    """Returns the axis value from which a number differs by rounding only, otherwise the number itself."""
    close = (known for known in axis if abs(value - known) <= ROUNDING * max(map(abs, axis)))
    return next(close, value)


def values_within(edition: Edition, name: str, bounds: tuple[float, float] | None) -> tuple[float, ...]:
    """Returns the axis values of a label that lie within bounds, all of them where there are none.

    Args:
        edition: 2017 or 2024.
        name: of the label.
        bounds: lowest and highest value, in the unit of the label.

    Raises:
        UsageError: no axis value lies within.
    """
    axis = AXES[edition][name]
    low, high = bounds or (axis[0], axis[-1])
    inside = tuple(value for value in axis if is_within(edition, name, value, low, high))
    if not inside:
        raise UsageError(
            f"{name} between {low:g} and {high:g} {LABELS[name].unit}: no node of BOSZ {edition}; "
            f"there are: {' '.join(f'{value:g}' for value in axis)}"
        )
    return inside


def has_model(edition: Edition, T_eff: float, log_g: float, model: Model) -> bool:
    """Returns whether an edition computed this kind of model at T_eff (K) and log g (dex, cm/s^2)."""
    if edition == 2017:
        return model == "ap"
    low, high = log_g_range(T_eff)
    covered = T_eff >= ATLAS9_MIN_T_EFF if model == "ap" else T_eff <= MARCS_MAX_T_EFF
    return covered and low <= log_g <= high
