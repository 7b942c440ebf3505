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

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.stats import kstest

from experiments.study.drawing import interval, markdown
from experiments.study.frame import Study, Work
from experiments.study.stars import LABEL, about
from experiments.study.training import FIRST_SEED, Arm, base, combined, weights_of
from experiments.uncertainty.figure import draw_all
from experiments.uncertainty.forecasts import LEVELS, against_exact, coverage, pit, scores, within
from specvit_jax import metrics
from specvit_jax.evaluation.limits import exact_posterior
from specvit_jax.evaluation.predict import predict
from specvit_jax.evaluation.scores import SNR_EDGES

HEAD = Arm("NLL head", ("train.loss=nll", "model.predict_sigma=true"))
NAMES = {"network": "NLL head", "moments": "exact moments", "posterior": "exact posterior"}
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


def run(work: Work) -> dict[str, Any]:
    """R2 of all arms and seeds; forecasts of those with a sigma beside the exact posterior."""
    seeds = range(FIRST_SEED, FIRST_SEED + work.size.seeds)
    found = {(arm.name, seed): forecast(work, arm, seed) for seed in seeds for arm in work.size.arms}
    rows = [{"arm": arm, "seed": seed} | one["scores"] for (arm, seed), one in found.items()]
    networks = [
        np.array([one["pred"], one["sigma"]]).T for (arm, _), one in found.items() if arm == HEAD.name
    ]
    ranks = exact_ranks(work)
    return {
        "runs": rows,
        "rows": combined(rows),
        "levels": list(LEVELS),
        "bins": bins(work, networks, ranks),
        "curves": curves(work, networks, ranks),
        "sigmas": sigmas(networks[0][:, 1], work.exact[:, 1]),
    }


def forecast(work: Work, arm: Arm, seed: int) -> dict[str, Any]:
    """What a network says of every test star: mean and, where it has one, sigma (dex); its scores."""
    settings = [*work.size.settings, *arm.settings, f"train.seed={seed}"]
    config = base(work.options.preset, settings)

    def compute() -> dict[str, Any]:
        print(f"{work.study.name}: {arm.name}, seed {seed}")
        found = predict(weights_of(work, arm.name, config), work.stars.noisy)
        column = config.model.label_names.index(LABEL)
        return {
            "pred": found.of(LABEL).tolist(),
            "sigma": None if found.sigma is None else found.sigma[:, column].tolist(),
            "scores": metrics.summary(work.truth, found.of(LABEL)).to_json(),
        }

    asked = {"config": asdict(config), "test": about(work.stars, work.size.mag)}
    return work.part(f"{arm.name.split()[0].lower()}-{seed}", asked, compute)


def exact_ranks(work: Work) -> Float[np.ndarray, " n_ranks"]:
    """Posterior probability of a label below its true value for the first stars, kept piece by piece.

    Pieces are of neighbours in magnitude, which share templates.
    """
    n = work.size.n_ranks
    order, ranks = np.argsort(work.stars.mag[:n], kind="stable"), np.empty(n)
    for start in range(0, n, PIECE):
        rows = order[start : start + PIECE]
        ranks[rows] = _ranks(work, rows, f"ranks-{start}")
    return ranks


def _ranks(work: Work, rows: np.ndarray, name: str) -> Float[np.ndarray, " n"]:
    def compute() -> list[float]:
        print(f"{work.study.name}: exact posteriors of {len(rows)} stars")
        some = work.stars.take(rows)
        exact = exact_posterior(work.simulator, some.noisy, some.mag, some.labels)
        return exact.cumulative[:, work.column].tolist()

    asked = {"test": about(work.stars, work.size.mag), "rows": rows.tolist()}
    return np.array(work.part(name, asked, compute), float)


