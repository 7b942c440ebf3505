"""Names of the columns of a BOSZ spectrum, as the archive and as users write them."""

import re
from collections.abc import Sequence

WAVE, FLUX, CONT = "wave", "flux", "cont"
# Plain "flux" is not among them: it may be the stored value or the physical flux, pi or 4 pi times as large.
KNOWN = {
    WAVE: ("wavelength", "wave", "lambda", "wl", "lam", "waveair", "wavevac", "wavelengthair"),
    FLUX: (
        "specificintensity",
        "specintensity",
        "specint",
        "intensity",
        "h",
        "hlambda",
        "eddingtonflux",
        "hflux",
    ),
    CONT: ("continuum", "cont", "hcont", "hcontinuum", "continuumflux", "eddingtoncontinuum", "hc"),
}


def plain(name: str) -> str:
    """A name without case, units in brackets and signs: `Specific_Intensity [erg]` -> `specificintensity`."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[\(\[].*?[\)\]]", "", name.lower()))


def positions(names: Sequence[str]) -> dict[str, int]:
    """Returns where wave, flux and cont stand among column names; absent ones are left out."""
    found = [plain(name) for name in names]
    where = {}
    for column, known in KNOWN.items():
        here = [found.index(name) for name in known if name in found]
        if here:
            where[column] = here[0]
    return where
