"""`python -m experiments.efficiency`."""

from experiments.efficiency.experiment import STUDY
from experiments.study.frame import enter

enter(STUDY)
