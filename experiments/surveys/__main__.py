"""`python -m experiments.surveys`."""

from experiments.observed.options import ObservedOptions
from experiments.study.program import enter

enter("surveys", ObservedOptions)
