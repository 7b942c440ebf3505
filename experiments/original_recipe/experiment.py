"""What makes the original's own recipe better with more spectra: steps, spectra, stopping, last weights?

Claim:    the published R2 rises with the number of training spectra; `scaling` tells steps from spectra, but
          by another recipe. Here the original's own is run, in a smaller network, once more with as many
          steps for few spectra as for the most, and once more on whitened spectra.
Command:  python -m experiments.original_recipe [--preset smoke|cpu|gpu] [--seeds N]
Hardware: one CPU core that others use as well, about 20 minutes; gpu: the published sizes, days on one GPU.
Expect:   cpu: the recipe has -0.003, 0.23, 0.45 and 0.57 from 1,000, 5,000, 20,000 and 80,000 spectra; with
          the steps of 20,000 spectra 1,000 have 0.447, 5,000 have 0.449 (20,000: 0.450). From 5,000, as they
          are and whitened: SpecViT 0.26 and 0.57, MLP 0.57 and 0.65, Ridge 0.42 and 0.52. Exact limit: 0.736.

As in the original: conv tokenizer and its start, class token, learned position, dropout 0.1, exact GELU,
pixels and label as z-scores, L1, AdamW (3e-4, decay 0.01 on everything), cosine to 1e-5 over the most epochs
without warm-up, clip 0.5; a fixed set of n noiseless spectra, seen with fresh noise in every epoch; validated
after every epoch, ended where that has stood still.
Reduced (preset cpu; the original's in brackets): width 64 (256), 2 blocks (6), 4 heads (8), patches of 256
pixels (16), batch 64 (256), 1,000 to 80,000 spectra (50,000 to 1,000,000), at most 10 epochs (200), that is
150 to 12,500 steps (39,000 to 781,000), patience 2 epochs (20). Spectra are the embedded grid's (BOSZ). Of
validation there are n/10, at most 2,000; the best weights are those of its best R2 (in the original perhaps
of its least loss).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.baselines.finite import FiniteSet, chunks_of, finite_set, n_validation
from experiments.baselines.protocol import Chunk
from experiments.baselines.ridge import ALPHAS, Ridge
from experiments.original_recipe.result import Point, RecipeResult, Row, Training, reading
from experiments.study.frame import Study, Work
from experiments.study.published import PUBLISHED
from experiments.study.rows import widened
from experiments.study.stars import source_files
from experiments.study.training import FIRST_SEED, combined, read_label, slug, trained
from specvit_jax import Config, load_weights, metrics
from specvit_jax.network.standardise import InputScaler, fit_input_scaler
from specvit_jax.runs.listing import read_metrics
from specvit_jax.settings.config import DataConfig
from specvit_jax.settings.config_file import override
from specvit_jax.settings.presets import PAPER

COMPONENTS = 24  # that whitening keeps, as in `tiny`
WHITENED = ("data.preprocess=zca", f"data.components={COMPONENTS}")


@dataclass(frozen=True)
class Size:
    """How much of everything; the defaults are those of two cores."""

    n_test: int = 10_000
    n: tuple[int, ...] = (1_000, 5_000, 20_000, 80_000)
    replicated: tuple[int, ...] = (1_000, 5_000)  # with `seeds` seeds; all others with one
    # (n, m): n spectra with as many steps as m get, to their end
    same_steps: tuple[tuple[int, int], ...] = ((1_000, 20_000), (5_000, 20_000))
    unstopped: tuple[int, ...] = (1_000,)
    compared: int = 5_000  # spectra of the comparison with and without whitening
    epochs: int = 10
    patience: int = 2  # epochs
    network: tuple[str, ...] = (
        "model.embed_dim=64", "model.depth=2", "model.num_heads=4", "model.patch_size=256",
        "model.hidden=[256,128,64]", "train.batch_size=64",
    )  # fmt: skip
    alphas: tuple[float, ...] = ALPHAS
    seeds: int = 3
    mag: tuple[float, float] = (20.5, 22.5)


QUICK: tuple[str, ...] = ("model.embed_dim=16", "model.depth=1", "model.num_heads=2", "model.patch_size=256")
QUICK += ("model.hidden=[16]", "train.batch_size=32")
SIZES = {
    "smoke": Size(300, (300, 600), (300,), ((300, 600),), (300,), 300, 2, 1, QUICK, (1.0,), seeds=1),
    "cpu": Size(),
    "gpu": Size(
        n=PUBLISHED.n, replicated=PUBLISHED.n[:3], 
        same_steps=tuple((n, PUBLISHED.n[-1]) for n in PUBLISHED.n[:3]),
        unstopped=PUBLISHED.n[:1], compared=200_000, epochs=200, patience=20, network=(),
    ),
}  # fmt: skip


def run(work: Work[Size]) -> RecipeResult:
    """Trains and fits everything; what the answer needs most comes first."""
    size = work.size
    seeds = range(FIRST_SEED + 1, FIRST_SEED + size.seeds)
    found = chain(
        (by_recipe(work, n) for n in size.n),
        (by_steps(work, *sizes) for sizes in size.same_steps),
        (by_epochs(work, n) for n in size.unstopped),
        compared(work),
        (by_recipe(work, n, seed) for seed in seeds for n in size.replicated),
    )
    trainings = tuple(found)
    ridge = tuple(linear(work, whitened) for whitened in (False, True))
    best, last = ([getattr(one, which) for one in trainings] for which in ("best", "last"))
    return RecipeResult(
        trainings=trainings,
        ridge=ridge,
        best=tuple(combined([*best, *ridge])),
        last=tuple(combined(last)),
        limit=work.limit,
        published=PUBLISHED,
    )


def compared(work: Work[Size]) -> Iterator[Training]:
    """The recipe on whitened spectra, and an MLP by the same recipe without and with whitening."""
    mlp = "model.network=mlp"
    for settings in (WHITENED, (mlp,), (mlp, *WHITENED)):
        yield by_recipe(work, work.size.compared, settings=settings)


def by_recipe(work: Work[Size], n: int, seed: int = FIRST_SEED, settings: Sequence[str] = ()) -> Training:
    """The original's recipe on n spectra."""
    config = recipe(work.size, n, seed, settings)
    patience = replace(config.train, early_stopping=work.size.patience)
    return training(work, "recipe", n, replace(config, train=patience))