def bins(
    work: Work, networks: list[Float[np.ndarray, "n 2"]], ranks: Float[np.ndarray, " n_ranks"]
) -> list[dict[str, Any]]:
    """Scores of all stars, then of those in each SNR bin: networks, moments of the posterior, posterior."""
    truth, snr, found = np.asarray(work.truth, np.float64), work.stars.snr, []
    for low, high in [(0.0, np.inf), *pairwise(SNR_EDGES)]:
        inside = (snr >= low) & (snr < high)
        if inside.sum() < metrics.MIN_BIN:
            continue
        exact, true = work.exact[inside], truth[inside]
        each = []
        for pred, sigma in (network[inside].T for network in networks):
            each.append(scores(true, pred, sigma) | against_exact(pred, sigma, exact))
        known = ranks[inside[: len(ranks)]]
        found.append(
            {
                "snr_low": low,
                "snr_high": high if np.isfinite(high) else None,
                "snr_median": float(np.median(snr[inside])),
                "n": int(inside.sum()),
                "network": over_seeds(each),
                "moments": scores(true, *exact.T),
                "posterior": {"n": len(known)} | coverage(known),
            }
        )
    return found


def over_seeds(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean over seeds of every score, with an interval of stars and seeds together."""
    keys = [key for key in each[0] if not key.endswith(("_low", "_high"))]
    rows = [{"arm": HEAD.name} | one for one in each]
    merged: dict[str, Any] = {}
    for key in keys:
        whole = combined(rows, key)[0]
        merged |= {name: whole[name] for name in (key, f"{key}_low", f"{key}_high")}
    return merged


def curves(
    work: Work, networks: list[Float[np.ndarray, "n 2"]], ranks: Float[np.ndarray, " n_ranks"]
) -> dict[str, Any]:
    """Histogram of forecast probabilities (PIT), and coverage of central intervals by level."""
    truth = np.asarray(work.truth, np.float64)
    seeds = [pit(truth, *network.T) for network in networks]
    probabilities = {"network": seeds, "moments": [pit(truth, *work.exact.T)], "posterior": [ranks]}
    return {
        name: {
            "n": len(values[0]),
            "ks": float(np.mean([kstest(one, "uniform").statistic for one in values])),
            "density": np.histogram(np.concatenate(values), PIT_EDGES, density=True)[0].tolist(),
            "covered": [float(within(np.concatenate(values), level).mean()) for level in CURVE],
        }
        for name, values in probabilities.items()
    } | {"levels": CURVE.tolist(), "edges": PIT_EDGES.tolist()}


def sigmas(sigma: Float[np.ndarray, " n"], exact: Float[np.ndarray, " n"]) -> dict[str, Any]:
    """Number of stars per cell of exact and predicted sigma (rows), dex; the first seed."""
    counts = np.histogram2d(sigma, exact, bins=[SIGMA_EDGES, SIGMA_EDGES])[0].astype(int)
    return {
        "edges": SIGMA_EDGES.tolist(),
        "counts": counts.tolist(),
        "beyond": len(sigma) - int(counts.sum()),
    }


def table(results: dict[str, Any]) -> str:
    """R2 of the arms, then the forecasts: all stars, and by SNR."""
    arms = [[row["arm"], str(row["seeds"]), interval(row), f"{row['mae']:.3f}"] for row in results["rows"]]
    heads = ["SNR", "n", "forecast", *(f"covers {level:.0%}" for level in results["levels"])]
    heads += ["mean sigma, dex", "NLL", "CRPS, dex", "excess NLL", "of it by the mean"]
    heads += ["width / error", "correlation of ln sigma"]
    lines = []
    for found in results["bins"]:
        ends = f"{found['snr_low']:g} to {found['snr_high']:g}" if found["snr_high"] else "all"
        for key in ("network", "moments", "posterior"):
            n = found["posterior"]["n"] if key == "posterior" else found["n"]
            lines.append([ends, str(n), NAMES[key], *cells_of(found[key], results["levels"])])
    return f"{markdown(['arm', 'seeds', 'R2 (95 %)', 'MAE, dex'], arms)}\n\n{markdown(heads, lines)}"


def cells_of(found: dict[str, Any], levels: list[float]) -> list[str]:
    """Scores of a forecast as text, a dash where it has none."""
    covers = [interval(found, f"cover_{round(100 * level)}") for level in levels]
    others = ("sharpness", "nll", "crps", "excess_nll", "excess_mean", "width", "correlation")
    return [*covers, *(interval(found, key) for key in others)]


def draw(results: dict[str, Any]) -> Figure:
    """Calibration, sigma beside the exact one, and scores by SNR."""
    return draw_all(results, NAMES)


STUDY = Study("uncertainty", __doc__, SIZES, run, table, draw)
