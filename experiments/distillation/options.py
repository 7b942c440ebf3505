"""What `python -m experiments.distillation` can be asked for."""

from dataclasses import dataclass

from experiments.study.options import Options


@dataclass(frozen=True)
class DistillationOptions(Options):
    """Networks of the size of `tiny`, each a change from another, beside the exact limit.

    Examples:
      python -m experiments.distillation
      python -m experiments.distillation --steps 6000 --seeds 3
    """

    steps: tuple[int, ...] | None = None
    """Training steps of every arm, each number a budget of its own; default: 600 and 2,000."""
