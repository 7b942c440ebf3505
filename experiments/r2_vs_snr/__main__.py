"""`python -m experiments.r2_vs_snr`."""

from experiments.r2_vs_snr.experiment import STUDY
from experiments.study.running import enter

enter(STUDY)
