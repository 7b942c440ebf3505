"""Wavelengths of lines at rest and of media: air and vacuum."""

import numpy as np
from jaxtyping import Float

AIR_ABOVE = 2000.0  # Å: below, wavelengths are given in vacuum by custom


def air_to_vacuum(wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Vacuum wavelengths of air wavelengths above 2000 Å; those below are vacuum already.

    Source: N. Piskunov's inverse of the IAU formula of Morton 2000, ApJS 130, 403 (Birch & Downs 1994), as
    documented for the VALD3 database.
    """
    square = (1e4 / wave) ** 2  # (1/um)^2
    first, second = (
        0.02408926869968 / (130.1065924522 - square),
        0.0001599740894897 / (38.92568793293 - square),
    )
    index = 1 + 0.00008336624212083 + first + second
    return np.where(wave < AIR_ABOVE, wave, wave * index)


def vacuum_to_air(wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Air wavelengths of vacuum wavelengths above 2000 Å; those below are left alone.

    Source: Morton 2000, ApJS 130, 403, equation 8 (Birch & Downs 1994): dry air, 1 atm, 15 C.
    """
    square = (1e4 / wave) ** 2  # (1/um)^2
    first, second = 0.02406147 / (130 - square), 0.00015998 / (38.9 - square)
    index = 1 + 0.0000834254 + first + second
    return np.where(wave < AIR_ABOVE, wave, wave / index)
