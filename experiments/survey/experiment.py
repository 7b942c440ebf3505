"""R2 of log g under the conditions of a survey: the limit, and networks that live with them or do not.

Claim:    scale, continuum, velocity, line width, lost pixels and sky lines that are left over cost the limit
          some, and a network that never saw them nearly everything; one trained under them comes close to
          the limit again, and its sigma is honest.
Command:  python -m experiments.survey [--preset smoke|cpu|gpu] [--network NAME=RUN ...]
Hardware: two CPU cores, two minutes and, for every star whose posterior is not shipped, up to a second.
Expect:   was not known before the first run.

The stars have the labels and magnitudes of the R2-SNR figure's, but are seen under
`crlb.observation.conditions.SURVEY`, each at the level of its own noisy flux. The limit is that of their
exact posteriors, all unknowns integrated out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crlb.observation.conditions import SURVEY
from experiments.study.beside_limit import NetworkRow, network_row, read
from experiments.study.frame import Options, Study, Work
from experiments.study.resampling import with_ends
from experiments.study.rows import Span, r2_bayes, scored_spans
from experiments.study.training import parse_networks, training_of
from experiments.survey.result import SurveyResult
from experiments.survey.rows import LimitRow, Network
from specvit_jax import load_weights
from specvit_jax.network.find import find_weights, has_weights


@dataclass(frozen=True)
class SurveyOptions(Options):
    """Networks beside the exact limit of stars as a survey sees them.

    Examples:
      python -m experiments.survey
      python -m experiments.survey --network mine=runs/mine tiny=tiny --n-posterior 500
    """

    network: tuple[str, ...] = ()
    """Networks as NAME=RUN, a weights file, or the name of a preset whose weights are shipped; default:
    those of survey, survey-teacher and tiny (of published conditions) that are shipped."""
    n_test: int | None = None
    """Test spectra; default: 10,000."""
    n_posterior: int | None = None
    """Test spectra whose exact posterior is computed where all are not shipped; default: 1000."""


@dataclass(frozen=True)
class Size:
    """How much of everything; `SurveyOptions` says what each is."""

    n_test: int = 10_000
    n_posterior: int = 1000
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(60, 20),
    "cpu": Size(),
    "gpu": Size(n_posterior=10_000),
}


def run(work: Work[Size]) -> SurveyResult:
    """The limit of the stars, and what every network reads from them."""
    assert isinstance(work.options, SurveyOptions)
    exact = work.some_posteriors(work.size.n_posterior)[:, work.column]
    spans = scored_spans(work.stars.snr[: len(exact)], whole=True)
    truth, snr = work.truth[: len(exact)], work.stars.snr[: len(exact)]
    networks = {}
    for name, run in (parse_networks(work.options.network) or shipped()).items():
        path = find_weights(run)
        told = read(load_weights(path), work.stars)
        networks[name] = Network(training=training_of(path), rows=network_rows(spans, truth, exact, told))
    return SurveyResult(
        conditions=work.study.conditions,
        limit=tuple(limit_row(span, truth, exact[:, 1], snr) for span in spans),
        networks=networks,
    )


def shipped() -> dict[str, str]:
    """The networks of the figure whose weights come with the package."""
    return {name: name for name in ("survey", "survey-teacher", "tiny") if has_weights(name)}


def limit_row(
    span: Span, truth: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"], snr: Float[np.ndarray, " n"]
) -> LimitRow:
    """The limit of the stars of a bin."""
    inside = span.inside
    numbers = with_ends("r2_bayes", r2_bayes, truth[inside], sigma[inside] ** 2)
    place = {"snr_low": span.low, "snr_high": span.high if np.isfinite(span.high) else None}
    place |= {"snr_median": float(np.median(snr[inside])), "n": int(inside.sum())}
    return LimitRow.from_json(place | numbers | {"sigma": float(np.median(sigma[inside]))})


def network_rows(
    spans: Sequence[Span],
    truth: Float[np.ndarray, " n"],
    exact: Float[np.ndarray, "n 2"],
    told: Float[np.ndarray, "m 2"],
) -> tuple[NetworkRow, ...]:
    """A network on the stars of every bin whose limit is known."""
    return tuple(network_row(truth[s.inside], exact[s.inside], told[: len(truth)][s.inside]) for s in spans)


STUDY = Study("survey", __doc__, SIZES, run, SurveyResult, SurveyOptions, conditions=SURVEY)
