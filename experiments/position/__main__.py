"""`python -m experiments.position`."""

from experiments.study.program import enter

enter("position")
