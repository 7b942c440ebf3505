"""What a network trained on one grid is worth on another: as it is, recalibrated, fine-tuned, from scratch.

Claim:    the network of one grid reads another code's spectra as well as a network trained on a hundred of
          them; a thousand, seen with fresh noise, teach more than fine-tuning saves, and recalibrating the
          outputs repairs little of what is left to the exact limit.
Command:  python -m experiments.transfer_learning [--preset smoke|cpu|gpu] [--target GRID.h5]
Hardware: cpu: two CPU cores, about 20 minutes a seed; gpu: one GPU.
Expect:   from the embedded to the SYNSPEC grid (cpu, one seed): zero-shot R2 0.785, recalibrated 0.79; from
          100, 1,000, 10,000 and endless spectra 0.797, 0.809, 0.815, 0.814 fine-tuned, and 0.778, 0.816,
          0.818, 0.817 from scratch. Exact limit: 0.867. That was `tiny` and the recipe of 2026-11-25; of
          its successor it is not known.

Source: `tiny` as shipped (of --grid, where given, a base trained on it). Target: another grid's stars, which
are the test set here. Zero-shot: the source network reads them. Recalibrated: log g as a linear function of
its outputs, by least squares on n spectra observed once. Fine-tuned and from scratch: the same steps on n
spectra with fresh noise (baselines/finite.py) by the recipe of `tiny`, without a teacher; fine-tuning keeps
the source's scalers and has a lower rate.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb import SpectralGrid, save_grid
from crlb.errors import MissingInputError
from crlb.grids.grid_file import make_grid
from crlb.palette import BACKGROUND, LIMIT, looks
from experiments.baselines.finite import chunks_of, finite_set, n_validation
from experiments.study.frame import Study, Work
from experiments.study.plotting import (
    EXACT,
    PAGE,
    R2,
    Sheet,
    Style,
    curve,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.result import GridName, Result
from experiments.study.rows import CurvePoint, widened
from experiments.study.stars import about, exact_posterior, limit, source_files
from experiments.study.training import FIRST_SEED, combined, cut, label_scores, run_arm, trained
from experiments.transfer_learning.options import TransferOptions
from specvit_jax import Simulator, Weights, load_weights, metrics, predict, preset
from specvit_jax.network.find import shipped_weights

DEFAULT_TARGET = Path("../shared/reference/synspec_grid_coarse.h5")  # not part of this project
NETWORK = "tiny"
FINE_TUNING_RATE = 1e-3  # a fifth of that from scratch
TILT, PIVOT_A = 2.0, 8000.0  # of the stand-in: flux times (wavelength / pivot)^tilt


@dataclass(frozen=True)
class Size:
    """How much of everything; a number of spectra of None is endless fresh ones.

    Of the target's stars the first `n_limit` get exact posteriors, 0: none, as they take minutes.
    """

    n_test: int
    numbers: tuple[int | None, ...]
    seeds: int = 2
    n_limit: int = 2_000
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {
    "smoke": Size(300, (100,), seeds=1, n_limit=0),
    "cpu": Size(10_000, (100, 1_000, 10_000, None)),
    "gpu": Size(10_000, (100, 1_000, 10_000, 100_000, None), seeds=3, n_limit=10_000),
}


@dataclass(frozen=True, kw_only=True)
class ReadScores(metrics.Score):
    """Scores of log g as a network reads it without seeing the grid in question; all its labels beside it."""

    method: str | None = None
    labels: dict[str, metrics.Score]


*_LOOKS, _LAST = looks(4)
STYLES: dict[str, Style] = dict(zip(("fine-tuned", "from scratch", "recalibrated"), _LOOKS, strict=True))
ZERO_SHOT: Style = _LAST | {"marker": ""}


@dataclass(frozen=True, kw_only=True)
class TransferResult(Result):
    """A row for every method, number of spectra and seed, and one for every curve's point."""

    target: GridName
    source_on_its_own_grid: ReadScores
    zero_shot: ReadScores
    runs: tuple[CurvePoint, ...]
    rows: tuple[CurvePoint, ...]
    limit: float | None  # None: not asked for

    def table(self) -> str:
        """One line per method and number of spectra."""
        heads = ["method", "spectra of the target", "R2 (95 %)", "MAE, dex", "seeds"]
        own, zero = self.source_on_its_own_grid, self.zero_shot
        rows = [
            ["source network on its own grid", "-", interval(own), f"{own.mae:.3f}", "1"],
            ["zero-shot", "0", interval(zero), f"{zero.mae:.3f}", "1"],
        ]
        for row in sorted(self.rows, key=lambda row: (row.method, row.n or np.inf)):
            n = "endless" if row.n is None else f"{row.n:,}"
            rows.append([row.method, n, interval(row), f"{row.mae:.3f}", str(row.seeds)])
        n_limit = int(str(self.size["n_limit"]))
        exact = "not computed" if self.limit is None else f"{self.limit:.3f} (first {n_limit:,} stars)"
        return f"{markdown(heads, rows)}\n\nTarget: {self.target.title}. Exact limit: {exact}"

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 against the number of spectra of the target grid."""
        figure, axes = sheet.one(3.0, share=0.7)
        axes.set_xscale("log")
        endless = 8 * max(row.n or 1 for row in self.rows)
        for i, (method, style) in enumerate(STYLES.items()):
            rows = [row for row in self.rows if row.method == method]
            rows.sort(key=lambda row: row.n or np.inf)
            curve(axes, rows, endless * 1.15**i, style | {"label": method})
        self.plot_levels(axes)
        axes.axvline(endless / 8**0.5, color=BACKGROUND, linewidth=0.8, zorder=0)
        finite = sorted({row.n for row in self.rows if row.n is not None})
        axes.set_xticks([*finite, endless], [*(f"{n:,}" for n in finite), "endless"])
        axes.minorticks_off()
        axes.set_xlabel("training spectra of the target grid")
        axes.set_ylabel("$R^2$ of log $g$")
        light_grid(axes)
        legend_below(figure, axes, columns=3, handlelength=3.2)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "A network trained on one grid reads stars of another: as it is (zero-shot), with its outputs "
            "mapped by a straight line fitted to n spectra of the target (recalibrated), trained on with "
            "them (fine-tuned), beside one that has seen the target only (from scratch). Endless: each "
            f"spectrum is new. Target grid: {self.target.title}",
            R2, EXACT, "Bands and error bars: 95 %, from resampled stars",
        )  # fmt: skip

    def plot_levels(self, axes: Axes) -> None:
        """What needs no spectra of the target: zero-shot, and the exact limit where it is known."""
        zero = self.zero_shot
        axes.axhspan(zero.r2_low, zero.r2_high, color=BACKGROUND, linewidth=0, zorder=0)
        axes.axhline(zero.r2, label="zero-shot", **ZERO_SHOT)
        if self.limit is not None:
            axes.axhline(self.limit, color=LIMIT, linewidth=1.0, label="exact limit")


def run(work: Work[Size]) -> TransferResult:
    """Reads the target's stars with the source network as it is, recalibrated and trained further."""
    path, title = target_grid(work)
    target = Work(work.study, replace(work.options, grid=path))
    source = source_weights(work)
    weights = load_weights(source)
    runs = [row for seed in seeds(work) for row in of_seed(target, source, weights, seed)]
    return TransferResult(
        target=GridName(title=title, source=target.simulator.emulator.source),
        test=about(target.stars, work.size.mag),
        source_on_its_own_grid=scored(work, weights),
        zero_shot=replace(scored(target, weights), method="zero-shot"),
        runs=tuple(runs),
        rows=tuple(combined(runs)),
        limit=limit_of(target),
    )


