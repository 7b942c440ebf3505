"""How a token's place is told, and what is left of it on another wavelength grid."""

from experiments.position.experiment import STUDY

__all__ = ["STUDY"]
