"""`python -m experiments.budgets`."""

from experiments.budgets.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
