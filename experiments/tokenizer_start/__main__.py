"""`python -m experiments.tokenizer_start`."""

from experiments.study.running import enter
from experiments.tokenizer_start.experiment import STUDY

enter(STUDY)
