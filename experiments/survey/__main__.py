"""`python -m experiments.survey`."""

from experiments.study.running import enter
from experiments.survey.experiment import STUDY

enter(STUDY)
