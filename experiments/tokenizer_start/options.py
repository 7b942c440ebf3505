"""What `python -m experiments.tokenizer_start` can be asked for."""

from dataclasses import dataclass

from experiments.study.options import Options


@dataclass(frozen=True)
class StartOptions(Options):
    """Both tokenizers from both starts; numbers that are not given are those of the preset."""

    steps: int | None = None
    """Training steps of 64 spectra; default: 350."""
    learning_rate: float | None = None
    """The highest; cosine to 1e-5 after a warm-up of 2 % of the steps; default: 1e-3."""
    depth: int | None = None
    """Blocks of the network; default: 3."""
    average: int | None = None
    """Neighbouring pixels averaged to one; default: 8."""
    mag: tuple[float, float] | None = None
    """AB magnitudes in i, drawn uniformly [bright faint]; default: 18 20."""
    n_train: int | None = None
    """Training spectra, drawn once with their noise; default: 8192."""
    n_test: int | None = None
    """Held-out spectra; default: 1024."""
    evaluations: int | None = None
    """Times that R2 is measured along the steps; default: 7."""
