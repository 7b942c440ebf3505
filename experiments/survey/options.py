"""What `python -m experiments.survey` can be asked for."""

from dataclasses import dataclass

from experiments.study.options import Options


@dataclass(frozen=True)
class SurveyOptions(Options):
    """Networks beside the exact limit of stars as a survey sees them.

    Examples:
      python -m experiments.survey
      python -m experiments.survey --network mine=runs/mine tiny=tiny --n-posterior 500
    """

    network: tuple[str, ...] = ()
    """Networks as NAME=RUN, a weights file, or the name of a preset whose weights are shipped; default:
    those of survey, survey-teacher and tiny (of published conditions) that are shipped."""
    train: bool = False
    """Train a network now instead of evaluating those shipped; always so with your own grid or noise."""
    steps: int | None = None
    """Training steps of 256 spectra where a network is trained; default: 3000."""
    sensitivity: bool = False
    """Also score the networks on stars whose conditions differ in one unknown, known or twice as large."""
    n_test: int | None = None
    """Test spectra; default: 10,000."""
    n_posterior: int | None = None
    """Test spectra whose exact posterior is computed where all are not shipped; default: 1000."""
