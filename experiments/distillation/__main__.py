"""`python -m experiments.distillation`."""

from experiments.distillation.options import DistillationOptions
from experiments.study.program import enter

enter("distillation", DistillationOptions)
