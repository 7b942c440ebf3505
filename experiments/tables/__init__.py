"""Numbers of the pages and model cards, written from result files by `python -m experiments.tables`."""
