"""Templates against textbook widths, the spectra of their file, and the file itself."""

import h5py
import numpy as np
import pytest

from crlb.grids.grid_file import default_grid_path, load_nodes
from crlb.observation.templates import Templates, load_templates, spread
from tests.crlb.toy import LABEL_NAMES, toy_flux


def test_broadened_templates_have_the_width_asked_for():
    flux = np.ones((1, 4001))
    flux[0, 2000] += 100.0
    spike = Templates(np.log(8000.0), 1e-6, flux, np.array([[4300.0, 2.0, -1.0]]), LABEL_NAMES, np.inf)
    wide = spike.broadened(1e4, pixel=1e-4, finer=2)[0] - 1
    x = np.arange(wide.size) * 0.5e-6
    centre = np.average(x, weights=wide)
    assert centre == pytest.approx(2000e-6, abs=1e-9)
    variance = np.average((x - centre) ** 2, weights=wide)
    assert variance == pytest.approx((1e-4 / 2.354820045) ** 2 + 1e-8 / 12, rel=1e-4)
    assert wide.sum() * 0.5e-6 == pytest.approx(100e-6, rel=1e-6)


def test_templates_of_a_file_are_its_spectra_on_even_wavelengths(toy_file):
    found = load_templates(toy_file)
    assert load_templates(toy_file) is found
    wave = np.exp(found.ln_start + found.spacing * np.arange(found.flux.shape[1]))
    expected = toy_flux(found.labels, wave)
    np.testing.assert_allclose(found.flux, expected / expected.mean(axis=1, keepdims=True), atol=2e-3)
    assert len(np.unique(found.labels, axis=0)) == len(found.labels) == 18


def test_templates_are_spread_over_the_labels_that_exist():
    axes = np.arange(3750.0, 6001, 250), np.arange(1, 5.1, 0.5), np.arange(-2.5, 0.8, 0.25), [-0.25, 0.0, 0.5]
    labels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 4)
    labels = labels[~((labels[:, 0] > 5500) & (labels[:, 1] < 2))]  # no hot supergiants
    chosen = labels[spread(("T_eff", "log_g", "M_H", "a_M"), labels, 45)]
    assert 35 <= len(chosen) <= 45
    assert (chosen[:, 3] == 0).all()
    assert len(np.unique(chosen[:, 0])) >= 5
    assert (np.abs(chosen[:, :3].mean(axis=0) - labels[:, :3].mean(axis=0)) < [250, 0.4, 0.3]).all()


def test_some_nodes_are_read_from_whole_spectra_and_from_factors(toy_file, tmp_path):
    rows = np.array([1, 7, 16])
    some = load_nodes(toy_file, lambda names, labels: rows)
    with h5py.File(toy_file) as file:
        np.testing.assert_allclose(some.flux, file["flux"][()][rows])
        np.testing.assert_allclose(some.labels, file["labels"][()][rows])
    assert some.label_names == LABEL_NAMES
    embedded = load_nodes(default_grid_path(), lambda names, labels: np.array([5, 9000]))
    assert embedded.flux.shape == (2, embedded.wave.size)
    assert (embedded.flux > 0).all()
