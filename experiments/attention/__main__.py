"""`python -m experiments.attention`."""

from experiments.attention.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
