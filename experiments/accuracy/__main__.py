"""`python -m experiments.accuracy`."""

from experiments.accuracy.options import AccuracyOptions
from experiments.study.program import enter

enter("accuracy", AccuracyOptions)
