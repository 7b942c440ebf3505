"""Methods beside the exact limit of the same stars: efficiency, honesty of sigma, the mean over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from crlb.files.records import Json
from experiments.study.frame import S, Work
from experiments.study.resampling import with_ends
from experiments.study.rows import Run, efficiency, widened
from experiments.study.stars import LABEL, Stars
from experiments.study.training import (
    arm_part,
    combined,
    run_folder,
    spectra_of,
    step_seconds,
    validation_r2,
    weights_of,
)
from specvit_jax import Config, Weights, metrics, predict
from specvit_jax.evaluation.predict import Predictions
from specvit_jax.network.networks import parameter_counts

LEVELS = (0.68, 0.95)  # central intervals whose coverage is told
MEANS = ("validation", "cover_68", "cover_95", "sigma_ratio")  # over seeds, without an interval


@dataclass(frozen=True, kw_only=True)
class NetworkRow(metrics.Score):
    """Scores of a method on n stars whose limit is known.

    `efficiency` is R2 over R2_Bayes. Where the method tells a sigma: the share of truths within its central
    68 and 95 %, and the median ratio of its sigma to the exact one.
    """

    efficiency: float
    efficiency_low: float
    efficiency_high: float
    cover_68: float | None = None
    cover_95: float | None = None
    sigma_ratio: float | None = None


@dataclass(frozen=True, kw_only=True)
class LimitRun(Run, NetworkRow):
    """Scores of an arm beside the limit, and R2 of every label it reads.

    `validation`: R2 of the study's label on the spectra of validation, at the step whose weights are kept;
    `step_s`: time of a training step, s; what only networks have is None for other methods.
    """

    labels: dict[str, float]
    spectra: int  # it learnt from
    steps: int | None = None
    parameters: int | None = None
    step_s: float | None = None
    validation: float | None = None


LimitRunT = TypeVar("LimitRunT", bound=LimitRun)


def read(weights: Weights, stars: Stars) -> Float[np.ndarray, "n 2"]:
    """Mean and sigma (NaN: it tells none) of the study's label that a network reads from stars, dex."""
    return told_by(predict(weights, stars.noisy, usable=stars.usable))


def told_by(found: Predictions) -> Float[np.ndarray, "n 2"]:
    """Mean and sigma (NaN: none is told) of the study's label, dex.

    Raises:
        UsageError: the label is not what was predicted.
    """
    mean, column = found.of(LABEL), found.label_names.index(LABEL)
    sigma = np.full(len(mean), np.nan) if found.sigma is None else found.sigma[:, column]
    return np.stack([mean, sigma], axis=1)


def network_row(
    truth: Float[np.ndarray, " n"], exact: Float[np.ndarray, "n 2"], told: Float[np.ndarray, "n 2"]
) -> NetworkRow:
    """Scores, efficiency, and how honest sigma is.

    Args:
        truth: label of every star, dex.
        exact: exact posterior mean and sigma, dex.
        told: mean and sigma of the method, dex; sigma NaN: it tells none.
    """
    pred, sigma = told.T
    numbers: dict[str, Json] = dict(with_ends("efficiency", efficiency, truth, exact[:, 1] ** 2, pred))
    if np.isfinite(sigma).all():
        off = np.abs(truth - pred) / sigma
        for level in LEVELS:
            numbers[f"cover_{round(100 * level)}"] = float((off <= norm.ppf(0.5 + level / 2)).mean())
        numbers["sigma_ratio"] = float(np.median(sigma / exact[:, 1]))
    return widened(NetworkRow, metrics.summary(truth, pred), **numbers)


def scored(work: Work[S], weights: Weights) -> tuple[NetworkRow, dict[str, float]]:
    """A network on the test set of a study, and its R2 of every label."""
    found = predict(weights, work.stars.noisy, usable=work.stars.usable)
    columns = [work.simulator.label_names.index(name) for name in found.label_names]
    r2 = metrics.r2(work.stars.labels[:, columns].T, found.labels.T)
    labels = dict(zip(found.label_names, np.asarray(r2).tolist(), strict=True))
    return network_row(work.truth, work.exact, told_by(found)), labels


def limit_run(work: Work[S], name: str, config: Config) -> LimitRun:
    """Trains a network and scores it beside the limit, unless that was done; the part of the study it is."""
    folder = run_folder(work, name, config)

    def compute() -> LimitRun:
        row, labels = scored(work, weights_of(work, name, config))
        return widened(
            LimitRun,
            row,
            arm=name,
            seed=config.train.seed,
            labels=labels,
            spectra=spectra_of(config),
            steps=config.train.steps,
            parameters=sum(parameter_counts(config.model).values()),
            step_s=step_seconds(folder, config),
            validation=validation_r2(folder),
        )

    return arm_part(work, name, config, LimitRun, compute)


def over_seeds(rows: Sequence[LimitRunT]) -> list[LimitRunT]:
    """One row per arm: means over its seeds; R2, efficiency and MAE with intervals of stars and seeds."""
    found = []
    for arms in zip(*(combined(rows, key) for key in ("r2", "efficiency", "mae")), strict=True):
        row, mine = arms[0], [one for one in rows if one.arm == arms[0].arm]
        ends = {
            f"{key}{end}": getattr(arm, f"{key}{end}")
            for key, arm in zip(("efficiency", "mae"), arms[1:], strict=True)
            for end in ("", "_low", "_high")
        }
        means = {key: mean_of([getattr(one, key) for one in mine]) for key in MEANS}
        labels = {name: float(np.mean([one.labels[name] for one in mine])) for name in row.labels}
        found.append(replace(row, labels=labels, **(ends | means)))
    return found


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean; None where one of them is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
