"""R2 of log g under the conditions of a survey: the limit, and networks that live with them or do not.

Claim:    scale, continuum, velocity, line width, lost pixels and sky lines that are left over cost the limit
          some, and a network that never saw them everything; one trained under them comes as close to the
          limit as the posterior mean itself does on these stars, and its sigma is honest.
Command:  python -m experiments.survey [--preset smoke|cpu|gpu] [--network NAME=RUN ...] [--sensitivity]
Hardware: two CPU cores, two minutes; half a second more for every star whose posterior is not shipped.
Expect:   exact limit of the first 6,000 stars 0.636, which their posterior means miss (0.617); `survey`
          0.612, its sigma 4 % wider than the exact one and covering 67 and 96 %; `tiny` -0.62, with a known
          continuum 0.64.

The stars have the labels and magnitudes of the R2-SNR figure's, but are seen under
`crlb.observation.conditions.SURVEY`, each at the level of its own noisy flux. The limit is that of their
exact posteriors, all unknowns integrated out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from crlb.detector import DEFAULT_LSF_FWHM
from crlb.observation.conditions import SURVEY, Conditions
from crlb.observation.observe import observing
from experiments.study.beside_limit import NetworkRow, network_row, read
from experiments.study.frame import Study, Work
from experiments.study.resampling import with_ends
from experiments.study.rows import Span, r2_bayes, scored_spans
from experiments.study.stars import TEST_SEED, stars_of
from experiments.study.training import cut, knows_another, parse_networks, trained_here, training_of
from experiments.survey.options import SurveyOptions
from experiments.survey.result import SurveyResult
from experiments.survey.rows import CaseRow, LimitRow, Network
from specvit_jax import Simulator, Weights, load_weights, make_simulator, metrics, preset
from specvit_jax.network.find import find_weights, has_weights, shipped_weights


@dataclass(frozen=True)
class Size:
    """How much of everything; `SurveyOptions` says what each is."""

    n_test: int = 10_000
    n_posterior: int = 1000
    steps: int = 3000
    n_sensitivity: int = 2000  # test spectra of every change of the conditions
    mag: tuple[float, float] = (20.5, 22.5)


Fields = dict[str, Any]
# Unknown -> the fields of `Conditions` with which it is known, and those with which it is twice as large.
CHANGES: dict[str, tuple[Fields, Callable[[Conditions], Fields] | None]] = {
    "scale": ({"scale": 0.0}, None),
    "continuum": ({"continuum": 0}, lambda c: {"continuum_sigma": 2 * c.continuum_sigma}),
    "velocity": ({"rv_sigma_kms": 0.0}, lambda c: {"rv_sigma_kms": 2 * c.rv_sigma_kms}),
    "line-spread width": ({"lsf_sigma": 0.0}, None),
    "lost pixels": ({"lost": 0.0}, lambda c: {"lost": 2 * c.lost}),
    "sky lines": ({"sky_left": 0.0}, lambda c: {"sky_left": 2 * c.sky_left}),
}

SIZES = {
    "smoke": Size(60, 20, steps=6, n_sensitivity=30),
    "cpu": Size(),
    "gpu": Size(n_posterior=10_000),
}


def run(work: Work[Size]) -> SurveyResult:
    """The limit of the stars, and what every network reads from them."""
    assert isinstance(work.options, SurveyOptions)
    exact = work.some_posteriors(work.size.n_posterior)[:, work.column]
    spans = scored_spans(work.stars.snr[: len(exact)], whole=True)
    truth, snr = work.truth[: len(exact)], work.stars.snr[: len(exact)]
    networks, weights = {}, {}
    for name, path in weights_files(work).items():
        with work.clock.step(f"network {name} reads the test spectra"):
            weights[name] = load_weights(path)
            told = read(weights[name], work.stars)
            rows = network_rows(spans, truth, exact, told)
        networks[name] = Network(training=training_of(path), rows=rows)
    return SurveyResult(
        conditions=work.study.conditions,
        limit=tuple(limit_row(span, truth, exact, snr) for span in spans),
        networks=networks,
        sensitivity=tuple(sensitivity(work, weights)) if work.options.sensitivity else (),
    )


def sensitivity(work: Work[Size], networks: Mapping[str, Weights]) -> Iterator[CaseRow]:
    """R2 of the networks on the first test stars, each unknown left out or twice as large."""
    found = cases(work.study.conditions)
    axes = {name: max(getattr(one, name) for one in found.values()) for name in ("rv_sigma_kms", "lsf_sigma")}
    widest = replace(work.study.conditions, **axes)
    options = work.options
    simulator = make_simulator(options.grid, options.noise, work.size.mag, conditions=widest)
    for case, conditions in found.items():
        stars = stars_of(under(simulator, conditions), TEST_SEED, work.size.n_sensitivity, case)
        truth = stars.labels[:, work.column]
        r2 = {name: metrics.r2(truth, read(weights, stars)[:, 0]) for name, weights in networks.items()}
        yield CaseRow(case=case, n=len(truth), r2={name: float(value) for name, value in r2.items()})


def under(widest: Simulator, conditions: Conditions) -> Simulator:
    """A simulator under conditions within its own, on the axes that it has."""
    lsf = DEFAULT_LSF_FWHM
    moved = ((0.0, conditions.rv_sigma_kms), (lsf, conditions.lsf_sigma * lsf))
    return replace(widest, observing=observing(widest.noise, conditions), moved=moved)


def cases(conditions: Conditions) -> dict[str, Conditions]:
    """The conditions as they are, and with one unknown left out or twice as large, where that can be."""
    found = {"as they are": conditions}
    for words, (known, twice) in CHANGES.items():
        found[f"{words} known"] = replace(conditions, **known)
        if twice:
            found[f"{words} twice as uncertain"] = replace(conditions, **twice(conditions))
    return found


def weights_files(work: Work[Size]) -> dict[str, Path]:
    """The networks of the figure: those asked for, those shipped, or one trained here and now."""
    assert isinstance(work.options, SurveyOptions)
    if work.options.network:
        return {name: find_weights(run) for name, run in parse_networks(work.options.network).items()}
    if work.options.train or knows_another(work.options):
        config = cut(preset("survey"), work.options.preset, [f"train.steps={work.size.steps}"])
        with work.clock.step(f"network survey is trained for {work.size.steps:,} steps"):
            return {"survey": trained_here(work, "survey", config)}
    return {name: shipped_weights(name) for name in ("survey", "survey-teacher", "tiny") if has_weights(name)}


def limit_row(
    span: Span, truth: Float[np.ndarray, " n"], exact: Float[np.ndarray, "n 2"], snr: Float[np.ndarray, " n"]
) -> LimitRow:
    """The limit of the stars of a bin."""
    inside = span.inside
    mean, sigma = exact.T
    numbers = with_ends("r2_bayes", r2_bayes, truth[inside], sigma[inside] ** 2)
    place = {"snr_low": span.low, "snr_high": span.high if np.isfinite(span.high) else None}
    place |= {"snr_median": float(np.median(snr[inside])), "n": int(inside.sum())}
    numbers |= {"r2_mean": float(metrics.r2(truth[inside], mean[inside]))}
    return LimitRow.from_json(place | numbers | {"sigma": float(np.median(sigma[inside]))})


def network_rows(
    spans: Sequence[Span],
    truth: Float[np.ndarray, " n"],
    exact: Float[np.ndarray, "n 2"],
    told: Float[np.ndarray, "m 2"],
) -> tuple[NetworkRow, ...]:
    """A network on the stars of every bin whose limit is known."""
    return tuple(network_row(truth[s.inside], exact[s.inside], told[: len(truth)][s.inside]) for s in spans)


STUDY = Study(
    "survey",
    __doc__,
    SIZES,
    run,
    SurveyResult,
    SurveyOptions,
    leaves=frozenset({"survey"}),
    conditions=SURVEY,
)
