"""`python -m experiments.residuals`."""

from experiments.residuals.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
