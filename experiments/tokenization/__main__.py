"""`python -m experiments.tokenization`."""

from experiments.study.program import enter

enter("tokenization")
