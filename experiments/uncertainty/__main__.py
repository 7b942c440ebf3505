"""`python -m experiments.uncertainty`."""

from experiments.study.program import enter

enter("uncertainty")
