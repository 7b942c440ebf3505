"""`python -m experiments.robustness`."""

from experiments.robustness.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
