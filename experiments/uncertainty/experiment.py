"""Whether a network knows how well it knows: predicted sigma of log g beside the exact posterior's.

Claim:    a forecast can be calibrated on average and yet wrong for every star. Coverage does not show that;
          the exact posterior of the same stars does.
Command:  python -m experiments.uncertainty [--preset smoke|cpu|gpu]
Hardware: cpu: two CPU cores, half an hour; gpu: one GPU.
Expect:   cpu: coverage within 2 % of the levels; sigma a fifth wider than the posterior's, and as wide as the
          errors of the network; correlation of ln sigma 0.88; 0.02 less in R2 than without a sigma.

The Gaussian of the posterior's mean and sigma is the best Gaussian forecast (`forecasts`). Near
the edges of the grid the posterior itself is not Gaussian; its calibration comes from the ranks of the truth
among its points, for some of the stars. A second arm has no sigma and is trained with the squared error,
which shows what the second output costs in R2.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import kstest

from experiments.study.frame import Study, Work
from experiments.study.rows import intervals, scored_spans, widened
from experiments.study.stars import LABEL, about
from experiments.study.training import FIRST_SEED, Arm, base, combined, over_seeds, weights_of
from experiments.uncertainty.forecasts import against_exact, coverage, pit, scores, within
from experiments.uncertainty.result import UncertaintyResult
from experiments.uncertainty.rows import LEVELS, ArmScores, Curve, Curves, Forecast, ForecastBin, Sigmas, Told
from specvit_jax import exact_posterior, metrics, predict

HEAD = Arm("NLL head", ("train.loss=nll", "model.predict_sigma=true"))
PLAIN = Arm("squared error, no sigma")
PIECE = 250  # stars between two savings of their ranks
CURVE = np.linspace(0.02, 0.98, 49)  # levels of the calibration curve
PIT_EDGES = np.linspace(0, 1, 21)
SIGMA_EDGES = np.geomspace(0.02, 2.0, 41)  # dex


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    n_ranks: int  # stars whose ranks in the exact posterior are computed
    arms: tuple[Arm, ...] = (HEAD, PLAIN)
    settings: tuple[str, ...] = ()
    seeds: int = 1
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(300, 2, (HEAD,)),
    "cpu": Size(10_000, 1_000, settings=("train.steps=1500",), seeds=2),
    "gpu": Size(10_000, 10_000, seeds=3),
}


def run(work: Work[Size]) -> UncertaintyResult:
    """R2 of all arms and seeds; forecasts of those with a sigma beside the exact posterior."""
    seeds = range(FIRST_SEED, FIRST_SEED + work.size.seeds)
    found = {(arm.name, seed): told(work, arm, seed) for seed in seeds for arm in work.size.arms}
    rows = [widened(ArmScores, one.scores, arm=arm, seed=seed) for (arm, seed), one in found.items()]
    networks = [np.array([one.pred, one.sigma]).T for (arm, _), one in found.items() if arm == HEAD.name]
    ranks = exact_ranks(work)
    return UncertaintyResult(
        runs=tuple(rows),
        rows=tuple(combined(rows)),
        levels=LEVELS,
        bins=bins(work, networks, ranks),
        curves=curves(work, networks, ranks),
        sigmas=sigmas(networks[0][:, 1], work.exact[:, 1]),
    )


def told(work: Work[Size], arm: Arm, seed: int) -> Told:
    """What a network says of every test star, kept as a part of the study."""
    settings = [*work.size.settings, *arm.settings, f"train.seed={seed}"]
    config = base(work.options.preset, settings)

    def compute() -> Told:
        print(f"{work.study.name}: {arm.name}, seed {seed}")
        weights = weights_of(work, arm.name, config)
        found = predict(weights, work.stars.noisy, usable=work.stars.usable)
        column, sigma, pred = config.model.label_names.index(LABEL), found.sigma, found.of(LABEL)
        return Told(
            pred=tuple(pred.tolist()),
            sigma=None if sigma is None else tuple(sigma[:, column].tolist()),
            scores=metrics.summary(work.truth, pred),
        )

    asked = {"config": asdict(config), "test": about(work.stars, work.size.mag)}
    return work.part(f"{arm.name.split()[0].lower()}-{seed}", asked, Told, compute)


def exact_ranks(work: Work[Size]) -> Float[np.ndarray, " n_ranks"]:
    """Posterior probability of a label below its true value for the first stars, kept piece by piece.

    Pieces are of neighbours in magnitude, which share templates.
    """
    n = work.size.n_ranks
    order, ranks = np.argsort(work.stars.mag[:n], kind="stable"), np.empty(n)
    for start in range(0, n, PIECE):
        rows = order[start : start + PIECE]
        ranks[rows] = _ranks(work, rows, f"ranks-{start}")
    return ranks


def _ranks(work: Work[Size], rows: np.ndarray, name: str) -> Float[np.ndarray, " n"]:
    def compute() -> list[float]:
        print(f"{work.study.name}: exact posteriors of {len(rows)} stars")
        some = work.stars.take(rows)
        exact = exact_posterior(work.simulator, some.noisy, some.mag, some.labels)
        return exact.cumulative[:, work.column].tolist()

    asked = {"test": about(work.stars, work.size.mag), "rows": rows.tolist()}
    return np.array(work.part(name, asked, list[float], compute), float)


def bins(
    work: Work[Size], networks: list[Float[np.ndarray, "n 2"]], ranks: Float[np.ndarray, " n_ranks"]
) -> tuple[ForecastBin, ...]:
    """Scores of all stars, then of those in each SNR bin: networks, moments of the posterior, posterior."""
    truth, snr = np.asarray(work.truth, np.float64), work.stars.snr
    found = []
    for low, high, inside in scored_spans(snr, whole=True):
        exact, true, known = work.exact[inside], truth[inside], ranks[inside[: len(ranks)]]
        each = [forecast(true, network[inside], exact) for network in networks]
        one = ForecastBin(
            snr_low=low,
            snr_high=high if np.isfinite(high) else None,
            snr_median=float(np.median(snr[inside])),
            n=int(inside.sum()),
            network=mean_forecast(each),
            moments=Forecast.from_json(scores(true, *exact.T)),
            posterior=replace(Forecast.from_json(coverage(known)), n=len(known)),
        )
        found.append(one)
    return tuple(found)


def forecast(
    truth: Float[np.ndarray, " n"], told: Float[np.ndarray, "n 2"], exact: Float[np.ndarray, "n 2"]
) -> Forecast:
    """Scores of the mean and sigma that a network tells, against the truth and the exact posterior."""
    pred, sigma = told.T
    return Forecast.from_json(scores(truth, pred, sigma) | against_exact(pred, sigma, exact))


def mean_forecast(each: Sequence[Forecast]) -> Forecast:
    """Mean over seeds of every score, with an interval of stars and seeds together."""
    merged: dict[str, float] = {}
    for key in (part.name for part in fields(Forecast) if not part.name.endswith(("_low", "_high"))):
        if getattr(each[0], key) is not None:
            mean, reach = over_seeds(intervals(each, key))
            merged |= {key: mean, f"{key}_low": mean - reach, f"{key}_high": mean + reach}
    return Forecast.from_json(merged)


def curves(
    work: Work[Size], networks: list[Float[np.ndarray, "n 2"]], ranks: Float[np.ndarray, " n_ranks"]
) -> Curves:
    """Histogram of forecast probabilities (PIT), and coverage of central intervals by level."""
    truth = np.asarray(work.truth, np.float64)
    return Curves(
        network=curve([pit(truth, *network.T) for network in networks]),
        moments=curve([pit(truth, *work.exact.T)]),
        posterior=curve([ranks]),
        levels=tuple(CURVE.tolist()),
        edges=tuple(PIT_EDGES.tolist()),
    )


def curve(seeds: list[Float[np.ndarray, " n"]]) -> Curve:
    """Calibration of the forecast probabilities of every seed."""
    values = np.concatenate(seeds)
    return Curve(
        n=len(seeds[0]),
        ks=float(np.mean([kstest(one, "uniform").statistic for one in seeds])),
        density=tuple(np.histogram(values, PIT_EDGES, density=True)[0].tolist()),
        covered=tuple(float(within(values, level).mean()) for level in CURVE),
    )


def sigmas(sigma: Float[np.ndarray, " n"], exact: Float[np.ndarray, " n"]) -> Sigmas:
    """Number of stars per cell of exact and predicted sigma (rows), dex; the first seed."""
    counts = np.histogram2d(sigma, exact, bins=[SIGMA_EDGES, SIGMA_EDGES])[0].astype(int)
    return Sigmas(
        edges=tuple(SIGMA_EDGES.tolist()),
        counts=tuple(map(tuple, counts.tolist())),
        beyond=len(sigma) - int(counts.sum()),
    )


STUDY = Study("uncertainty", __doc__, SIZES, run, UncertaintyResult)
