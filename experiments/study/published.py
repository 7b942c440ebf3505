"""R2 by number of training spectra as published for the original system."""

from dataclasses import dataclass

from crlb.files.records import Record


@dataclass(frozen=True)
class Published(Record):
    """R2 of log g by number of training spectra, as published."""

    note: str
    n: tuple[int, ...]
    SpecViT: tuple[float, ...]
    LightGBM: tuple[float, ...]
    Ridge: tuple[float, ...]


# Of the original PyTorch system (project report, December 2025 to February 2026).
PUBLISHED = Published(
    note="BOSZ 2017 spectra; different test sets, weights of the last epoch",
    n=(50_000, 100_000, 200_000, 500_000, 1_000_000),
    SpecViT=(0.4339, 0.5963, 0.6733, 0.7087, 0.7111),
    LightGBM=(0.4879, 0.5533, 0.5466, 0.5743, 0.614),
    Ridge=(0.4419, 0.4753, 0.4738, 0.4898, 0.4957),
)
