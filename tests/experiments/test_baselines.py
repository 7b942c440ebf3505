"""Every baseline keeps the protocol; Ridge equals an independent least-squares solution."""

import numpy as np
import pytest

from crlb.errors import DataError, UsageError
from experiments.baselines import ridge
from experiments.baselines.protocol import Baseline
from experiments.baselines.ridge import Ridge, add_up

BASELINES = {"ridge": Ridge}


def spectra(n: int, n_pix: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Flux that is linear in two labels, plus noise; the labels are in units of very different size."""
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.uniform(4000, 6000, n), rng.uniform(1, 5, n)], axis=1)
    slopes = np.random.default_rng(99).normal(size=(2, n_pix)) * np.array([[1e-4], [0.05]])
    flux = 0.5 + (labels - [5000.0, 3.0]) @ slopes + 0.05 * rng.normal(size=(n, n_pix))
    return flux.astype(np.float32), labels


def cut(flux: np.ndarray, labels: np.ndarray, *at: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(np.split(flux, at), np.split(labels, at), strict=True))


@pytest.fixture(params=list(BASELINES))
def baseline(request) -> Baseline:
    return BASELINES[request.param]()


def test_a_baseline_learns_a_linear_problem_from_a_stream_taken_once(baseline):
    flux, labels = spectra(1500)
    baseline.fit((chunk for chunk in cut(flux, labels, 400, 401, 900)), spectra(300, seed=1))
    held_out, truth = spectra(500, seed=2)
    pred = baseline.predict(held_out)
    assert pred.shape == truth.shape
    assert ((pred - truth).var(axis=0) / truth.var(axis=0) < 0.2).all()
    assert (np.abs((pred - truth).mean(axis=0)) < 0.05 * truth.std(axis=0)).all()


def test_a_baseline_predicts_each_spectrum_on_its_own(baseline):
    baseline.fit(cut(*spectra(300)), spectra(100, seed=1))
    flux, _ = spectra(40, seed=2)
    pieces = [baseline.predict(flux[i : i + 1]) for i in range(40)]
    np.testing.assert_allclose(np.concatenate(pieces), baseline.predict(flux), rtol=1e-6)


def test_a_baseline_refuses_to_predict_before_it_is_fitted(baseline):
    with pytest.raises(UsageError, match="fit"):
        baseline.predict(spectra(3)[0])


def test_a_baseline_refuses_nan_and_nothing_at_all(baseline):
    flux, labels = spectra(50)
    flux[3, 2] = np.nan
    with pytest.raises(DataError, match="finite"):
        baseline.fit([(flux, labels)], spectra(10))
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
    found = ((model.predict(validation[0]) - validation[1]) ** 2).mean(axis=0)
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