def by_epochs(work: Work[Size], n: int) -> Training:
    """The recipe on n spectra to the last of its epochs, however validation stands."""
    return training(work, "no stopping", n, recipe(work.size, n, FIRST_SEED))


def by_steps(work: Work[Size], n: int, steps_of: int) -> Training:
    """The recipe on n spectra with the steps, and so the cosine, of more, and without stopping."""
    config, longest = (recipe(work.size, count, FIRST_SEED) for count in (n, steps_of))
    every = max(1, longest.train.steps // work.size.epochs)
    train = replace(
        config.train,
        steps=longest.train.steps,
        eval_every=every,
        checkpoint_every=every,
        log_every=min(50, every),
    )
    return training(work, f"steps of {steps_of:,}", n, replace(config, train=train))


def recipe(size: Size, n: int, seed: int, settings: Sequence[str] = ()) -> Config:
    """The original's settings for n spectra, scored after every epoch, but for the stopping."""
    config = override(PAPER, ["train.warmup=0.0", f"train.seed={seed}", *size.network, *settings])
    epoch = max(1, n // config.train.batch_size)
    data = replace(
        config.data, mag=size.mag, n_validation=n_validation(n), n_scaling=min(n, config.data.n_scaling)
    )
    return scheduled(replace(config, data=data), size.epochs * epoch, epoch)


def scheduled(config: Config, steps: int, every: int) -> Config:
    """So many steps, the spectra of validation scored every so often."""
    train = replace(
        config.train, steps=steps, eval_every=every, checkpoint_every=every, log_every=min(50, every)
    )
    return replace(config, train=train)


def training(work: Work[Size], mode: str, n: int, config: Config) -> Training:
    """Trains on n spectra and scores the best and the last weights, unless that was done."""
    method = {"vit": "SpecViT", "mlp": "MLP"}[config.model.network]
    whitened, seed = config.data.preprocess != "none", config.train.seed
    arm = f"{method} {reading(whitened)} {mode} {n}"
    asked = {"config": asdict(config), "n_test": work.size.n_test, "mag": list(work.size.mag)}

    def compute() -> Training:
        print(f"{work.study.name}: {arm}, seed {seed}")
        source, folder = finite_set(work.simulator, n, seed), work.folder / "runs" / slug(f"{arm} {seed}")
        files = source_files(work.options.grid, work.options.noise)
        best = trained(config, source, folder, files)
        curve = points(folder)
        steps = max(curve, key=lambda point: point.r2).step, curve[-1].step
        row = dict(
            arm=arm, method=method, whitened=whitened, mode=mode, n=n, seed=seed,
            schedule=config.train.steps, batch=config.train.batch_size,
        )  # fmt: skip
        best_row, last_row = (
            scored(work, read_label(load_weights(path), work.stars), row | {"steps": step})
            for path, step in zip((best, best.with_name("last.safetensors")), steps, strict=True)
        )
        return Training(best_row, last_row, curve)

    return work.part(slug(f"{arm} {seed}"), asked, Training, compute)


def points(folder: Path) -> tuple[Point, ...]:
    """Validation R2 of a run along its steps."""
    return tuple(
        Point(step=int(row["step"]), r2=row["val_r2"]) for row in read_metrics(folder) if "val_r2" in row
    )


def scored(work: Work[Size], pred: Float[np.ndarray, " n"], about: Mapping[str, Any]) -> Row:
    """The scores of an estimate of the test stars, with what it is."""
    return widened(Row, metrics.summary(work.truth, pred), **about)


def linear(work: Work[Size], whitened: bool) -> Row:
    """Ridge on the spectra of the comparison, each observed once, or on the whitened components of them."""
    size, n = work.size, work.size.compared
    arm = f"Ridge {reading(whitened)} {n}"
    row = {"arm": arm, "method": "Ridge", "whitened": whitened, "n": n}

    def compute() -> Row:
        source = finite_set(work.simulator, n, FIRST_SEED)
        scaler = whitening(source, min(n, DataConfig().n_scaling)) if whitened else None
        fitted, held_out = Ridge(size.alphas), read(chunks_of(source, n, source.rows, work.column), scaler)
        flux, labels = map(np.concatenate, zip(*held_out, strict=True))
        fitted.fit(read(chunks_of(source, 0, n, work.column), scaler), (flux, labels))
        ((noisy, _),) = read([(work.stars.noisy, work.truth[:, None])], scaler)
        return scored(work, fitted.predict(noisy, work.stars.mag)[:, 0], row | {"seed": FIRST_SEED})

    asked = {"alphas": size.alphas, "n_test": size.n_test, "mag": list(size.mag), "components": COMPONENTS}
    return work.part(slug(arm), asked, Row, compute)


def whitening(source: FiniteSet, n: int) -> InputScaler:
    """The whitened components of the first n spectra of a set."""
    batch = jax.jit(FiniteSet.sample)(source, source.key, jnp.arange(n))
    noisy, clean, error = map(np.asarray, (batch.flux, batch.clean, batch.error))
    return fit_input_scaler(noisy, clean, error, DataConfig(preprocess="pca", components=min(COMPONENTS, n)))


def read(chunks: Iterable[Chunk], scaler: InputScaler | None) -> Iterator[Chunk]:
    """The same spectra, whitened where there is a scaler."""
    for flux, labels in chunks:
        yield (flux if scaler is None else np.asarray(scaler.encode(flux))), labels


STUDY = Study("original_recipe", __doc__, SIZES, run, RecipeResult)
