"""`python -m experiments.efficiency`."""

from experiments.study.program import enter

enter("efficiency")
