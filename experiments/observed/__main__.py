"""`python -m experiments.observed`."""

from experiments.observed.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
