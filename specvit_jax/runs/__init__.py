"""Run directories: one writer, lists, curves, sweeps."""
