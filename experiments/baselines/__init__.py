"""Baseline estimators, one fit/predict protocol."""
