"""PCA + Ridge and PLS against Ridge, scikit-learn and what must hold at their limits; files of baselines."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler

from crlb.errors import DataError, MissingInputError, OutputError, UsageError
from crlb.files.npz import CHECKSUM
from experiments.baselines.components import PLS, PCARidge, directions, principal
from experiments.baselines.ridge import Ridge, add_up
from experiments.baselines.store import Stored, load, save
from tests.experiments.baselines.test_protocol import N_PIX, cut, spectra

FLUX, LABELS = spectra(400)


def candidate(model: PCARidge | PLS, **settings: float):
    """The solution of these settings alone."""
    found = [c for c in model.candidates(add_up(cut(FLUX, LABELS, 90))) if c.settings == settings]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_ridge_on_all_principal_components_is_ridge(alpha):
    found = candidate(PCARidge(counts=(N_PIX,), alphas=(alpha,)), n_components=N_PIX, alpha=alpha)
    weights, intercept = add_up([(FLUX, LABELS)]).solve(alpha)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-5, atol=1e-6 * np.abs(weights).max())
    np.testing.assert_allclose(found.intercept, intercept, rtol=1e-5)


def test_pca_and_ridge_are_those_of_scikit_learn():
    alpha, count = 0.1, 5
    found = candidate(PCARidge(counts=(count, 9), alphas=(alpha,)), n_components=count, alpha=alpha)
    z = StandardScaler().fit_transform(FLUX.astype(np.float64))
    scores = PCA(count).fit_transform(z)
    expected = SklearnRidge(alpha * len(z)).fit(scores, LABELS).predict(scores)
    np.testing.assert_allclose(FLUX @ found.weights + found.intercept, expected, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_pls_of_every_label_is_that_of_scikit_learn(count):
    found = candidate(PLS(), n_components=count)
    for i in range(2):
        reference = PLSRegression(count, scale=True).fit(FLUX.astype(np.float64), LABELS[:, i])
        expected = reference.predict(FLUX.astype(np.float64)).ravel()
        np.testing.assert_allclose((FLUX @ found.weights + found.intercept)[:, i], expected, rtol=1e-5)


def test_pls_with_as_many_components_as_pixels_is_least_squares():
    found = candidate(PLS(most=N_PIX), n_components=N_PIX)
    design = np.column_stack([FLUX.astype(np.float64), np.ones(len(FLUX))])
    expected = design @ np.linalg.lstsq(design, LABELS, rcond=None)[0]
    np.testing.assert_allclose(FLUX @ found.weights + found.intercept, expected, rtol=1e-5)


def test_pls_of_labels_without_noise_stops_when_nothing_is_left():
    labels = FLUX[:, :1].astype(np.float64)
    solutions = list(PLS(most=N_PIX + 10).candidates(add_up([(FLUX, labels)])))
    assert len(solutions) == N_PIX
    last = FLUX @ solutions[-1].weights + solutions[-1].intercept
    np.testing.assert_allclose(last, labels, atol=1e-4)


@pytest.mark.parametrize("make", [PCARidge, PLS])
def test_the_settings_of_the_smallest_validation_error_are_kept_for_every_label(make):
    model, validation = make(), spectra(300, seed=4)
    model.fit([(FLUX, LABELS)], validation)
    errors = [
        ((validation[0] @ c.weights + c.intercept - validation[1]) ** 2).mean(axis=0)
        for c in model.candidates(add_up([(FLUX, LABELS)]))
    ]
    settings = [c.settings for c in model.candidates(add_up([(FLUX, LABELS)]))]
    for i, best in enumerate(np.argmin(errors, axis=0)):
        assert {name: values[i] for name, values in model.chosen.items()} == settings[best]


def test_principal_directions_are_orthonormal_and_in_order():
    scale, vectors, variance = principal(add_up([(FLUX, LABELS)]), 6)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-10)
    assert (np.diff(variance) <= 0).all()
    np.testing.assert_allclose(scale, FLUX.std(axis=0, dtype=np.float64), rtol=1e-5)
    spread = ((FLUX - FLUX.mean(axis=0)) / scale @ vectors).var(axis=0)
    np.testing.assert_allclose(spread, variance, rtol=1e-4)


def test_directions_span_the_principal_ones_and_the_pls_solutions():
    sums = add_up([(FLUX, LABELS)])
    basis = directions(sums, 3, 2)
    assert basis.shape == (N_PIX, 3 + 2 * 2)
    two = next(c for c in PLS().candidates(sums) if c.settings["n_components"] == 2).weights
    rest = two - basis @ np.linalg.lstsq(basis, two, rcond=None)[0]
    assert np.abs(rest).max() < 1e-9 * np.abs(two).max()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PCARidge(counts=(0, 4)), "at least 1"),
        (lambda: PCARidge(alphas=(-1.0,)), "positive"),
        (lambda: PLS(most=0), "at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


# --- files


@pytest.fixture
def stored(tmp_path):
    model = Ridge()
    model.fit([(FLUX, LABELS)], spectra(50, seed=1))
    save(tmp_path / "it.npz", Stored(model, ("T_eff", "log_g"), FLUX.mean(axis=0)))
    return tmp_path / "it.npz"


def test_a_stored_baseline_keeps_what_was_chosen(stored):
    found = load(stored).baseline
    assert isinstance(found, Ridge)
    assert found.alpha is not None
    assert set(found.alpha) <= set(Ridge().alphas)


def test_a_file_is_replaced_only_when_asked(stored):
    with pytest.raises(OutputError, match="exists already"):
        save(stored, load(stored))
    save(stored, load(stored), overwrite=True)
    assert load(stored).label_names == ("T_eff", "log_g")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"none\.npz"):
        load(tmp_path / "none.npz")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_that_was_cut_is_refused(stored, share):
    whole = stored.read_bytes()
    stored.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="not a readable npz"):
        load(stored)


def test_a_flipped_byte_is_found(stored):
    bytes_ = bytearray(stored.read_bytes())
    bytes_[len(bytes_) // 2] ^= 0xFF
    stored.write_bytes(bytes(bytes_))
    with pytest.raises(DataError, match="not a readable npz"):
        load(stored)


def test_files_from_elsewhere_are_refused(stored, tmp_path):
    np.savez(tmp_path / "other.npz", flux=FLUX)
    with pytest.raises(DataError, match="format"):
        load(tmp_path / "other.npz")
    np.save(tmp_path / "one.npy", FLUX)
    with pytest.raises(DataError, match="not a readable npz"):
        load(tmp_path / "one.npy")
    (tmp_path / "text.npz").write_text("spectra")
    with pytest.raises(DataError, match="not a readable npz"):
        load(tmp_path / "text.npz")


def test_pickles_are_not_opened(tmp_path):
    np.savez(tmp_path / "pickle.npz", format=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="not a readable npz"):
        load(tmp_path / "pickle.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": np.array("Oracle")}, "must be one of Ridge, .*'Oracle'"),
        ({"format": np.array("specvit-jax baseline 0")}, "must have format"),
        ({"label_names": None}, "lacks 'label_names'"),
        ({"baseline/weights": None}, "lacks 'weights'"),
    ],
)
def test_a_file_that_lacks_something_is_refused(stored, changes, message):
    with np.load(stored) as file:
        arrays = {name: file[name] for name in file.files if name != CHECKSUM} | changes
    np.savez(stored, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=message):
        load(stored)


def test_a_baseline_of_an_unknown_kind_is_not_stored(tmp_path):
    class Oracle(Ridge):
        pass

    with pytest.raises(UsageError, match="must be one of Ridge"):
        save(tmp_path / "it.npz", Stored(Oracle(), ("log_g",), FLUX.mean(axis=0)))
