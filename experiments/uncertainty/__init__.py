"""Whether a network knows how well it knows: predicted sigma of log g beside the exact posterior's."""

from experiments.uncertainty.experiment import STUDY

__all__ = ["STUDY"]
