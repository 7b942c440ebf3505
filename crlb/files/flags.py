"""Flags of a star's labels: one vocabulary for every command, with the legend that tables carry."""

from collections.abc import Iterable

# In the order in which they are listed.
LEGEND = {
    "EDGE": "a mean lies within 1.3 sigma of an edge of the grid: the star may lie beyond",
    "POOR_FIT": "chi2 is larger than noise explains (p < 0.001), or than a model of this kind reaches",
    "BAD_SCALE": "the flux is zero, negative, or of a scale or slope that the conditions do not allow",
    "LOW_SNR": "SNR below 2 per pixel: the labels are little more than the prior",
    "FEW_PIXELS": "fewer than 500 usable pixels, or less than 100 Å of spectrum",
    "NOT_CONVERGED": "too few effective points: mean and sigma are not to be trusted",
    "OUT_OF_GRID": "the spectrum is not one of a star within the grid: no labels should be read from it",
    "VELOCITY": "no velocity stands out, or not the one that is given, or that of air read as vacuum",
    "RESOLUTION": "the resolving power is not stated, or the lines have another width: state it before use",
    "NO_ERRORS": "the file has no errors: they were estimated from the scatter around the model",
    "OUT_OF_DISTRIBUTION": "unlike the spectra that the network was trained on (p < 0.001)",
    "CONDITIONS": "the network was trained for other noise, magnitudes or sampling",
    "UNUSABLE": "nothing could be read or computed; the reason stands in the column note",
}
# What LOW_SNR and FEW_PIXELS mean: median SNR per pixel; usable pixels; Å of spectrum.
LEAST_SNR, LEAST_PIXELS, LEAST_RANGE = 2.0, 500, 100.0
NONE = "-"  # what stands in a table where there is no flag


def flag_text(flags: Iterable[str]) -> str:
    """Returns flags as a table holds them: names in the order of the legend, with commas; "-" for none.

    Raises:
        KeyError: a flag without legend.
    """
    given = set(flags)
    if unknown := given - set(LEGEND):
        raise KeyError(f"no such flag: {', '.join(sorted(unknown))}")
    return ",".join(name for name in LEGEND if name in given) or NONE
