"""Errors of log g star by star: where they are, and how they stand to what each spectrum can tell."""

from experiments.residuals.experiment import STUDY

__all__ = ["STUDY"]
