"""`python -m experiments.tokenizer_start`."""

from experiments.tokenizer_start.experiment import main

main()