def limit_of(target: Work[Size]) -> float | None:
    """R2_Bayes of the first stars of the target; None: not asked for."""
    some = target.stars.take(slice(0, target.size.n_limit))
    if not len(some.mag):
        return None
    exact = exact_posterior(target.simulator, some, target.folder / "posterior.npz")
    return limit(some.labels[:, target.column], exact[:, target.column, 1])


def seeds(work: Work[Size]) -> range:
    """Of training sets and networks."""
    return range(FIRST_SEED, FIRST_SEED + work.size.seeds)


def target_grid(work: Work[Size]) -> tuple[Path, str]:
    """The file of the target grid and its title; built at the smoke preset where the default is absent.

    Raises:
        MissingInputError: it does not exist.
    """
    assert isinstance(work.options, TransferOptions)
    asked = work.options.target
    path = asked or DEFAULT_TARGET
    if path.is_file():
        return path, path.name
    if asked is None and work.options.preset == "smoke":
        return stand_in(work), f"coarse copy of the source grid, flux times (wavelength/8000 Å)^{TILT:g}"
    raise MissingInputError(f"target grid {path} does not exist; name one with --target GRID.h5")


def stand_in(work: Work[Size]) -> Path:
    """A grid of four nodes per label with the spectra of the source grid, their continuum tilted."""
    path = work.folder / "runs" / "target.h5"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_grid(tilted(work.simulator), path)
    return path


