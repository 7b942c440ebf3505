"""What `crlb posterior` finds, in few numbers: the posteriors of many stars, or one star in words."""

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from crlb.files.flags import LEGEND, NONE
from crlb.files.records import ABSENT, Json, Record
from crlb.files.text import text_of
from crlb.labels import unit_of

if TYPE_CHECKING:
    from crlb.bayes.prior import Prior
    from crlb.cli.posterior_table import Row

COLUMNS = ("rms_sigma", "r2_bayes", "rmse", "mae", "bias", "r2")
KEPT = 20  # stars whose rows stand in the JSON, too


@dataclass(frozen=True)
class LabelScores(Record):
    """How well a label is known over many stars, in its unit; None where it cannot be said.

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
        unusable: how many of them no label could be computed of; the scores are of the others.
        unconverged: how many of the others did not converge.
        flags: flag -> number of stars that have it.
        labels: scores by label.
        stars: rows of the first stars.
        provenance: how they were asked for.
    """

    n: int
    unusable: int
    unconverged: int
    flags: dict[str, int]
    labels: dict[str, LabelScores]
    stars: list[dict[str, Json]]
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
        """Returns what is printed under the table."""
        words = [
            "rms sigma and R2_Bayes from the posterior alone, for the prior's variance; the rest against the "
            "labels in the file, which enter nothing else."
        ]
        if self.unusable:
            words.append(f"{self.unusable} of {self.n} stars could not be used; their rows say why.")
        words += [f"{n} {name}: {LEGEND[name]}" for name, n in self.flags.items()]
        return "\n".join(words)


class Tally:
    """What scores need of many stars: a few numbers of each, the rows of the first, flags counted.

    Args:
        label_names: of the posterior.
    """

    def __init__(self, label_names: "Sequence[str]") -> None:
        self.label_names = tuple(label_names)
        self.flags: Counter[str] = Counter()
        self.stars: list[dict[str, Json]] = []
        self._numbers = array("d")  # mean, sigma, truth of every label and converged, star by star

    def add(self, row: "Row") -> None:
        """Counts a row of the table."""
        for what in WANTED:
            self._numbers.extend(_float(row.get(f"{name}_{what}", math.nan)) for name in self.label_names)
        self._numbers.append(float(bool(row["converged"])))
        self.flags.update(flag for flag in str(row["flags"]).split(",") if flag != NONE)
        if len(self.stars) < KEPT:
            self.stars.append({name: _plain(value) for name, value in row.items()})

    def numbers(self) -> "Gathered":
        """Returns the numbers of all rows."""
        n = len(self.label_names)
        table = np.array(self._numbers, np.float64).reshape(-1, len(WANTED) * n + 1)
        mean, sigma, truth = (table[:, i * n : (i + 1) * n] for i in range(len(WANTED)))
        return Gathered(mean, sigma, truth, table[:, -1] > 0)


WANTED = ("mean", "sigma", "true")


class Gathered(NamedTuple):
    """Posterior means and standard deviations, labels of the files (NaN: unknown), whether they converged."""

    mean: Float[np.ndarray, "n n_labels"]
    sigma: Float[np.ndarray, "n n_labels"]
    truth: Float[np.ndarray, "n n_labels"]
    converged: Bool[np.ndarray, " n"]


def posterior_scores(tally: Tally, prior: "Prior", provenance: dict[str, Json]) -> PosteriorScores:
    """Returns mean posterior variance, and errors against the labels of the file, per label.

    Args:
        tally: of all stars.
        prior: of the labels.
        provenance: how they were asked for.
    """
    found = tally.numbers()
    usable = np.isfinite(found.mean).all(axis=1)
    variance = dict(zip(prior.label_names, np.asarray(prior.variance).tolist(), strict=True))
    scores = {
        name: _label_scores(
            found.mean[usable, j], found.sigma[usable, j], found.truth[usable, j], variance[name]
        )
        for j, name in enumerate(tally.label_names)
    }
    return PosteriorScores(
        n=len(usable),
        unusable=int((~usable).sum()),
        unconverged=int((~found.converged[usable]).sum()),
        flags={name: tally.flags[name] for name in LEGEND if name in tally.flags},
        labels=scores,
        stars=tally.stars,
        provenance=provenance,
    )


def _label_scores(
    mean: np.ndarray, sigma: np.ndarray, truth: np.ndarray, prior_variance: float
) -> LabelScores:
    if not len(mean):
        return LabelScores(math.nan, math.nan)
    variance = float(np.mean(sigma**2))
    known, some = (variance**0.5, 1 - variance / float(prior_variance)), np.isfinite(truth)
    if not some.any():
        return LabelScores(*known)
    error, true = (mean - truth)[some], truth[some]
    square = float(np.mean(error**2))
    r2 = 1 - square / float(np.var(true)) if np.ptp(true) > 0 else math.nan
    return LabelScores(*known, square**0.5, float(np.mean(np.abs(error))), float(np.mean(error)), r2)


def star_text(row: "Row", label_names: Sequence[str]) -> str:
    """Returns one star in words: labels, fit, velocity, flags with their legend."""
    flags = [f"{name}: {LEGEND[name]}" for name in str(row["flags"]).split(",") if name in LEGEND]
    if "UNUSABLE" in str(row["flags"]).split(","):
        return "\n".join([f"no labels: {row['note']}", *flags])
    lines = [
        f"{name} {row[f'{name}_mean']:.5g} +- {row[f'{name}_sigma']:.3g} {unit_of(name)}"
        for name in label_names
    ]
    lines.append(
        f"chi2/dof {row['chi2_dof']:.3g} (p {row['p_value']:.2g}), {row['n_pix']} pixels, "
        f"SNR {row['snr']:.3g}, velocity {row['rv_kms']:+.1f} +- {row['rv_sigma_kms']:.1f} km/s"
    )
    if row["note"]:
        lines.append(f"note: {row['note']}")
    return "\n".join([*lines, *flags])


def _float(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


def _plain(value: object) -> Json:
    found: Json = value.item() if isinstance(value, np.generic) else value  # type: ignore[assignment]
    return found


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4g}"
