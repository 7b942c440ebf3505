"""`python -m experiments.r2_vs_snr`."""

from experiments.r2_vs_snr.experiment import main

main()
