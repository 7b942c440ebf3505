"""`python -m experiments.chance`."""

from experiments.study.program import enter

enter("chance")
