"""Every baseline keeps the protocol; Ridge equals an independent least-squares solution."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from experiments.baselines import ridge
from experiments.baselines.boosting import LightGBM, Settings
from experiments.baselines.components import PLS, PCARidge
from experiments.baselines.networks import CNN, MLP, Network
from experiments.baselines.protocol import Baseline, Chunk
from experiments.baselines.ridge import Ridge, add_up
from experiments.baselines.store import Stored, load, save
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.spectra.source import make_simulator

N_PIX = 24
MAG = np.full(400, 21.0)


def spectra(n: int, n_pix: int = N_PIX, seed: int = 0) -> Chunk:
    """Flux that is linear in two labels, plus noise; the labels are in units of very different size."""
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.uniform(4000, 6000, n), rng.uniform(1, 5, n)], axis=1)
    slopes = np.random.default_rng(99).normal(size=(2, n_pix)) * np.array([[1e-4], [0.05]])
    flux = 0.5 + (labels - [5000.0, 3.0]) @ slopes + 0.05 * rng.normal(size=(n, n_pix))
    return flux.astype(np.float32), labels


def cut(flux: np.ndarray, labels: np.ndarray, *at: int) -> list[Chunk]:
    return list(zip(np.split(flux, at), np.split(labels, at), strict=True))


def toy_network(config: Config) -> Network:
    """A network of a few hundred parameters that learns within seconds."""
    model = replace(
        config.model, input_size=N_PIX, hidden=(16,), channels=(4,), patch_size=5, dropout=0.0,
        label_names=("T_eff", "log_g"),
    )  # fmt: skip
    train = replace(
        config.train, steps=240, batch_size=32, learning_rate=1e-2, eval_every=120, checkpoint_every=240
    )
    toy = replace(config, model=model, train=train, data=DataConfig())
    return Network(toy, devices=jax.devices("cpu")[:1])


class Case(NamedTuple):
    """A baseline and a problem it is to solve."""

    make: Callable[[], Baseline]
    draw: Callable[[int, int], Chunk]  # number of spectra, seed
    n_train: int = 1500
    n_test: int = 300
    learns: bool = True  # or knows all without a training set
    rtol: float = 1e-5  # to which a spectrum alone gets the labels it gets among others


BOOSTED = Settings(max_trees=60, num_leaves=7, learning_rate=0.2, min_data_in_leaf=5, threads=1)
CASES: dict[str, Callable[[], Baseline]] = {
    "ridge": Ridge,
    "pca_ridge": PCARidge,
    "pls": PLS,
    "lightgbm": lambda: LightGBM(BOOSTED),
    "lightgbm_components": lambda: LightGBM(replace(BOOSTED, features="components", n_principal=4)),
    "mlp": lambda: toy_network(MLP),
    "cnn": lambda: toy_network(CNN),
}
KNOWING = {"template_fit": "TemplateFit", "posterior_mean": "PosteriorMean"}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in KNOWING]


@pytest.fixture(scope="module", params=[*CASES, *SLOW])
def case(request, toy_grid) -> Case:
    if request.param in CASES:
        return Case(CASES[request.param], lambda n, seed: spectra(n, seed=seed))
    forward = pytest.importorskip("experiments.baselines.forward").Forward(grid=str(toy_grid))
    module = pytest.importorskip(f"experiments.baselines.{request.param}")
    simulator = make_simulator(toy_grid, mag=(21.0, 21.0))

    def draw(n: int, seed: int) -> Chunk:
        batch = simulator.sample(jax.random.key(seed), np.arange(n))
        return np.asarray(batch.flux), np.asarray(batch.labels)

    # The points of the posterior mean are quasi-random, other ones at every place.
    rtol = 1e-2 if request.param == "posterior_mean" else 1e-5
    make = getattr(module, KNOWING[request.param])
    return Case(lambda: make(forward), draw, 20, 24, learns=False, rtol=rtol)


@pytest.fixture
def baseline(case) -> Baseline:
    return case.make()


@pytest.fixture(scope="module")
def learnt(case) -> Baseline:
    """Fitted once, on a stream that is taken once."""
    baseline, n = case.make(), case.n_train
    pieces = cut(*case.draw(n, 0), n // 4, n // 4 + 1, n // 2)
    baseline.fit((piece for piece in pieces), case.draw(n // 5, 1))
    return baseline


def test_a_baseline_learns_a_problem_from_a_stream_taken_once(case, learnt):
    held_out, truth = case.draw(case.n_test, 2)
    pred = learnt.predict(held_out, MAG[: case.n_test])
    assert pred.shape == truth.shape
    assert ((pred - truth).var(axis=0) / truth.var(axis=0) < 0.2).all()
    assert (np.abs((pred - truth).mean(axis=0)) < 0.1 * truth.std(axis=0)).all()


def test_a_baseline_predicts_each_spectrum_on_its_own(case, learnt):
    flux, _ = case.draw(6, 2)
    pieces = [learnt.predict(flux[i : i + 1], MAG[:1]) for i in range(6)]
    whole = learnt.predict(flux, MAG[:6])
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=case.rtol)


def test_a_baseline_comes_back_from_its_file(case, learnt, tmp_path):
    flux, labels = case.draw(6, 2)
    names = ("T_eff", "log_g", "M_H")[: labels.shape[1]]
    save(tmp_path / "it.npz", Stored(learnt, names, flux.mean(axis=0)))
    found = load(tmp_path / "it.npz")
    assert (type(found.baseline), found.baseline.name) == (type(learnt), learnt.name)
    assert found.label_names == names
    np.testing.assert_array_equal(found.mean_flux, flux.mean(axis=0))
    np.testing.assert_array_equal(found.baseline.predict(flux, MAG[:6]), learnt.predict(flux, MAG[:6]))


def test_a_baseline_refuses_spectra_it_cannot_read(case, learnt):
    flux, _ = case.draw(5, 2)
    with pytest.raises(DataError, match="at least one"):
        learnt.predict(flux[:0], MAG[:0])
    with pytest.raises(DataError, match=f"{flux.shape[1]} pixels"):
        learnt.predict(flux[:, :20], MAG[:5])
    flux = flux.copy()
    flux[3, 2] = np.nan
    with pytest.raises(DataError, match="finite"):
        learnt.predict(flux, MAG[:5])


def test_a_baseline_refuses_to_predict_or_to_be_stored_before_it_is_fitted(case, baseline):
    with pytest.raises(UsageError, match="fit"):
        baseline.predict(case.draw(3, 0)[0], MAG[:3])
    with pytest.raises(UsageError, match="fit"):
        baseline.arrays()


def test_a_baseline_refuses_nan_and_nothing_at_all(case, baseline):
    flux, labels = case.draw(50, 0)
    flux = flux.copy()
    flux[3, 2] = np.nan
    with pytest.raises(DataError, match="finite"):
        baseline.fit([case.draw(50, 0)], (flux, labels))
    if not case.learns:
        return
    with pytest.raises(DataError, match="finite"):
        baseline.fit([(flux, labels)], case.draw(10, 1))
    with pytest.raises(DataError, match="at least one"):
        baseline.fit([], case.draw(10, 1))


def test_a_baseline_has_a_name(baseline):
    assert baseline.name


def test_ridge_solves_the_augmented_least_squares_problem(monkeypatch):
    monkeypatch.setattr(ridge, "BLOCK", 37)
    flux, labels = spectra(200)
    order = np.argsort(labels[:, 1])  # so that the first block has another mean than all
    flux, labels = flux[order], labels[order]
    z = (flux - flux.mean(axis=0, dtype=np.float64)) / flux.std(axis=0, dtype=np.float64)
    for alpha in (0.01, 3.0):
        weights, intercept = add_up(cut(flux, labels, 60)).solve(alpha)
        rows = np.vstack([z, np.sqrt(200 * alpha) * np.eye(24)])
        target = np.vstack([labels - labels.mean(axis=0), np.zeros((24, 2))])
        expected = z @ np.linalg.lstsq(rows, target, rcond=None)[0] + labels.mean(axis=0)
        np.testing.assert_allclose(flux @ weights + intercept, expected, rtol=2e-6)


def test_ridge_takes_the_alpha_of_the_smallest_validation_error_for_every_label():
    train, validation = spectra(30, seed=3), spectra(400, seed=4)
    model = Ridge(alphas=(0.01, 0.1, 1.0, 10.0))
    model.fit([train], validation)
    sums = add_up([train])
    errors = []
    for alpha in model.alphas:
        weights, intercept = sums.solve(alpha)
        errors.append(((validation[0] @ weights + intercept - validation[1]) ** 2).mean(axis=0))
    best = np.argmin(errors, axis=0)
    assert list(model.alpha) == [model.alphas[i] for i in best]
    found = ((model.predict(validation[0], MAG[:400]) - validation[1]) ** 2).mean(axis=0)
    np.testing.assert_allclose(found, np.min(errors, axis=0))


def test_a_large_alpha_leaves_the_mean_label():
    flux, labels = spectra(100)
    weights, intercept = add_up([(flux, labels)]).solve(1e9)
    np.testing.assert_allclose(
        flux @ weights + intercept, np.broadcast_to(labels.mean(axis=0), (100, 2)), rtol=1e-6
    )


def test_an_offset_of_the_flux_costs_no_digits():
    """Flux of 1000 +- 0.1: products of the flux itself would lose eight of float32's seven digits."""
    flux, labels = spectra(500)
    far = (flux + np.float32(1000)).astype(np.float32)
    weights, _ = add_up([(far, labels)]).solve(0.1)
    expected, _ = add_up([(far.astype(np.float64) - 1000, labels)]).solve(0.1)
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("sizes", "expected"), [([3, 3, 3], [4, 4, 1]), ([10], [4, 4, 2]), ([4], [4])])
def test_blocks_regroup_a_stream_without_losing_or_reordering_a_spectrum(sizes, expected):
    flux, labels = spectra(sum(sizes))
    found = list(ridge.blocks(cut(flux, labels, *np.cumsum(sizes)[:-1]), size=4))
    assert [len(piece) for piece, _ in found] == expected
    np.testing.assert_array_equal(np.concatenate([piece for piece, _ in found]), flux)
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in found]), labels)


def test_alphas_that_are_not_positive_are_refused():
    with pytest.raises(UsageError, match="positive"):
        Ridge(alphas=(0.0, 1.0))
