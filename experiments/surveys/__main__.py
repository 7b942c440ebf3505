"""`python -m experiments.surveys`."""

from experiments.study.options import ObservedOptions
from experiments.study.program import enter

enter("surveys", ObservedOptions)
