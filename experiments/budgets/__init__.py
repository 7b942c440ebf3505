"""Equal budgets: every method learns from as many fresh spectra, and reads the same numbers of them."""

from experiments.budgets.experiment import STUDY

__all__ = ["STUDY"]
