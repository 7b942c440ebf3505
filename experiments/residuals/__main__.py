"""`python -m experiments.residuals`."""

from experiments.residuals.experiment import STUDY
from experiments.study.frame import enter

enter(STUDY)
