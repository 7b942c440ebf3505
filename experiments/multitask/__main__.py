"""`python -m experiments.multitask`."""

from experiments.study.program import enter

enter("multitask")
