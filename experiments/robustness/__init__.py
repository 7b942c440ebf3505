"""Spectra that differ from those in training: other noise, distortions that no training spectrum showed."""

from experiments.robustness.experiment import STUDY

__all__ = ["STUDY"]
