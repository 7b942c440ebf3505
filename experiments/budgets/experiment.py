"""Equal budgets: every method learns from as many fresh spectra, and reads the same numbers of them.

Claim:    on one instrument, reading the same 41 numbers of each spectrum with a learning rate of its own, a
          perceptron learns log g from fewer spectra than SpecViT and a CNN do; ten times as many bring all
          three within 0.02 of the exact limit.
Command:  python -m experiments.budgets [--preset smoke|cpu|gpu] [--seeds N]
Hardware: two CPU cores; how long it takes is measured and said before the first training.
Expect:   R2 of log g from 76,800 and 768,000 spectra: MLP 0.706 and 0.727, SpecViT 0.677 and 0.719, CNN 0.677
          and 0.717, LightGBM 0.687 and 0.706, Ridge 0.52; exact limit 0.736.

The input of all: spectra scaled by their noise, whitened to 40 components, and the scatter outside of them.
SpecViT and the CNN read it as whitened pixels, the perceptron, the trees and Ridge as components: the same
41 numbers. The networks share the optimiser (Muon for matrices, AdamW for the rest, as for the kernels of
convolutions), the schedule, the loss and the three labels of the recipe of `tiny` (of 2026-11-25);
each sees every spectrum once. Trees and Ridge learn log g alone, from sets of fixed size, each spectrum
observed once, by the scaler of the perceptron; beyond the small budget with the first seed only.

The learning rate of every network is the one of the best R2 of log g in validation at the small budget: of
three, and of others beyond the end of these while the best one is at that end. The large budget takes it
over. The test stars choose nothing. The CNN is small, kernels of 8 pixels, 8 to 32 channels, strides of 4: a
step of the one of `experiments.baselines` takes four times as long as one of SpecViT.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Float

from crlb.errors import MissingInputError
from experiments.baselines.boosting import TUNED, LightGBM, Settings, import_lightgbm
from experiments.baselines.finite import chunks_of, finite_set
from experiments.baselines.protocol import Baseline, Chunk
from experiments.baselines.ridge import Ridge
from experiments.budgets.result import BudgetRow, BudgetsResult, Fits
from experiments.study.beside_limit import limit_run, network_row, over_seeds
from experiments.study.frame import Study, Work
from experiments.study.pace import Planned, announce
from experiments.study.rows import widened
from experiments.study.stars import LABEL
from experiments.study.training import EQUAL_BUDGET, FIRST_SEED, NOISE_SCALED, base, run_folder, weights_of
from specvit_jax import Config
from specvit_jax.network.find import find_weights
from specvit_jax.network.standardise import InputScaler

NETWORKS: dict[str, tuple[str, ...]] = {
    "SpecViT": ("model.patch_size=512",),
    "MLP": ("model.network=mlp", "model.hidden=[256,256,256]", "model.patch_size=16",
            "data.preprocess=pca", "model.input_size=41"),
    "CNN": ("model.network=cnn", "model.channels=[8,16,32,32]", "model.patch_size=8", "model.hidden=[128]"),
}  # fmt: skip
SCALED_BY = "MLP"  # whose scaler the trees and Ridge read the spectra with
# The rate of `tiny`, a third and three times as much; the kernels of the CNN take AdamW, which wants less.
RATES: dict[str, tuple[float, ...]] = {
    "SpecViT": (0.0017, 0.005, 0.015),
    "MLP": (0.0017, 0.005, 0.015),
    "CNN": (0.00056, 0.0017, 0.005),
}
ALPHAS = (1e-4, 1e-3, 1e-2, 0.1, 1.0)  # of Ridge, in units of the variance of a component
TREES = replace(TUNED, features="pixels", learning_rate=0.1, max_trees=1000, threads=1)


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int = 10_000
    budgets: tuple[int, ...] = (76_800, 768_000)  # spectra, the first is the one the rate is tuned at
    batch: int = 256
    fitted: tuple[int, ...] = (20_000, 76_800, 768_000)  # spectra of trees and Ridge
    most_rates: int = 5  # tried for a network
    trees: Settings = TREES
    seeds: int = 3
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(60, (192, 384), 32, (600,), 3, replace(TREES, max_trees=3, num_leaves=4), seeds=1),
    "cpu": Size(),
    "gpu": Size(budgets=(768_000, 20_480_000), batch=1024, fitted=(20_000, 768_000)),
}


def run(work: Work[Size]) -> BudgetsResult:
    """Tunes every network, then trains all with every seed, the small budget first; fits the others."""
    announce(work, list(planned(work)))
    tuning = {method: tune(work, method) for method in NETWORKS}
    rates = {method: chosen(rows).rate or 0.0 for method, rows in tuning.items()}
    runs = [
        trained_on(work, method, n, rates[method], seed)
        for n in work.size.budgets
        for seed in seeds_of(work)
        for method in NETWORKS
    ]
    keep_weights(work, rates)
    fits = [
        fits_of(work, n, seed, rates[SCALED_BY])
        for n in work.size.fitted
        for seed in (seeds_of(work) if n <= work.size.budgets[0] else (FIRST_SEED,))
    ]
    runs += [row for one in fits for row in one.rows]
    return BudgetsResult(
        tuning=tuple(row for rows in tuning.values() for row in rows),
        runs=tuple(runs),
        rows=tuple(over_seeds(runs)),
        missing=tuple(sorted({reason for one in fits for reason in one.missing})),
        limit=work.limit,
    )


def seeds_of(work: Work[Size]) -> range:
    """The seeds of all trainings."""
    return range(FIRST_SEED, FIRST_SEED + work.size.seeds)


def planned(work: Work[Size]) -> Iterator[Planned]:
    """The trainings of every network: its rates at the small budget, its seeds at all."""
    size = work.size
    for method in NETWORKS:
        config = config_of(work, method, size.budgets[0], RATES[method][0], FIRST_SEED)
        small, *larger = (n // size.batch for n in size.budgets)
        runs_small = len(RATES[method]) + size.seeds - 1
        yield Planned(method, config, runs_small * small + size.seeds * sum(larger))


def tune(work: Work[Size], method: str) -> list[BudgetRow]:
    """The small budget at three rates, and beyond them while the best is at an end, the lowest rate first."""
    small = work.size.budgets[0]
    tried = [trained_on(work, method, small, rate, FIRST_SEED) for rate in RATES[method]]
    while len(tried) < work.size.most_rates:
        rate = beyond([row.rate or 0.0 for row in tried], chosen(tried).rate or 0.0)
        if rate is None:
            break
        tried.append(trained_on(work, method, small, rate, FIRST_SEED))
    return sorted(tried, key=lambda row: row.rate or 0.0)


def chosen(rows: list[BudgetRow]) -> BudgetRow:
    """The row of the best R2 in validation."""
    return max(rows, key=lambda row: row.validation or -np.inf)


def beyond(rates: list[float], best: float) -> float | None:
    """The next rate, a factor of 3 beyond the end that the best one is at; None: it is at none."""
    if best == max(rates):
        return float(f"{3 * best:.2g}")
    return float(f"{best / 3:.2g}") if best == min(rates) else None


def config_of(work: Work[Size], method: str, n: int, rate: float, seed: int) -> Config:
    """The configuration of a network that sees n spectra."""
    batch = work.size.batch
    settings = [f"train.steps={n // batch}", f"train.batch_size={batch}", f"train.seed={seed}"]
    settings += [f"train.learning_rate={rate:g}"]
    return base(work.options.preset, [*NOISE_SCALED, *NETWORKS[method], *settings])


def name_of(method: str, n: int, rate: float) -> str:
    """The name of the run of a network that sees n spectra."""
    return f"{method}, {n:,} spectra, rate {rate:g}"


def trained_on(work: Work[Size], method: str, n: int, rate: float, seed: int) -> BudgetRow:
    """A network that sees n spectra, each once."""
    config = config_of(work, method, n, rate, seed)
    row = limit_run(work, name_of(method, n, rate), config)
    return widened(BudgetRow, row, method=method, rate=rate)


def keep_weights(work: Work[Size], rates: Mapping[str, float]) -> None:
    """Copies the networks of the large budget and the first seed to weights/, for the R2-SNR figure."""
    n, folder = work.size.budgets[-1], work.folder / EQUAL_BUDGET.name
    folder.mkdir(exist_ok=True)
    for method in NETWORKS:
        config = config_of(work, method, n, rates[method], FIRST_SEED)
        found = find_weights(run_folder(work, name_of(method, n, rates[method]), config))
        shutil.copyfile(found, folder / f"{method.lower()}.safetensors")


def fits_of(work: Work[Size], n: int, seed: int, rate: float) -> Fits:
    """Ridge and trees of n spectra, each observed once, as the perceptron of the small budget reads them."""
    config = config_of(work, SCALED_BY, work.size.budgets[0], rate, FIRST_SEED)
    trees = work.size.trees
    methods: list[Baseline] = [Ridge(ALPHAS)]
    missing = []
    try:
        import_lightgbm()
        methods.append(LightGBM(trees))
    except MissingInputError as error:
        missing.append(str(error))

    def compute() -> Fits:
        print(f"{work.study.name}: {n:,} spectra to fit, seed {seed}", flush=True)
        name = name_of(SCALED_BY, work.size.budgets[0], rate)
        scaler = weights_of(work, name, config).input_scaler
        train, validation = learnt_from(work, n, seed, scaler)
        rows = tuple(fitted(work, method, train, validation, scaler, seed) for method in methods)
        return Fits(rows=rows, missing=tuple(missing))

    asked = {"scaler": asdict(config), "trees": asdict(trees), "alphas": ALPHAS, "n_test": work.size.n_test}
    asked |= {"methods": [method.name for method in methods], "mag": list(work.size.mag)}
    return work.part(f"fits-{n}-{seed}", asked, Fits, compute)


def learnt_from(work: Work[Size], n: int, seed: int, scaler: InputScaler) -> tuple[Chunk, Chunk]:
    """The numbers that are read of n spectra with their log g, and of those to choose settings on."""
    source = finite_set(work.simulator, n, seed)

    def pairs(start: int, stop: int) -> Chunk:
        read = [(numbers(scaler, flux), y) for flux, y in chunks_of(source, start, stop, work.column)]
        flux, labels = map(np.concatenate, zip(*read, strict=True))
        return flux, labels

    return pairs(0, n), pairs(n, source.rows)


def numbers(scaler: InputScaler, flux: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, "n n_in"]:
    """What is read of noisy spectra."""
    return np.asarray(scaler.encode(flux))


def fitted(
    work: Work[Size], method: Baseline, train: Chunk, validation: Chunk, scaler: InputScaler, seed: int
) -> BudgetRow:
    """A method fitted to the numbers that are read of spectra, beside the limit."""
    method.fit([train], validation)
    pred = method.predict(numbers(scaler, work.stars.noisy), work.stars.mag)[:, 0]
    row = network_row(work.truth, work.exact, np.stack([pred, np.full(len(pred), np.nan)], axis=1))
    n = len(train[0])
    return widened(
        BudgetRow,
        row,
        arm=f"{method.name}, {n:,} spectra",
        seed=seed,
        labels={LABEL: row.r2},
        spectra=n,
        method=method.name,
    )


STUDY = Study("budgets", __doc__, SIZES, run, BudgetsResult, leaves=frozenset({EQUAL_BUDGET.name}))
