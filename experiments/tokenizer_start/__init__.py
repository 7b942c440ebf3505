"""Does the start decide whether the sliding-window tokenizer trains? Token strengths, R2 of log g by step."""

from experiments.tokenizer_start.experiment import STUDY

__all__ = ["STUDY"]
