"""`python -m experiments.r2_vs_snr`."""

from experiments.r2_vs_snr.options import FigureOptions
from experiments.study.program import enter

enter("r2_vs_snr", FigureOptions)
