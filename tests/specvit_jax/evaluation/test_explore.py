"""Stars moved away: errors, noise and bounds at every magnitude."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import UsageError
from crlb.fisher.matrix import cramer_rao_bound, fisher_information, flux_jacobian
from crlb.observation.noise import variance
from specvit_jax.evaluation.explore import Star, explore
from specvit_jax.evaluation.limits import cramer_rao, exact_posterior, has_density, label_box
from specvit_jax.spectra.priors import LabelsDrawn
from specvit_jax.spectra.source import make_simulator


@pytest.fixture(scope="module")
def two_lines(two_line_grid):
    return make_simulator(two_line_grid)


@pytest.fixture(scope="module")
def explored(two_lines):
    """A giant and a dwarf at two magnitudes, and a method that is off by 0.1 dex per magnitude."""
    stars = [
        Star("giant", {"T_eff": 4500.0, "log_g": 2.0}),
        Star("dwarf", {"T_eff": 5000.0, "log_g": 4.0}),
        Star("outside", {"T_eff": 9000.0, "log_g": 4.0}),
    ]
    off = lambda flux, mag: np.repeat([2.0, 4.0], 4) + 0.1 * (mag - 18.0)  # noqa: E731
    return explore(two_lines, {"off": off}, stars=stars, mags=(18.0, 20.0), n_draws=4, n_posterior=0)


@pytest.mark.slow
def test_explored_errors_are_those_of_the_method(explored):
    assert [star["name"] for star in explored["stars"]] == ["giant", "dwarf"]
    for star in explored["methods"]["off"]["stars"]:
        assert [row["rms"] for row in star] == pytest.approx([0.0, 0.2], abs=1e-5)
        assert [row["bias"] for row in star] == pytest.approx([0.0, 0.2], abs=1e-5)


@pytest.mark.slow
def test_a_fainter_star_is_less_known(explored):
    bright, faint = explored["stars"][0]["at"]
    assert bright["snr"] > 3 * faint["snr"]
    assert faint["bound"] > 3 * bright["bound"] > 0
    assert "posterior_sigma" not in bright
    json.dumps(explored, allow_nan=False)


@pytest.mark.slow
def test_the_same_draw_of_noise_fades_the_star(explored):
    clean = np.array(explored["stars"][0]["clean"])
    bright, faint = (np.array(row["noisy"]) - clean for row in explored["stars"][0]["at"])
    assert np.corrcoef(bright, faint)[0, 1] > 0.9
    assert faint.std() > 3 * bright.std()


def test_stars_outside_the_grid_are_refused(two_lines):
    assert has_density(two_lines)
    with pytest.raises(UsageError, match="no star to look at lies within T_eff 4000 to 6000, log_g 1 to 5"):
        explore(two_lines, {}, stars=[Star("hot", {"T_eff": 20_000.0, "log_g": 4.0})])


@pytest.mark.slow
def test_the_bound_is_that_of_its_fisher_matrix(two_lines):
    labels, mag = np.array([4800.0, 2.5]), 21.0
    with jax.enable_x64(True):
        parts = (two_lines.emulator, two_lines.noise)
        emulator, noise = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), parts)

        def error2(labels):
            return variance(emulator(labels), mag, noise)

        ivar = 1 / error2(jnp.asarray(labels))
        fisher = fisher_information(flux_jacobian(emulator, labels), ivar, flux_jacobian(error2, labels))
        expected = np.asarray(cramer_rao_bound(fisher))
    assert cramer_rao(two_lines, labels[None], np.array([mag]))[0, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_a_label_that_is_held_is_known(two_line_grid, two_lines):
    held = make_simulator(two_line_grid, drawn=LabelsDrawn(ranges={"T_eff": (5000.0, 5000.0)}))
    assert label_box(held)[0].tolist() == [5000.0, 1.0]
    assert not has_density(held)
    labels, mags = np.array([[5000.0, 3.0]]), np.array([21.0])
    alone, both = (cramer_rao(simulator, labels, mags)[0, 0] for simulator in (held, two_lines))
    assert alone[0] == 0
    assert 0 < alone[1] <= both[1]


def test_bounds_are_of_the_noise_at_its_level_and_posteriors_of_a_density(two_line_grid, two_lines):
    louder = replace(two_lines, model=two_lines.model.with_noise_level(2.0))
    assert has_density(louder)
    star = np.array([[5000.0, 3.0]]), np.array([21.0])
    ratio = cramer_rao(louder, *star) / cramer_rao(two_lines, *star)
    assert (ratio > 1.9).all()
    assert (ratio <= 2.0).all()  # below 2 by what the noise level itself tells
    snapped = make_simulator(two_line_grid, drawn=LabelsDrawn("snapped"))
    assert not has_density(snapped)
    with pytest.raises(UsageError, match=r"data\.prior must be continuous"):
        exact_posterior(snapped, np.ones((1, 4096)), np.array([21.0]))


@pytest.mark.slow
def test_the_posterior_of_a_bright_star_is_as_wide_as_its_bound(two_lines):
    found = explore(two_lines, {}, stars=[Star("giant", {"T_eff": 4800.0, "log_g": 2.5})], mags=(18.0,))
    row = found["stars"][0]["at"][0]
    assert row["posterior_sigma"] == pytest.approx(row["bound"], rel=0.1)
