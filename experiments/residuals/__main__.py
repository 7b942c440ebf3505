"""`python -m experiments.residuals`."""

from experiments.study.program import enter

enter("residuals")
