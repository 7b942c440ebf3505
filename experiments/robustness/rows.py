"""Rows of `robustness`."""

from dataclasses import dataclass

from experiments.robustness.distortions import Case
from specvit_jax import metrics


@dataclass(frozen=True, kw_only=True)
class NoiseRow(metrics.Score):
    """Scores at one noise level of a network trained at another."""

    trained: float
    tested: float


@dataclass(frozen=True, kw_only=True)
class CaseRow(metrics.Score):
    """Scores of a reader on spectra with a distortion."""

    kind: str
    amount: float
    sigma: float
    reader: str

    @property
    def case(self) -> Case:
        """The distortion."""
        return Case(self.kind, self.amount, self.sigma)
