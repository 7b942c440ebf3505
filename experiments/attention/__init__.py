"""Where the network looks, and whether the information is there."""

from experiments.attention.experiment import STUDY

__all__ = ["STUDY"]
