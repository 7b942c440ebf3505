"""Real spectra with labels from the literature, through the posterior, the nearest node and a network."""

from experiments.observed.experiment import STUDY

__all__ = ["STUDY"]
