"""`python -m experiments.uncertainty`."""

from experiments.study.running import enter
from experiments.uncertainty.experiment import STUDY

enter(STUDY)