def tilted(simulator: Simulator, nodes: int = 4) -> SpectralGrid:
    """The grid of `stand_in`."""
    emulator, wave = simulator.emulator, np.asarray(simulator.wave, np.float64)
    axes = tuple(np.linspace(low, high, nodes) for low, high in zip(emulator.low, emulator.high, strict=True))
    labels = np.array(list(product(*axes)), np.float32)
    flux = np.asarray(simulator.clean(jnp.asarray(labels))) * (wave / PIVOT_A) ** TILT
    return make_grid(
        wave=wave,
        axes=axes,
        flux=flux.reshape(*(nodes,) * len(axes), -1),
        label_names=emulator.label_names,
        resolving_power=emulator.resolving_power,
        flux_unit="relative",
        source=f"tilted copy of: {emulator.source}",
    )


def source_weights(work: Work[Size]) -> Path:
    """The network of the source grid: as shipped for the embedded one, else trained here."""
    options = work.options
    if options.preset != "smoke" and options.grid is None and options.noise is None:
        return shipped_weights(NETWORK)
    files = source_files(options.grid, options.noise)
    return trained(
        cut(preset(NETWORK), options.preset), work.simulator, work.folder / "runs" / "source", files
    )


def scored(work: Work[Size], weights: Weights) -> ReadScores:
    """Scores of a network on the test set of a grid."""
    found = label_scores(weights, work.stars, work.simulator.label_names)
    return widened(ReadScores, found.own, labels=found.labels)


def of_seed(target: Work[Size], source: Path, weights: Weights, seed: int) -> Iterator[CurvePoint]:
    """All rows of one seed."""
    for n in target.size.numbers:
        if n is not None:
            yield recalibrated(target, source, weights, n, seed)
        yield network(target, "fine-tuned", n, seed, source)
        yield network(target, "from scratch", n, seed)


def network(
    target: Work[Size], method: str, n: int | None, seed: int, source: Path | None = None
) -> CurvePoint:
    """A network trained on n spectra of the target, from the weights of the source or from random ones."""
    size = target.options.preset
    settings = [f"train.seed={seed}"]
    if n is not None:
        usual = cut(preset(NETWORK), size)
        settings += [
            f"data.n_validation={n_validation(n)}",
            f"data.n_scaling={min(n, usual.data.n_scaling)}",
            f"train.batch_size={min(n, usual.train.batch_size)}",
        ]
    if source is not None:
        settings += [f"train.init_weights={source}", f"train.learning_rate={FINE_TUNING_RATE}"]
    spectra = target.simulator if n is None else finite_set(target.simulator, n, seed)
    row = run_arm(target, f"{method} {n or 'endless'}", cut(preset(NETWORK), size, settings), spectra)
    return widened(CurvePoint, row, method=method, n=n)


def recalibrated(target: Work[Size], source: Path, weights: Weights, n: int, seed: int) -> CurvePoint:
    """log g as a linear function of the source network's outputs, fitted to n spectra of the target."""
    chunks = chunks_of(finite_set(target.simulator, n, seed), 0, n, target.column)

    def compute() -> CurvePoint:
        flux, labels = map(np.concatenate, zip(*chunks, strict=True))
        fit = linear_fit(predict(weights, flux).labels, labels[:, 0])
        own = target.stars
        pred = fit(predict(weights, own.noisy, usable=own.usable).labels)
        scores = metrics.summary(target.truth, pred)
        return widened(CurvePoint, scores, arm=f"recalibrated {n}", method="recalibrated", n=n, seed=seed)

    asked = {"source": str(source), "n_test": target.size.n_test, "mag": list(target.size.mag)}
    return target.part(f"recalibrated-{n}-{seed}", asked, CurvePoint, compute)


def linear_fit(
    outputs: Float[np.ndarray, "n n_out"], truth: Float[np.ndarray, " n"]
) -> Callable[[Float[np.ndarray, "m n_out"]], Float[np.ndarray, " m"]]:
    """The function outputs -> label, linear with an intercept, that fits best by least squares."""
    mean, scale = outputs.mean(axis=0), outputs.std(axis=0)
    encode = lambda x: np.column_stack([np.ones(len(x)), (x - mean) / scale])  # noqa: E731
    solution = np.linalg.lstsq(encode(outputs), truth, rcond=None)[0]
    return lambda x: encode(x) @ solution


STUDY = Study("transfer_learning", __doc__, SIZES, run, TransferResult, TransferOptions)
