"""`python -m experiments.scaling`."""

from experiments.study.program import enter

enter("scaling")
