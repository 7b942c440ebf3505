"""`python -m experiments.robustness`."""

from experiments.study.program import enter

enter("robustness")
