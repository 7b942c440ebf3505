"""Rows of `robustness`."""

from dataclasses import dataclass

from experiments.robustness.distortions import Case
from experiments.study.rows import Scores


@dataclass(frozen=True, kw_only=True)
class NoiseRow(Scores):
    """Scores at one noise level of a network trained at another."""

    trained: float
    tested: float


@dataclass(frozen=True, kw_only=True)
class CaseRow(Scores):
    """Scores of a reader on spectra with a distortion."""

    kind: str
    amount: float
    sigma: float
    reader: str

    @property
    def case(self) -> Case:
        """The distortion."""
        return Case(self.kind, self.amount, self.sigma)
