"""The R2-SNR figure: what log g a spectrum can tell, and what two estimators read from it.

Claim:    SpecViT stays above Ridge at every SNR, and below the exact limit R2_Bayes; the Cramer-Rao median
          is a bound for unbiased estimators only: at low SNR estimators with a prior may pass it, and at
          SNR 5 to 20 it lies above what any estimator can reach.
Command:  make figure            (python -m experiments.r2_vs_snr --help lists the options)
Hardware: two CPU cores, under 4 GB, some minutes.
Writes:   outputs/r2_vs_snr/{results.json, figure.png, figure.pdf}; the figure is drawn from the JSON alone.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress

from crlb.ceiling import ceiling
from crlb.errors import run_cli
from crlb.limits import add_exact_limit
from crlb.output import new_file
from crlb.prior import make_prior
from experiments.baselines.protocol import Chunk
from experiments.baselines.ridge import Ridge
from experiments.r2_vs_snr_figure import draw
from experiments.r2_vs_snr_tables import ceiling_table, estimator_table
from experiments.stars import LABEL, SNR_DEFINITION, Stars, about, drawn, test_stars
from experiments.study import claim_folder, provenance
from experiments.training import trained
from specvit_jax import metrics
from specvit_jax.checkpoint import load_weights, read_metadata, shipped_weights
from specvit_jax.config import preset
from specvit_jax.config_file import override
from specvit_jax.data import Simulator, make_simulator
from specvit_jax.predict import SNR_EDGES, predict

MAGNITUDES = (18.0, 20.0, 21.5, 22.0, 22.5, 23.0)  # of the published SNR table
RIDGE_SEED, VALIDATION_SEED, BAYES_SEED = 20_002, 20_003, 20_004  # training: seed 42, test: 20_001

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
    },
}


OWN = {"results.json", "figure.png", "figure.pdf", "specvit"}


@dataclass(frozen=True)
class Options:
    """The R2-SNR figure.

    Examples:
      python -m experiments.r2_vs_snr
      python -m experiments.r2_vs_snr --grid my_grid.h5 --mag 20.5 22.5
    """

    grid: Path | None = None
    """Grid file (HDF5, vacuum wavelengths in Å); default: the embedded grid (own LTE synthesis, not BOSZ)."""
    noise: Path | None = None
    """Noise curves (HDF5); default: the built-in analytic curves of the PFS medium-resolution red arm."""
    mag: tuple[float, float] = (20.5, 22.5)
    """AB magnitudes in i of the training and test spectra, drawn uniformly [bright faint]."""
    train: bool = False
    """Train a network now instead of evaluating the shipped one; always so with a grid of your own."""
    steps: int = 700
    """Training steps of 128 spectra when a network is trained; 700 take about five minutes on two cores."""
    n_test: int = 10_000
    """Test spectra."""
    n_bayes: int = 400
    """Stars simulated per magnitude for the exact limit of any estimator."""
    n_ridge: int = 20_000
    """Training spectra of Ridge; a quarter as many others choose its alpha."""
    out: Path = Path("outputs/r2_vs_snr")
    """Folder of the results; an earlier figure of this command there is replaced."""


def main() -> None:
    """Console entry: computes, draws, prints the table and the paths."""
    options = tyro.cli(Options)
    run_cli(lambda: report(options))


def report(options: Options) -> None:
    """Runs the experiment and leaves its results, its figure and a table on the screen."""
    claim_folder(options.out, OWN)
    results = run(options)
    path = options.out / "results.json"
    with new_file(path, overwrite=True) as partial:
        partial.write_text(json.dumps(results, indent=1))
    console = Console()
    console.print(ceiling_table(results))
    console.print(estimator_table(results))
    for written in [*draw(results, options.out), path]:
        console.print(str(written), soft_wrap=True, highlight=False)


def run(options: Options) -> dict[str, Any]:
    """All numbers of the figure, as plain JSON values."""
    begin = time.monotonic()
    simulator = make_simulator(options.grid, options.noise, options.mag)
    test, names = test_stars(simulator, options.n_test), simulator.label_names
    results = {
        "experiment": "r2_vs_snr",
        "label": LABEL,
        "snr_definition": SNR_DEFINITION,
        "grid": {
            "title": options.grid.name if options.grid else "embedded (own LTE synthesis, not BOSZ)",
            "source": simulator.emulator.source,
        },
        "ceiling": ceilings(options, simulator),
        "estimators": {
            "SpecViT": scores(*specvit(options, simulator, test), test, names),
            "Ridge": scores(*ridge(options, simulator, test), test, names),
        },
        "published": PUBLISHED,
        "test": about(test, options.mag),
    }
    made = provenance(options, time.monotonic() - begin, "r2_vs_snr")
    made["seeds"] |= {"ridge": RIDGE_SEED, "ridge_validation": VALIDATION_SEED, "bayes": BAYES_SEED}
    return results | {"provenance": made}


def ceilings(options: Options, simulator: Simulator) -> dict[str, Any]:
    """Per magnitude: the Cramer-Rao R2_max over the grid's nodes, and the exact limit of any estimator."""
    with jax.enable_x64(True), Progress() as progress:
        emulator, noise = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64), (simulator.emulator, simulator.noise)
        )
        options_of_both: Any = {"exposure": simulator.exposure}
        task = progress.add_task("Cramer-Rao bound over the nodes", total=len(emulator.nodes))
        advance = lambda n: progress.advance(task, n)  # noqa: E731
        found = ceiling(emulator, noise, MAGNITUDES, label=LABEL, advance=advance, **options_of_both)
        prior = make_prior(emulator.low, emulator.high, emulator.label_names)
        stars = progress.add_task("Exact limit, stars", total=options.n_bayes * len(MAGNITUDES))
        advance = lambda n: progress.advance(stars, n)  # noqa: E731
        add_exact_limit(
            found, emulator, noise, prior, n=options.n_bayes, seed=BAYES_SEED, advance=advance,
            **options_of_both,
        )  # fmt: skip
    return found


