"""What `crlb posterior` finds: a row per star, and scores over all of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from crlb.files.records import ABSENT, Json, Record
from crlb.files.text import text_of
from crlb.labels import unit_of

if TYPE_CHECKING:
    from crlb.bayes.prior import Prior
    from crlb.bayes.result import Posterior

COLUMNS = ("rms_sigma", "r2_bayes", "rmse", "mae", "bias", "r2")


@dataclass(frozen=True)
class LabelPosterior(Record):
    """One label of one star, in its unit.

    Args:
        mean: of the posterior.
        sigma: its standard deviation.
        quantiles: probability in percent ("16") -> value.
        true: as the file says, if it does.
    """

    mean: float
    sigma: float
    quantiles: dict[str, float]
    true: float | None = field(default=None, metadata=ABSENT)

    def row(self, name: str) -> dict[str, float]:
        """Returns the label's columns of a table."""
        truth = {} if self.true is None else {f"{name}_true": self.true}
        found = {f"{name}_mean": self.mean, f"{name}_sigma": self.sigma}
        return truth | found | {f"{name}_q{q}": value for q, value in self.quantiles.items()}


@dataclass(frozen=True)
class StarPosterior(Record):
    """One star.

    Args:
        star: its row in the spectra file, from 0.
        mag: AB magnitude in i, taken as known.
        labels: by name.
        ess: effective number of points of the integration.
        converged: whether they were enough.
    """

    star: int
    mag: float
    labels: dict[str, LabelPosterior]
    ess: float
    converged: bool

    def row(self) -> dict[str, float | int | bool]:
        """Returns the star's row of a table."""
        found: dict[str, float | int | bool] = {"star": self.star, "mag": self.mag}
        for name, label in self.labels.items():
            found |= label.row(name)
        return found | {"ess": self.ess, "converged": self.converged}

    def sentences(self) -> str:
        """Returns a line per label."""
        lines = (
            f"{name} {label.mean:.5g} +- {label.sigma:.3g} {unit_of(name)}"
            for name, label in self.labels.items()
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class LabelScores(Record):
    """How well a label is known over many stars, in its unit.

    Args:
        rms_sigma: root of the mean posterior variance.
        r2_bayes: 1 - mean posterior variance / variance of the prior.
        rmse: root of the mean squared error of the means against the labels of the file, if it has them.
        mae: mean absolute error.
        bias: mean error.
        r2: 1 - mean squared error / variance of the true labels; NaN where those do not vary.
    """

    rms_sigma: float
    r2_bayes: float
    rmse: float | None = field(default=None, metadata=ABSENT)
    mae: float | None = field(default=None, metadata=ABSENT)
    bias: float | None = field(default=None, metadata=ABSENT)
    r2: float | None = field(default=None, metadata=ABSENT)


@dataclass(frozen=True)
class PosteriorScores(Record):
    """The posteriors of many stars in few numbers.

    Args:
        n: number of stars.
        unconverged: how many of them did not converge.
        labels: scores by label.
        provenance: how they were asked for.
    """

    n: int
    unconverged: int
    labels: dict[str, LabelScores]
    provenance: dict[str, Json]

    def table(self) -> str:
        """Returns a row per label, "-" for what cannot be said, and remarks, as text."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE, title=f"{self.n} stars")
        table.add_column("label")
        for head in ("unit", "rms sigma", "R2_Bayes", "rmse", "mae", "bias", "R2"):
            table.add_column(head, justify="right")
        for name, scores in self.labels.items():
            table.add_row(name, unit_of(name), *(_number(getattr(scores, column)) for column in COLUMNS))
        return text_of(table, self.remarks())

    def remarks(self) -> str:
        """Returns what is printed under the table; nothing under a single star that converged."""
        words = []
        if self.n > 1:
            words.append(
                "rms sigma and R2_Bayes from the posterior alone, for the prior's variance; the rest against "
                "the labels in the file, which enter nothing else."
            )
        if self.unconverged:
            words.append(f"{self.unconverged} stars did not converge; their rows say so.")
        return "\n".join(words)


def star_posteriors(
    found: "Posterior",
    truth: Mapping[str, np.ndarray],
    mag: np.ndarray,
    label_names: tuple[str, ...],
    quantiles: tuple[float, ...],
    first: int = 0,
) -> tuple[StarPosterior, ...]:
    """Returns the stars one by one.

    Args:
        found: their posteriors.
        truth: labels of the file, by name; some or none.
        mag: AB magnitude in i of every star.
        label_names: of the columns of `found`.
        quantiles: probabilities of the quantiles of `found`.
        first: row of the first star in its file.
    """

    def label(i: int, j: int, name: str) -> LabelPosterior:
        values = (float(x) for x in found.quantiles[i, j])
        named = {f"{100 * q:g}": value for q, value in zip(quantiles, values, strict=True)}
        true = float(truth[name][i]) if name in truth else None
        return LabelPosterior(float(found.mean[i, j]), float(found.sigma[i, j]), named, true)

    return tuple(
        StarPosterior(
            star=first + i,
            mag=float(mag[i]),
            labels={name: label(i, j, name) for j, name in enumerate(label_names)},
            ess=float(found.ess[i]),
            converged=bool(found.converged[i]),
        )
        for i in range(len(found.mean))
    )


def posterior_scores(
    found: "Posterior", truth: Mapping[str, np.ndarray], prior: "Prior", provenance: dict[str, Json]
) -> PosteriorScores:
    """Returns mean posterior variance, and errors against the labels of the file, per label."""
    scores = {}
    for j, name in enumerate(prior.label_names):
        true = truth[name] if name in truth and len(found.mean) > 1 else None
        scores[name] = _label_scores(found.mean[:, j], found.sigma[:, j], float(prior.variance[j]), true)
    return PosteriorScores(len(found.mean), int((~found.converged).sum()), scores, provenance)


def _label_scores(
    mean: np.ndarray, sigma: np.ndarray, prior_variance: float, true: np.ndarray | None
) -> LabelScores:
    variance = float(np.mean(sigma**2))
    known = (variance**0.5, 1 - variance / prior_variance)
    if true is None:
        return LabelScores(*known)
    error = mean - true
    square = float(np.mean(error**2))
    r2 = 1 - square / float(np.var(true)) if np.ptp(true) > 0 else math.nan
    return LabelScores(*known, square**0.5, float(np.mean(np.abs(error))), float(np.mean(error)), r2)


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4g}"
