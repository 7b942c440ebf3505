"""`python -m experiments.budgets`."""

from experiments.study.program import enter

enter("budgets")
