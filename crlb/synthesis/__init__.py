"""The embedded default: a differentiable LTE spectrum of a plane-parallel stellar atmosphere."""
