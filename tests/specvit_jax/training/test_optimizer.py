"""Learning rates, optimisers and weight decay against closed forms."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from specvit_jax.settings.config import TrainConfig
from specvit_jax.training.optimizer import decayed, learning_rate, optimizer

CONFIG = TrainConfig(steps=100, learning_rate=1e-2, min_lr=1e-3, warmup=0.1, weight_decay=0.0, clip_norm=1e9)
PARAMS = {"layer": {"kernel": jnp.full((3, 4), 2.0), "bias": jnp.full(4, 2.0)}}


def rates(**changes):
    schedule = learning_rate(replace(CONFIG, **changes))
    return np.array([float(schedule(step)) for step in range(CONFIG.steps)])


def one_update(grads, params=PARAMS, **changes):
    tx = optimizer(replace(CONFIG, **changes))
    return jax.jit(tx.update)(grads, tx.init(params), params)[0]


def test_cosine_rises_linearly_then_falls():
    n = np.arange(100)
    cosine = 1e-3 + 0.5 * (1e-2 - 1e-3) * (1 + np.cos(np.pi * (n - 10) / 90))
    np.testing.assert_allclose(rates(), np.where(n < 10, 1e-3 * n, cosine), rtol=1e-5)


def test_cosine_without_warm_up_starts_at_its_top():
    assert rates(warmup=0.0)[0] == pytest.approx(1e-2)


def test_one_cycle_rises_and_falls_as_half_cosines():
    found, n = rates(schedule="one_cycle", warmup=0.3), np.arange(100)
    up = 4e-4 + 0.5 * (1e-2 - 4e-4) * (1 - np.cos(np.pi * n / 30))
    down = 1e-3 + 0.5 * (1e-2 - 1e-3) * (1 + np.cos(np.pi * (n - 30) / 70))
    np.testing.assert_allclose(found, np.where(n < 30, up, down), rtol=1e-5)


@pytest.mark.parametrize("schedule", ["plateau", "constant"])
def test_these_stay_after_the_warm_up(schedule):
    found = rates(schedule=schedule)
    np.testing.assert_allclose(found[:10], 1e-3 * np.arange(10), rtol=1e-5)
    np.testing.assert_allclose(found[10:], 1e-2, rtol=1e-6)


def test_adam_and_adamw_step_by_the_learning_rate_against_the_sign_of_the_first_gradient():
    grads = jax.tree.map(lambda leaf: -3.0 * jnp.ones_like(leaf), PARAMS)
    for name in ("adam", "adamw"):
        update = one_update(grads, optimizer=name, warmup=0.0)
        np.testing.assert_allclose(update["layer"]["bias"], 1e-2, rtol=1e-5)


def test_sgd_follows_the_gradient_with_momentum():
    config = replace(CONFIG, optimizer="sgd", schedule="constant", warmup=0.0, b1=0.5)
    tx, grads = optimizer(config), {"w": jnp.ones(2)}
    update, state = tx.update(grads, tx.init(grads), grads)
    np.testing.assert_allclose(update["w"], -1e-2, rtol=1e-6)
    np.testing.assert_allclose(tx.update(grads, state, grads)[0]["w"], -1.5e-2, rtol=1e-6)


def test_muon_makes_a_matrix_step_nearly_orthogonal_whatever_the_gradients_scale():
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    grads = {"kernel": jnp.asarray(turn * np.logspace(0, 1, 8)[None, :], jnp.float32)}
    large = jax.tree.map(lambda leaf: 100.0 * leaf, grads)
    step, other = (one_update(g, g, optimizer="muon", warmup=0.0)["kernel"] for g in (grads, large))
    np.testing.assert_allclose(step, other, rtol=1e-3, atol=1e-6)
    singular = np.linalg.svd(np.asarray(step), compute_uv=False) / 1e-2
    assert 0.6 < singular.min() < singular.max() < 1.3  # five Newton-Schulz steps: one, give or take a third


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("decay", ["all", "kernels"])
def test_weight_decay_shrinks_what_it_should(name, decay):
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    update = one_update(zero, optimizer=name, weight_decay=0.1, decay=decay, warmup=0.0)["layer"]
    np.testing.assert_allclose(update["kernel"], -1e-2 * 0.1 * 2.0, rtol=1e-5)
    np.testing.assert_allclose(update["bias"], -2e-3 if decay == "all" else 0.0, rtol=1e-5)


def test_kernels_are_found_by_name():
    assert decayed(replace(CONFIG, decay="kernels"))(PARAMS) == {"layer": {"kernel": True, "bias": False}}


def test_gradient_is_clipped_by_its_norm_over_all_parameters():
    grads = {"a": jnp.full(2, 3.0), "b": jnp.full(2, 4.0)}
    update = one_update(grads, grads, optimizer="sgd", clip_norm=0.5, warmup=0.0)
    assert float(optax.tree.norm(update)) == pytest.approx(1e-2 * 0.5, rel=1e-5)
    assert float(update["b"][0] / update["a"][0]) == pytest.approx(4 / 3)
