"""`python -m experiments.position`."""

from experiments.position.experiment import STUDY
from experiments.study.frame import enter

enter(STUDY)
