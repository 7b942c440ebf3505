"""How much of what could be known the network reads, and in which stars the rest is."""

from experiments.efficiency.experiment import STUDY

__all__ = ["STUDY"]
