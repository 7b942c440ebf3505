"""What brings a small network to the limit: its input, an average of its weights, a teacher."""

from experiments.distillation.experiment import STUDY

__all__ = ["STUDY"]
