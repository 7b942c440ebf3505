"""`python -m experiments.observed`."""

from experiments.study.options import ObservedOptions
from experiments.study.program import enter

enter("observed", ObservedOptions)
