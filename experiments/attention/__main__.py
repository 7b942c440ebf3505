"""`python -m experiments.attention`."""

from experiments.study.program import enter

enter("attention")
