"""The R2-SNR figure: what log g a spectrum can tell, and what every method reads from it."""

from experiments.r2_vs_snr.experiment import STUDY

__all__ = ["STUDY"]
