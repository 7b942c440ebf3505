"""`python -m experiments.distillation`."""

from experiments.distillation.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
