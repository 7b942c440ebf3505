"""What `python -m experiments.observed` can be asked for."""

from dataclasses import dataclass
from pathlib import Path

from experiments.study.options import Options


@dataclass(frozen=True)
class ObservedOptions(Options):
    """What this experiment can be asked for beside the others' options."""

    data: Path | None = None
    """Folder of the spectra with labels.csv; default: observed/ in $SPECVIT_REFERENCE, or in
    ../shared/reference."""