def ridge(options: Options, simulator: Simulator, test: Stars) -> tuple[np.ndarray, str]:
    """Ridge's labels of the test spectra, and how it was trained."""
    column = simulator.label_names.index(LABEL)

    def pairs(seed: int, n: int, what: str) -> Iterator[Chunk]:
        for batch in drawn(simulator, seed, n, what):
            yield np.asarray(batch.flux), np.asarray(batch.labels[:, column : column + 1])

    flux, labels = zip(*pairs(VALIDATION_SEED, options.n_ridge // 4, "Ridge, validation"), strict=True)
    model = Ridge()
    model.fit(pairs(RIDGE_SEED, options.n_ridge, "Ridge"), (np.concatenate(flux), np.concatenate(labels)))
    assert model.alpha is not None
    about = f"Ridge {options.n_ridge:,}, alpha {model.alpha[0]:.2g} from {options.n_ridge // 4:,} others"
    return model.predict(test.noisy, test.mag)[:, 0], about


def specvit(options: Options, simulator: Simulator, test: Stars) -> tuple[np.ndarray, str]:
    """SpecViT's labels of the test spectra, and how it was trained: shipped, or here and now."""
    if options.train or options.grid is not None or options.noise is not None:
        path = trained_here(options, simulator)
        about = f"SpecViT tiny, {options.steps:,} steps of 128 spectra on this grid"
    else:
        path = shipped_weights("tiny")
        step = json.loads(read_metadata(path)["about"])["step"]
        about = f"SpecViT tiny as shipped, {step:,} steps of 128 spectra"
    weights = load_weights(path)
    column = weights.config.model.label_names.index(LABEL)
    return predict(weights, test.noisy)[:, column], about


def trained_here(options: Options, simulator: Simulator) -> Path:
    """Weights of a network trained for this figure; an interrupted training of the same set-up is resumed."""
    config = override(
        preset("tiny"),
        [f"train.steps={options.steps}", f"data.mag={options.mag[0]},{options.mag[1]}"]
        + [
            f"data.{name}={path}" for name, path in (("grid", options.grid), ("noise", options.noise)) if path
        ],
    )
    return trained(config, simulator, options.out / "specvit", options.grid)


def scores(pred: np.ndarray, training: str, test: Stars, label_names: tuple[str, ...]) -> dict[str, Any]:
    """R2, MAE, RMSE and bias of one estimator, overall and per SNR bin, with bootstrap intervals."""
    truth = test.labels[:, label_names.index(LABEL)]
    return {
        "training": training,
        "overall": metrics.summary(truth, pred),
        "by_snr": metrics.by_snr(truth, pred, test.snr, SNR_EDGES),
    }


if __name__ == "__main__":
    main()
