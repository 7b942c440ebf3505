"""`python -m experiments.tokenizer_start`."""

from experiments.study.program import enter
from experiments.tokenizer_start.options import StartOptions

enter("tokenizer_start", StartOptions)
