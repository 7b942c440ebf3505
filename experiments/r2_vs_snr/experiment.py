"""The R2-SNR figure: what log g a spectrum can tell, and what every method reads from it.

Claim:    SpecViT stays above every other method that learns, and below the exact limit R2_Bayes; the
          Cramer-Rao median is a bound for unbiased estimators only: at low SNR estimators with a prior may
          pass it, and at SNR 5 to 20 it lies above what any estimator can reach.
Command:  make figure            (python -m experiments.r2_vs_snr --help lists the options)
Hardware: two CPU cores, under 4 GB, some minutes.
Expect:   R2 of log g SpecViT 0.715, exact limit of the same stars 0.736, Ridge 0.459.
Writes:   outputs/r2_vs_snr/{results.json, table.md, figure.png, figure.pdf}, fitted methods beside them; the
          figure is drawn from the JSON alone.
"""

import json
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress

from crlb.bayes.prior import make_prior
from crlb.ceilings.ceiling import ceiling
from crlb.ceilings.with_prior import with_exact_limit
from crlb.errors import run_cli
from crlb.files.output import new_file
from experiments.r2_vs_snr.figure import draw
from experiments.r2_vs_snr.methods import Asked, Method, methods, seeds
from experiments.r2_vs_snr.tables import ceiling_table, method_table, snr_table
from experiments.study.drawing import save
from experiments.study.frame import claim_folder, describe_grid, provenance, write_results
from experiments.study.resampling import with_ends
from experiments.study.stars import (
    LABEL,
    SNR_DEFINITION,
    Stars,
    about,
    by_type,
    exact_posterior,
    limit,
    stored_posteriors,
    test_stars,
)
from specvit_jax import metrics
from specvit_jax.evaluation.explore import explore
from specvit_jax.evaluation.limits import in_float64
from specvit_jax.evaluation.scores import SNR_EDGES
from specvit_jax.spectra.source import Simulator, make_simulator

MAGNITUDES = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)  # of the published SNR table
BAYES_SEED = 20_004  # of the stars of the exact limit's curve; training: 42, test: 20_001

# R2 of log g as published for the original PyTorch system: project report, December 2025 to February 2026,
# BOSZ 2017 over the same label box. Its SNR column is close to the 95 % quantile of flux/error, 1.18 times
# the median; the centres of its bins are divided by that here.
PUBLISHED = {
    "source": "report on the original PyTorch SpecViT (2026), test set of 10,000 BOSZ 2017 spectra",
    "note": "another grid, label prior and test set; estimator SNR = bin centre / 1.18",
    "curves": {
        "Cramer-Rao": {
            "snr": [87.4, 24.0, 7.1, 4.6, 3.0, 1.9],
            "r2": [0.9994, 0.9906, 0.8914, 0.7396, 0.3658, 0.0],
        },
        "SpecViT": {
            "snr": [2.54, 3.39, 4.24, 5.08, 6.36, 8.90, 12.92, 19.49],
            "r2": [0.46, 0.46, 0.54, 0.64, 0.71, 0.80, 0.89, 0.91],
        },
        "Ridge": {
            "snr": [2.54, 3.39, 4.24, 5.08, 6.36, 8.90, 12.92, 19.49],
            "r2": [0.12, 0.24, 0.40, 0.48, 0.53, 0.58, 0.63, 0.67],
        },
        "LightGBM": {
            "snr": [2.54, 3.39, 4.24, 5.08, 6.36, 8.90, 12.92, 19.49],
            "r2": [0.27, 0.36, 0.43, 0.52, 0.59, 0.72, 0.82, 0.87],
        },
        "Template fit": {
            "snr": [2.54, 3.39, 4.24, 5.08, 6.36, 8.90, 12.92, 19.49],
            "r2": [0.2132, 0.2283, 0.2809, 0.3569, 0.3594, 0.5128, 0.5645, 0.5387],
        },
    },
}


OWN = {"results.json", "table.md", "figure.png", "figure.pdf", "explorer.json", "posterior.npz"}
OWN |= {"specvit", "cnn", "mlp", "ridge.npz", "lightgbm.npz"}


@dataclass(frozen=True)
class Options(Asked):
    """The R2-SNR figure.

    Examples:
      python -m experiments.r2_vs_snr
      python -m experiments.r2_vs_snr --grid my_grid.h5 --mag 20.5 22.5
    """

    n_test: int = 10_000
    """Test spectra."""
    n_bayes: int = 400
    """Stars simulated per magnitude for the curve of the exact limit of any estimator."""
    n_posterior: int = 1000
    """Test spectra whose exact posterior is computed for the efficiency, where all are not shipped."""
    explorer: bool = False
    """Also read eight stars at eleven magnitudes with every method, for the explorer of `specvit report`."""


def main() -> None:
    """Console entry: computes, draws, prints the table and the paths."""
    options = tyro.cli(Options)
    run_cli(lambda: report(options))


def report(options: Options) -> None:
    """Runs the experiment and leaves its results, its figure and its tables."""
    claim_folder(options.out, OWN)
    results = run(options)
    text = method_table(results)
    written = write_results(options.out, results, text)
    console = Console()
    console.print(ceiling_table(results))
    console.print(snr_table(results))
    print(text)
    for path in [*save(draw, results, options.out), written]:
        console.print(str(path), soft_wrap=True, highlight=False)


