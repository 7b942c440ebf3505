"""The cost of each nuisance against one star by hand, least squares, and numbers stated for a peer's grid."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from crlb.ceilings.nuisance_effects import (
    NuisanceEffects,
    median_row,
    node_effects,
    node_fishers,
    nuisance_effects,
    nuisance_sets,
)
from crlb.detector import contiguous
from crlb.errors import UsageError
from crlb.fisher.matrix import cramer_rao_bound, fisher_information, flux_jacobian
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import load_grid
from crlb.observation.build import with_unknowns
from crlb.observation.instrument import to_detector
from crlb.observation.noise import snr, variance
from crlb.observation.nuisance import with_nuisances
from crlb.observation.nuisances import Nuisances
from crlb.observation.spectrograph import pfs_red_arm
from tests.crlb.toy import toy_grid

MODEL_WAVE = np.arange(8140.0, 8240.0, 0.15)
DETECTOR = np.arange(8150.0, 8230.0, 0.427)
AXES = (np.array([4000.0, 4700.0, 5500.0]), np.array([1.0, 2.5, 4.5]), np.array([-1.0, -0.3, 0.0]))


@pytest.fixture(scope="module")
def grid():
    return toy_grid(MODEL_WAVE, AXES)


@pytest.fixture(scope="module")
def model(grid):
    with jax.enable_x64(True):
        return with_nuisances(
            grid,
            Nuisances(True, continuum=3, rv=True, lsf=True),
            detector=contiguous(DETECTOR, 1.6, "toy"),
            rtol=1e-10,
        )


def white(flux):
    return jnp.full((1, flux.size), 1 / 0.01**2)


def test_every_nuisance_raises_the_bound_and_all_together_most(model):
    nodes = model.emulator.nodes[::3]
    effects = node_effects(model, node_fishers(model, white, nodes), label="T_eff")
    assert list(effects) == ["none", "amplitude", "continuum 1", "continuum 3", "rv", "lsf", "all"]
    for name, effect in effects.items():
        assert effect.bound.shape == effect.schur_decay.shape == (9, 1)
        assert (effect.bound >= effects["none"].bound * (1 - 1e-9)).all(), name
        assert (effect.bound <= effects["all"].bound * (1 + 1e-9)).all(), name
        assert (effect.schur_decay > 0).all()
        assert (effect.schur_decay < 1).all()
    assert (effects["continuum 3"].bound > 1.01 * effects["none"].bound).all()


def test_batched_effects_equal_one_star_by_hand(model):
    nodes = np.tile([4500.0, 2.2, -0.4], (18, 1))  # more than one chunk
    nodes[17, 1] = 3.1
    done = []
    fishers = node_fishers(model, white, nodes, advance=done.append)
    assert done == [16, 2]
    effect = node_effects(model, fishers, label="M_H", labels=("T_eff", "M_H"))["continuum 1"]
    vector = model.at_rest(nodes[17])
    columns = np.array([0, 2, 3, 4])
    design = np.asarray(jax.jit(flux_jacobian)(model, vector))[:, columns] / 0.01
    covariance = np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(effect.bound[17, 0], np.sqrt(covariance[1, 1]), rtol=1e-8)
    decay = 1 / (covariance[1, 1] * (design[:, 1] @ design[:, 1]))
    np.testing.assert_allclose(effect.schur_decay[17, 0], decay, rtol=1e-8)
    flux = model(vector)
    np.testing.assert_allclose(fishers.snr[17, 0], snr(flux, jnp.full_like(flux, 0.01)), rtol=1e-12)


def test_rows_follow_from_what_the_model_has(model):
    bare = replace(model, amplitude=False, continuum=model.continuum[:2], d_lsf_fwhm=None)
    assert nuisance_sets(bare) == {
        "none": (),
        "continuum 1": ("continuum_1",),
        "continuum 2": ("continuum_1", "continuum_2"),
        "rv": ("rv_kms",),
        "all": ("continuum_1", "continuum_2", "rv_kms"),
    }
    assert list(nuisance_sets(replace(bare, continuum=model.continuum[:0]))) == ["none", "rv", "all"]
    fishers = node_fishers(model, white, model.emulator.nodes[:1])
    with pytest.raises(UsageError, match="unknown label C_M: this grid has T_eff, log_g, M_H"):
        node_effects(model, fishers, label="C_M")
    with pytest.raises(UsageError, match="labels must include log_g"):
        node_effects(model, fishers, labels=("T_eff",))


def test_table_of_effects_holds_medians_over_nodes(builtin):
    axes = (AXES[0][:2], AXES[1][:2], AXES[2][:2])
    grid = toy_grid(np.arange(7080.0, 8870.0, 0.4), axes)
    seen, nuisances = with_unknowns(grid, pfs_red_arm(builtin), Nuisances(True, continuum=3, rv=True))
    result = nuisance_effects(nuisances, seen, [19.0, 21.0])
    rows = result.rows
    assert [(row.nuisance, row.mag) for row in rows[-2:]] == [("all", 19.0), ("all", 21.0)]
    assert len(rows) == 12
    plain = make_emulator(to_detector(grid))

    @jax.jit
    def by_hand(node):
        flux = plain(node)
        noise = variance(flux, 21.0, builtin)
        fisher = fisher_information(flux_jacobian(plain, node), 1 / noise)
        return cramer_rao_bound(fisher)[1], snr(flux, jnp.sqrt(noise))

    expected = np.median([by_hand(node) for node in plain.nodes], axis=0)
    none = next(row for row in rows if (row.nuisance, row.mag) == ("none", 21.0))
    np.testing.assert_allclose([none.bound, none.snr], expected, rtol=1e-6)
    assert none.lost == 0
    written = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert list(written) == ["target", "label_names", "rows", "provenance"]
    assert list(written["rows"][0]) == ["nuisance", "mag", "snr", "bound", "schur_decay", "lost"]
    assert NuisanceEffects.from_json(written) == result
    assert result.as_rows() == written["rows"]
    shown = [line.split() for line in result.table().splitlines() if line.split()[:1] == ["21"]]
    assert shown[0] == ["21", f"{none.snr:.1f}", "none", f"{none.bound:.4g}", f"{none.schur_decay:.3f}", "0"]
    assert len(shown) == 6


def test_a_node_without_a_bound_is_nan_here_and_unbounded_in_the_median(model):
    fishers = node_fishers(model, white, model.emulator.nodes[:3])
    rv = model.label_names.index("rv_kms")
    fishers.fisher[0, :, rv, :] = fishers.fisher[0, :, :, rv] = 0.0
    effects = node_effects(model, fishers)
    np.testing.assert_array_equal(np.isnan(effects["rv"].bound[:, 0]), [True, False, False])
    assert np.isfinite(effects["lsf"].bound).all()
    row = median_row("rv", 20.0, effects["rv"].bound[:, 0], effects["rv"].schur_decay[:, 0], np.ones(3))
    np.testing.assert_allclose(row.bound, effects["rv"].bound[1:, 0].max())
    np.testing.assert_allclose(row.schur_decay, effects["rv"].schur_decay[1:, 0].min())
    assert row.lost == 1


def test_reference_grid_gives_the_published_cost_of_a_free_continuum(reference):
    """White noise, SNR 7.1, interior nodes every 250 K and 0.5 dex; stated for a grid twice as fine."""
    grid = load_grid(reference / "synspec_grid_coarse.h5")
    with pytest.warns(UserWarning, match="1.60 to 1.77 Å is used"):
        model = with_nuisances(grid, Nuisances(amplitude=True, continuum=3))
    axes = np.arange(4250, 5751, 250.0), np.arange(1.5, 4.6, 0.5), np.array([-0.5, 0.0])
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    ivar = Partial(lambda flux: jnp.full((1, flux.size), (7.1 / 0.5) ** 2))
    effects = node_effects(model, node_fishers(model, ivar, nodes))
    found = {name: (np.median(e.bound), np.median(e.schur_decay)) for name, e in effects.items()}
    np.testing.assert_allclose(found["none"], (0.325, 0.78), rtol=0.1)
    np.testing.assert_allclose(found["continuum 3"], (0.513, 0.28), rtol=0.1)
