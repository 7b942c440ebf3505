"""`python -m experiments.robustness`."""

from experiments.robustness.experiment import STUDY
from experiments.study.frame import enter

enter(STUDY)
