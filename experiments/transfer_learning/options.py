"""What `python -m experiments.transfer_learning` can be asked for."""

from dataclasses import dataclass
from pathlib import Path

from experiments.study.options import Options


@dataclass(frozen=True)
class TransferOptions(Options):
    """What this experiment can be asked for."""

    target: Path | None = None
    """Grid file to transfer to; default: ../shared/reference/synspec_grid_coarse.h5. At the smoke preset a
    coarse, tilted copy of the source grid stands in for it where it is absent."""
