"""The console script `specvit`: networks described, trained and scored; spectra simulated."""

from specvit_jax.cli.command import main, parse

__all__ = ["main", "parse"]
