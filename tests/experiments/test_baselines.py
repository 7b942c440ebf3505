"""Every baseline keeps the protocol; Ridge equals an independent least-squares solution."""

from collections.abc import Callable

import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from experiments.baselines import ridge
from experiments.baselines.boosting import LightGBM, Settings
from experiments.baselines.components import PLS, PCARidge
from experiments.baselines.protocol import Baseline, Chunk
from experiments.baselines.ridge import Ridge, add_up
from experiments.baselines.store import Stored, load, save

BOOSTED = Settings(max_trees=60, num_leaves=7, learning_rate=0.2, min_data_in_leaf=5, threads=1)
BASELINES: dict[str, Callable[[], Baseline]] = {
    "ridge": Ridge,
    "pca_ridge": PCARidge,
    "pls": PLS,
    "lightgbm": lambda: LightGBM(BOOSTED),
}
MAG = np.full(500, 21.0)


def spectra(n: int, n_pix: int = 24, seed: int = 0) -> Chunk:
    """Flux that is linear in two labels, plus noise; the labels are in units of very different size."""
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.uniform(4000, 6000, n), rng.uniform(1, 5, n)], axis=1)
    slopes = np.random.default_rng(99).normal(size=(2, n_pix)) * np.array([[1e-4], [0.05]])
    flux = 0.5 + (labels - [5000.0, 3.0]) @ slopes + 0.05 * rng.normal(size=(n, n_pix))
    return flux.astype(np.float32), labels


def cut(flux: np.ndarray, labels: np.ndarray, *at: int) -> list[Chunk]:
    return list(zip(np.split(flux, at), np.split(labels, at), strict=True))


@pytest.fixture(params=list(BASELINES))
def baseline(request) -> Baseline:
    return BASELINES[request.param]()


@pytest.fixture(scope="module", params=list(BASELINES))
def learnt(request) -> Baseline:
    """Fitted once, on a stream that is taken once."""
    baseline = BASELINES[request.param]()
    baseline.fit((chunk for chunk in cut(*spectra(1500), 400, 401, 900)), spectra(300, seed=1))
    return baseline


def test_a_baseline_learns_a_linear_problem_from_a_stream_taken_once(learnt):
    held_out, truth = spectra(500, seed=2)
    pred = learnt.predict(held_out, MAG)
    assert pred.shape == truth.shape
    assert ((pred - truth).var(axis=0) / truth.var(axis=0) < 0.2).all()
    assert (np.abs((pred - truth).mean(axis=0)) < 0.05 * truth.std(axis=0)).all()


def test_a_baseline_predicts_each_spectrum_on_its_own(learnt):
    flux, _ = spectra(40, seed=2)
    pieces = [learnt.predict(flux[i : i + 1], MAG[:1]) for i in range(40)]
    np.testing.assert_allclose(np.concatenate(pieces), learnt.predict(flux, MAG[:40]), rtol=1e-5)


def test_a_baseline_comes_back_from_its_file(learnt, tmp_path):
    flux, _ = spectra(50, seed=2)
    save(tmp_path / "it.npz", Stored(learnt, ("T_eff", "log_g"), flux.mean(axis=0)))
    found = load(tmp_path / "it.npz")
    assert (type(found.baseline), found.baseline.name) == (type(learnt), learnt.name)
    assert found.label_names == ("T_eff", "log_g")
    np.testing.assert_array_equal(found.mean_flux, flux.mean(axis=0))
    np.testing.assert_array_equal(found.baseline.predict(flux, MAG[:50]), learnt.predict(flux, MAG[:50]))


def test_a_baseline_refuses_spectra_it_cannot_read(learnt):
    flux, _ = spectra(5)
    with pytest.raises(DataError, match="at least one"):
        learnt.predict(flux[:0], MAG[:0])
    with pytest.raises(DataError, match="24 pixels"):
        learnt.predict(flux[:, :20], MAG[:5])
    flux[3, 2] = np.nan
    with pytest.raises(DataError, match="spectrum 3, pixel 2"):
        learnt.predict(flux, MAG[:5])


def test_a_baseline_refuses_to_predict_or_to_be_stored_before_it_is_fitted(baseline):
    with pytest.raises(UsageError, match="fit"):
        baseline.predict(spectra(3)[0], MAG[:3])
    with pytest.raises(UsageError, match="fit"):
        baseline.arrays()


def test_a_baseline_refuses_nan_and_nothing_at_all(baseline):
    flux, labels = spectra(50)
    flux[3, 2] = np.nan
    with pytest.raises(DataError, match="finite"):
        baseline.fit([(flux, labels)], spectra(10))
    with pytest.raises(DataError, match="finite"):
        baseline.fit([spectra(50)], (flux, labels))
    with pytest.raises(DataError, match="at least one"):
        baseline.fit([], spectra(10))


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
