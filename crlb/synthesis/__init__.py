"""The embedded default: a differentiable LTE spectrum of a plane-parallel stellar atmosphere."""

from crlb.synthesis.build import build_grid
from crlb.synthesis.spectrum import synthesize

__all__ = ["build_grid", "synthesize"]
