"""How far labels are from the literature: statistics with intervals by resampling the stars."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float

from experiments.observed.rows import Fitted, Moved, Score
from experiments.study.literature import LABELS, SETS, Literature
from experiments.study.resampling import ends

FEWEST = 5  # stars of a group that is scored
GIANT = 3.0  # log g below which a star is a giant, dex
METAL_POOR = -0.9  # [M/H], dex: below, the first look found metallicities too high

Values = Float[np.ndarray, "*resamples n"]
Member = Callable[[Literature], bool]


def groups(stars: Sequence[Literature]) -> dict[str, Member]:
    """The groups of stars, by the literature alone: all, the library stars and their parts, every set."""

    def library(one: Literature) -> bool:
        return SETS[one.set].library

    found: dict[str, Member] = {
        "all": lambda one: True,
        "library": library,
        "library giants": lambda one: library(one) and one.labels["log_g"] < GIANT,
        "library dwarfs": lambda one: library(one) and one.labels["log_g"] >= GIANT,
        "library metal-poor": lambda one: library(one) and one.labels["M_H"] < METAL_POOR,
        "library others": lambda one: library(one) and one.labels["M_H"] >= METAL_POOR,
    }
    for name in dict.fromkeys(one.set for one in stars):
        found[SETS[name].title] = _of_set(name)
    return found


def _of_set(name: str) -> Member:
    return lambda one: one.set == name


def all_scores(
    stars: Sequence[Literature], fits: Iterable[Fitted], noise: dict[str, float]
) -> tuple[Score, ...]:
    """Scores of every setting, group and label."""
    by_file = {one.file: one for one in stars}
    by_setting: dict[str, list[Fitted]] = {}
    for fit in fits:
        by_setting.setdefault(fit.setting, []).append(fit)
    members = groups(stars)
    found: list[Score] = []
    for setting, some in by_setting.items():
        pairs = [(by_file[fit.file], fit) for fit in some]
        for group, belongs in members.items():
            inside = [pair for pair in pairs if belongs(pair[0])]
            found += [score(setting, group, label, inside, noise) for label in LABELS]
    return tuple(found)


def score(
    setting: str, group: str, label: str, pairs: Sequence[tuple[Literature, Fitted]], noise: dict[str, float]
) -> Score:
    """The score of the stars of a group whose label could be read."""
    pairs = [(star, fit) for star, fit in pairs if np.isfinite(fit.mean.get(label, np.nan))]
    if len(pairs) < FEWEST:
        return Score(setting=setting, group=group, label=label, n=len(pairs))
    truth = np.array([star.labels[label] for star, _ in pairs])
    pred = np.array([fit.mean[label] for _, fit in pairs])
    found: dict[str, float | None] = {}
    for name, statistic in (("r2", _r2), ("bias", _bias), ("scatter", _scatter)):
        if name == "r2" and not truth.var() > 0:
            continue
        low, high = ends(statistic, truth, pred)
        found |= {name: float(statistic(truth, pred)), f"{name}_low": low, f"{name}_high": high}
    sigmas = [fit.sigma[label] for _, fit in pairs if fit.sigma]
    if len(sigmas) == len(pairs):
        found |= honesty(pred - truth, np.array(sigmas), noise[label])
    return Score(setting=setting, group=group, label=label, n=len(pairs), **found)


def honesty(
    error: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"], noise: float
) -> dict[str, float | None]:
    """Median of |error|/sigma, without and with the scatter of the literature; shares within 1, 2 sigma."""
    pull = np.abs(error) / sigma
    return {
        "median_pull": float(np.median(pull)),
        "pull_with_noise": float(np.median(np.abs(error) / np.hypot(sigma, noise))),
        "within_1": float((pull <= 1).mean()),
        "within_2": float((pull <= 2).mean()),
    }


def _r2(truth: Values, pred: Values) -> np.ndarray:
    """R2; NaN for a resample of one star only."""
    variance = truth.var(axis=-1)
    left = ((pred - truth) ** 2).mean(axis=-1)
    some = variance > 0
    return np.where(some, 1 - left / np.where(some, variance, 1.0), np.nan)


def _bias(truth: Values, pred: Values) -> np.ndarray:
    return (pred - truth).mean(axis=-1)


def _scatter(truth: Values, pred: Values) -> np.ndarray:
    return (pred - truth).std(axis=-1)


def shifts(
    stars: Sequence[Literature],
    fits: Sequence[Fitted],
    main: str,
    others: Iterable[str],
    label: str = "log_g",
) -> tuple[Moved, ...]:
    """How a label of the same stars moves from the main setting to others."""
    base = {fit.file: fit for fit in fits if fit.setting == main}
    by_file, members = {one.file: one for one in stars}, groups(stars)
    found = []
    for setting in others:
        some = [fit for fit in fits if fit.setting == setting and fit.file in base]
        for group in ("library", "library giants", "library dwarfs"):
            moved = np.array(
                [
                    fit.mean[label] - base[fit.file].mean[label]
                    for fit in some
                    if members[group](by_file[fit.file])
                ]
            )
            found.append(_moved(setting, group, moved[np.isfinite(moved)]))
    return tuple(found)


def _moved(setting: str, group: str, moved: Float[np.ndarray, " n"]) -> Moved:
    if len(moved) < FEWEST:
        return Moved(setting=setting, group=group, n=len(moved))
    low, high = ends(lambda values: values.mean(axis=-1), moved)
    return Moved(
        setting=setting, group=group, n=len(moved), shift=float(moved.mean()), shift_low=low, shift_high=high
    )


def of(scores: Sequence[Score], setting: str, group: str, label: str) -> Score | None:
    """The one score of that setting, group and label; None: there is none."""
    key = (setting, group, label)
    return next((one for one in scores if (one.setting, one.group, one.label) == key), None)
