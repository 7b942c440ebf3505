"""`python -m experiments.loss_and_scaling`."""

from experiments.study.program import enter

enter("loss_and_scaling")
