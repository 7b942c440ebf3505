"""Numbers of README and model card, written from result files by `python -m experiments.tables`."""
