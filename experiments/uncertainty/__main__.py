"""`python -m experiments.uncertainty`."""

from experiments.study.frame import enter
from experiments.uncertainty.experiment import STUDY

enter(STUDY)
