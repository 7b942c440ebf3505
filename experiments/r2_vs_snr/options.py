"""What `python -m experiments.r2_vs_snr` can be asked for."""

from dataclasses import dataclass

from experiments.study.options import Options


@dataclass(frozen=True)
class FigureOptions(Options):
    """The R2-SNR figure; numbers that are not given are those of the preset.

    Examples:
      python -m experiments.r2_vs_snr
      python -m experiments.r2_vs_snr --grid my_grid.h5 --mag 20.5 22.5
    """

    mag: tuple[float, float] | None = None
    """AB magnitudes in i of the training and test spectra, uniform [bright faint]; default: 20.5 22.5."""
    train: bool = False
    """Train the networks now instead of evaluating those shipped; always so with your own grid or noise."""
    steps: int | None = None
    """Training steps of 256 spectra of each network that is trained; default: 3000."""
    n_fit: int | None = None
    """Training spectra of Ridge and LightGBM, a quarter more to choose settings on; default: 20,000."""
    n_test: int | None = None
    """Test spectra; default: 10,000."""
    n_bayes: int | None = None
    """Stars simulated per magnitude for the curve of the exact limit of any estimator; default: 400."""
    n_posterior: int | None = None
    """Test spectra whose exact posterior is computed where all are not shipped; default: 1000."""
    explorer: bool = False
    """Also read eight stars at eleven magnitudes with every method, for the explorer of `specvit report`."""
