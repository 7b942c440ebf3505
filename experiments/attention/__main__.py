"""`python -m experiments.attention`."""

from experiments.attention.experiment import STUDY
from experiments.study.frame import enter

enter(STUDY)
