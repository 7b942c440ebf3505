"""`python -m experiments.snapping`."""

from experiments.study.program import enter

enter("snapping")
