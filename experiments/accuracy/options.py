"""What `python -m experiments.accuracy` can be asked for."""

from dataclasses import dataclass

from experiments.study.options import Options


@dataclass(frozen=True)
class AccuracyOptions(Options):
    """R2 of networks beside the exact limit of the same test set.

    Examples:
      python -m experiments.accuracy
      python -m experiments.accuracy --network tiny=tiny mine=runs/paper
    """

    network: tuple[str, ...] = ()
    """Networks as NAME=RUN, a weights file, or the name of a preset whose weights are shipped; default:
    tiny=tiny, trained anew where --grid or --noise is given."""
    n_test: int | None = None
    """Test spectra, drawn with the key of the R2-SNR figure; default: 10,000."""
    mag: tuple[float, float] | None = None
    """AB magnitudes in i, drawn uniformly [bright faint]; default: 20.5 22.5."""
