"""`python -m experiments.position`."""

from experiments.position.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
