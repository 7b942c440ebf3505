"""`python -m experiments.leak`."""

from experiments.study.program import enter

enter("leak")
