"""What every experiment can be asked for; light, so that help is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Options:
    """What every experiment can be asked for."""

    preset: Literal["smoke", "cpu", "gpu"] = "cpu"
    """smoke: seconds, to see that it runs; cpu: hours at the most on two cores; gpu: the published sizes."""
    grid: Path | None = None
    """Grid file (HDF5, vacuum wavelengths in Å); default: the embedded grid."""
    noise: Path | None = None
    """Noise curves (HDF5); default: the built-in ones of the PFS medium-resolution red arm."""
    out: Path | None = None
    """Folder of the results; default: outputs/ and the experiment's name. What is there is continued."""
    recompute_limit: bool = False
    """Compute the exact posteriors of the test stars here instead of reading those that are shipped."""
    seeds: int | None = None
    """Trainings of every network, with seeds 42, 43, ...; default: those of the preset."""


@dataclass(frozen=True)
class ObservedOptions(Options):
    """What experiments on real spectra can be asked for besides."""

    data: Path | None = None
    """Folder of the spectra with labels.csv; default: observed/ in $SPECVIT_REFERENCE, or in
    ../shared/reference."""
