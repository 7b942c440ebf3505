"""Names of what shows in spectra of cool stars between 7100 and 8850 Å. Vacuum wavelengths, Å."""

from collections.abc import Sequence
from dataclasses import dataclass

from crlb.files.records import Record

GAIA_ESO = "Gaia-ESO line list, Heiter et al. 2021, A&A 645, A106; air to vacuum: inverse of Ciddor 1996"
RYDBERG = "Rydberg formula, R_H and alpha of CODATA 2018, mean of Sommerfeld's fine structure"
HEADS = "Pearse & Gaydon 1976, The Identification of Molecular Spectra; air to vacuum: Ciddor 1996"

RYDBERG_HYDROGEN = 109677.5834  # cm^-1, CODATA 2018 R_infinity / (1 + m_e/m_p)
FINE_STRUCTURE = 7.2973525693e-3  # alpha, CODATA 2018
AIR_TO_VACUUM = 1 + 2.751e-4  # refractive index of air, Ciddor 1996: to 0.02 Å between 7000 and 8900 Å
ARM = (7100.0, 8850.0)  # Å
LAST_PASCHEN = 20  # beyond, the lines of the series run into each other at R = 5000


@dataclass(frozen=True)
class Feature(Record):
    """A line, or the head of a band that extends to the red of it."""

    name: str
    wave: float  # vacuum Å
    source: str


@dataclass(frozen=True)
class Nearby(Record):
    """A feature near a window, and how far outside the window it lies (Å, 0 inside, negative to the blue)."""

    feature: Feature
    distance: float


def _term(n: int) -> float:
    """Binding energy of hydrogen in cm^-1: R/n^2 [1 + (alpha/n)^2 (5/4 - 1/n)], mean over the 2 n^2 states.

    The mean over j of Sommerfeld's n/(j + 1/2) - 3/4, with 4 (j + 1/2) states each but 2 n at j = n - 1/2.
    """
    return RYDBERG_HYDROGEN / n**2 * (1 + (FINE_STRUCTURE / n) ** 2 * (5 / 4 - 1 / n))


def _paschen() -> tuple[Feature, ...]:
    """Members n -> 3 of the Paschen series within the arm."""
    waves = {n: 1e8 / (_term(3) - _term(n)) for n in range(4, LAST_PASCHEN + 1)}
    return tuple(
        Feature(f"H I Pa{n}", round(wave, 2), RYDBERG)
        for n, wave in waves.items()
        if ARM[0] <= wave <= ARM[1]
    )


ATOMIC = (
    ("K I", 7667.009), ("K I", 7701.083),
    ("Na I", 8185.505), ("Na I", 8197.076),
    ("Ca II", 8500.358), ("Ca II", 8544.438), ("Ca II", 8664.520),
    ("Mg I", 8809.176),
    ("Fe I", 8222.638), ("Fe I", 8329.345), ("Fe I", 8390.076), ("Fe I", 8470.733), ("Fe I", 8516.411),
    ("Fe I", 8691.011), ("Fe I", 8826.643),
    ("Ti I", 8428.823), ("Ti I", 8437.279),
)  # fmt: skip
TIO_HEADS_AIR = (7125.6, 7589.6, 7628.1, 8442.0)  # Å; gamma system, 0-0, 1-2 twice; epsilon system
CN_HEAD_AIR = 7872.7  # Å; red system, 2-0

FEATURES: tuple[Feature, ...] = tuple(
    sorted(
        (
            *(Feature(f"{name} {wave:.0f}", wave, GAIA_ESO) for name, wave in ATOMIC),
            *_paschen(),
            *(Feature(f"TiO {air:.0f} head", round(air * AIR_TO_VACUUM, 1), HEADS) for air in TIO_HEADS_AIR),
            Feature(f"CN {CN_HEAD_AIR:.0f} head", round(CN_HEAD_AIR * AIR_TO_VACUUM, 1), HEADS),
        ),
        key=lambda feature: feature.wave,
    )
)


def features_near(
    low: float, high: float, *, reach: float = 3.0, features: Sequence[Feature] = FEATURES
) -> tuple[Nearby, ...]:
    """Returns the features within `reach` of a window, inside it first; if there is none, the nearest one.

    Args:
        low: start of the window, vacuum Å.
        high: its end.
        reach: how far outside still counts, Å.
        features: table to search.
    """
    found = [
        Nearby(feature, min(feature.wave - low, 0.0) + max(feature.wave - high, 0.0)) for feature in features
    ]
    middle = (low + high) / 2
    found.sort(key=lambda near: (abs(near.distance), abs(near.feature.wave - middle)))
    return tuple(near for near in found if abs(near.distance) <= reach) or tuple(found[:1])
