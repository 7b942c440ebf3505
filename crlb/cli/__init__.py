"""The console script `crlb`: ceilings, single stars, and the grids of spectra they are computed from."""

from crlb.cli.command import main, parse

__all__ = ["main", "parse"]
