"""`python -m experiments.capacity`."""

from experiments.study.program import enter

enter("capacity")