def run(options: Options) -> dict[str, Any]:
    """All numbers of the figure, as plain JSON values."""
    begin = time.monotonic()
    simulator = make_simulator(options.grid, options.noise, options.mag)
    test, column = test_stars(simulator, options.n_test), simulator.label_names.index(LABEL)
    found, absent = methods(options, simulator)
    exact = posteriors(options, simulator, test)[:, column]
    results = {
        "experiment": "r2_vs_snr",
        "title": "R² of log g against SNR",
        "label": LABEL,
        "snr_definition": SNR_DEFINITION,
        "grid": describe_grid(options.grid, simulator),
        "ceiling": ceilings(options, simulator),
        "limit": limits(test, exact, column),
        "estimators": {name: scores(method, test, exact, column) for name, method in found.items()},
        "absent": absent,
        "published": PUBLISHED,
        "test": about(test, options.mag),
    }
    if options.explorer:
        write_explorer(options, simulator, found)
    made = provenance(options, time.monotonic() - begin, "r2_vs_snr")
    made["seeds"] |= seeds() | {"bayes": BAYES_SEED}
    return results | {"provenance": made}


def posteriors(options: Options, simulator: Simulator, test: Stars) -> Float[np.ndarray, "m n_labels 2"]:
    """Exact posteriors of the test stars: all that are shipped, else those of the first `n_posterior`."""
    path = options.out / "posterior.npz"
    known = stored_posteriors(path, test)
    if len(known) >= min(options.n_posterior, len(test.mag)):
        return known
    return exact_posterior(simulator, test.take(slice(options.n_posterior)), path)


def write_explorer(options: Options, simulator: Simulator, found: dict[str, Method]) -> None:
    """The same stars, brighter and fainter, as every method reads them; `specvit report` shows them."""
    predictors = {name: method.predict for name, method in found.items()}
    with Console().status("explorer") as status:
        data = explore(simulator, predictors, say=lambda step: status.update(f"explorer: {step}"))
    with new_file(options.out / "explorer.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(data, allow_nan=False))


def ceilings(options: Options, simulator: Simulator) -> dict[str, Any]:
    """Per magnitude: the Cramer-Rao R2_max over the grid's nodes, and the exact limit of any estimator."""
    with jax.enable_x64(True), Progress() as progress:
        model = in_float64(simulator)
        emulator = model.emulator
        task = progress.add_task("Cramer-Rao bound over the nodes", total=len(emulator.nodes))
        advance = lambda n: progress.advance(task, n)  # noqa: E731
        found = ceiling(model, MAGNITUDES, label=LABEL, advance=advance)
        prior = make_prior(emulator.low, emulator.high, emulator.label_names)
        stars = progress.add_task("Exact limit, stars", total=options.n_bayes * len(MAGNITUDES))
        advance = lambda n: progress.advance(stars, n)  # noqa: E731
        found = with_exact_limit(found, model, prior, n=options.n_bayes, seed=BAYES_SEED, advance=advance)
    return found.to_json()


def limits(test: Stars, exact: Float[np.ndarray, "m 2"], column: int) -> dict[str, Any]:
    """R2_Bayes of the test stars themselves, overall and per SNR bin, from their posteriors."""
    truth, snr = test.labels[: len(exact), column], test.snr[: len(exact)]
    return {"n": len(exact), "overall": limit(truth, exact[:, 1]), "by_snr": efficiencies(truth, exact, snr)}


def scores(method: Method, test: Stars, exact: Float[np.ndarray, "m 2"], column: int) -> dict[str, Any]:
    """Scores of one method overall, per SNR bin and per type of star, with bootstrap intervals."""
    truth, pred = test.labels[:, column], method.predict(test.noisy, test.mag)
    m = len(exact)
    return {
        "training": method.training,
        "overall": metrics.summary(truth, pred).to_json(),
        "by_snr": [row.to_json() for row in metrics.by_snr(truth, pred, test.snr, SNR_EDGES)],
        "by_type": by_type(truth, pred),
        "efficiency": efficiencies(truth[:m], exact, test.snr[:m], pred[:m]),
    }


def efficiencies(
    truth: Float[np.ndarray, " m"],
    exact: Float[np.ndarray, "m 2"],
    snr: Float[np.ndarray, " m"],
    pred: Float[np.ndarray, " m"] | None = None,
) -> list[dict[str, Any]]:
    """R2_Bayes of every SNR bin and, with an estimate, its R2 over it.

    Intervals resample stars with all that is theirs; bins with too few stars to be scored are left out.
    """
    rows = []
    for low, high in pairwise(SNR_EDGES):
        inside = (snr >= low) & (snr < high)
        if inside.sum() < metrics.MIN_BIN:
            continue
        y, variance = truth[inside], exact[inside, 1] ** 2
        row: dict[str, Any] = {"snr_low": low, "snr_high": high, "n": int(inside.sum())}
        row |= {"snr_median": float(np.median(snr[inside]))} | with_ends("r2_bayes", r2_bayes, y, variance)
        if pred is not None:
            row |= with_ends("efficiency", efficiency, y, variance, pred[inside])
        rows.append(row)
    return rows


def r2_bayes(truth: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """1 - mean posterior variance / variance of the labels, along the last axis."""
    return 1 - variance.mean(axis=-1) / truth.var(axis=-1, dtype=np.float64)


def efficiency(truth: np.ndarray, variance: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """R2 over R2_Bayes of the same stars, along the last axis."""
    return np.asarray(metrics.r2(truth, pred)) / r2_bayes(truth, variance)
