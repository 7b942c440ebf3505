"""`python -m experiments.classification`."""

from experiments.study.program import enter

enter("classification")
