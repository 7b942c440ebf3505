"""`python -m experiments.observed`."""

from experiments.observed.options import ObservedOptions
from experiments.study.program import enter

enter("observed", ObservedOptions)
