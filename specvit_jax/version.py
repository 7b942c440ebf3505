"""The version of the distribution that was installed."""

from importlib.metadata import version

__version__ = version("specvit-jax")
