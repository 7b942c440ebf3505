"""`python -m experiments.efficiency`."""

from experiments.efficiency.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
