"""Positions: their formulas, and what a network with them can and cannot tell apart."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from specvit_jax.network import position
from specvit_jax.network.model import SpecViT
from specvit_jax.network.tokens import Tokens, wavelength_features
from specvit_jax.settings.config import ModelConfig

X = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)


def random_params(config: ModelConfig):
    rng, x = np.random.default_rng(0), jnp.zeros((1, config.input_size))
    shapes = jax.eval_shape(SpecViT(config).init, jax.random.key(0), x)["params"]
    return jax.tree.map(lambda s: jnp.asarray(0.3 * rng.normal(size=s.shape), s.dtype), shapes)


@cache
def compiled(config: ModelConfig):
    return jax.jit(SpecViT(config).apply)


def apply(config: ModelConfig, params, x, **options):
    return compiled(config)({"params": params}, jnp.asarray(x), **options)


def tokens(config: ModelConfig, params, x):
    return np.asarray(Tokens(config).apply({"params": params["tokens"]}, jnp.asarray(x)))


# --- sinusoidal


def test_sinusoidal_positions_are_those_of_vaswani():
    found = position.sinusoidal(40, 6)
    for t in (0, 1, 39):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            np.testing.assert_allclose(found[t, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-6)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_sinusoidal_positions_are_added_and_not_learned(toy_model, pool):
    config = replace(toy_model, pos_embed="sinusoidal", pool=pool)
    params = random_params(config)
    assert "position" not in params["tokens"]
    added = tokens(config, params, X) - tokens(replace(config, pos_embed="none"), params, X)
    expected = position.sinusoidal(config.num_tokens, config.embed_dim)
    np.testing.assert_allclose(added, np.broadcast_to(expected, added.shape), atol=1e-5)


# --- rotary


def test_scores_of_rotated_queries_and_keys_depend_on_index_differences_only():
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 16))
    query, key = (position.rotate(jnp.tile(t, (1, 50, 1)), 2)[0].reshape(50, 2, 8) for t in (query, key))
    scores = np.einsum("ihd,jhd->hij", query, key)
    for shift in (1, 17):
        np.testing.assert_allclose(scores[:, shift:, shift:], scores[:, :-shift, :-shift], atol=2e-5)
    assert np.abs(scores[:, 0, :5] - scores[:, :1, 0]).max() > 0.1


def test_rotation_turns_every_pair_by_its_angle_and_leaves_token_zero():
    x = jax.random.normal(jax.random.key(0), (2, 5, 12))
    turned = np.asarray(position.rotate(x, 3)).reshape(2, 5, 3, 2, 2)
    pairs = np.asarray(x).reshape(2, 5, 3, 2, 2)
    z, w = pairs[..., 0] + 1j * pairs[..., 1], turned[..., 0] + 1j * turned[..., 1]
    angle = np.arange(5)[:, None] * np.array([1.0, 0.01])  # heads of 4: 10000^0, 10000^(-2/4)
    np.testing.assert_allclose(w, z * np.exp(1j * angle)[None, :, None, :], atol=1e-5)
    np.testing.assert_allclose(w[:, 0], z[:, 0], atol=1e-6)


def test_rotation_is_computed_in_float32_whatever_comes_in():
    x = jax.random.normal(jax.random.key(0), (1, 300, 8)).astype(jnp.bfloat16)
    turned = position.rotate(x, 1)
    assert turned.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        turned.astype(jnp.float32), position.rotate(x.astype(jnp.float32), 1), rtol=2**-8, atol=1e-6
    )


def test_rotary_positions_add_nothing_to_the_tokens_but_tell_their_order(toy_model):
    config = replace(toy_model, pos_embed="rotary", pool="mean")
    params = random_params(config)
    assert set(params["tokens"]) == {"patches"}
    np.testing.assert_array_equal(
        tokens(config, params, X), tokens(replace(config, pos_embed="none"), params, X)
    )
    assert np.abs(apply(config, params, shuffled(X)) - apply(config, params, X)).max() > 1e-4


def shuffled(x):
    return x.reshape(*x.shape[:-1], 4, 16)[..., [2, 0, 3, 1], :].reshape(x.shape)


def test_odd_sizes_have_no_pairs():
    with pytest.raises(ValueError, match="even"):
        position.sinusoidal(4, 5)
    with pytest.raises(ValueError, match="even"):
        position.rotate(jnp.ones((1, 2, 6)), 2)


# --- wavelength


@pytest.fixture(scope="module")
def by_wave(toy_model) -> ModelConfig:
    return replace(toy_model, pos_embed="wavelength", pool="mean")


def default_wave(config: ModelConfig):
    return jnp.asarray(np.linspace(*config.wave_range, config.input_size), jnp.float32)


def test_wavelength_features_reach_from_a_tokens_share_to_the_whole_arm():
    span, n = 0.2, 32
    log_wave = np.linspace(0, span, 1001)
    found = np.asarray(position.wavelength(jnp.asarray(log_wave, jnp.float32), span, n, 8))
    slowest, fastest = np.pi * log_wave / span, np.pi * log_wave / (span / n)
    np.testing.assert_allclose(found[:, :2], np.stack([np.sin(slowest), np.cos(slowest)], 1), atol=1e-5)
    np.testing.assert_allclose(found[:, -2:], np.stack([np.sin(fastest), np.cos(fastest)], 1), atol=1e-4)


def test_default_wavelengths_are_linear_over_the_range(by_wave):
    params = random_params(by_wave)
    expected = apply(by_wave, params, X, wave=default_wave(by_wave))
    np.testing.assert_allclose(apply(by_wave, params, X), expected, atol=1e-6)


def test_the_same_light_gets_the_same_position_at_another_sampling(by_wave):
    # Pixels of half the size: windows of 32 of them cover what windows of 16 did.
    wave = np.asarray(default_wave(by_wave), np.float64)
    step = wave[1] - wave[0]
    fine = np.stack([wave - step / 4, wave + step / 4], axis=1).ravel()
    expected = wavelength_features(by_wave, None)
    found = wavelength_features(
        replace(by_wave, patch_size=32, input_size=128), jnp.asarray(fine, jnp.float32)
    )
    np.testing.assert_allclose(found, expected, atol=2e-3)
    other = wavelength_features(by_wave, jnp.asarray(wave + 40 * step, jnp.float32))
    assert np.abs(other - expected).max() > 0.5


def test_a_network_reads_part_of_the_arm_at_its_own_wavelengths(by_wave):
    params, wave = random_params(by_wave), default_wave(by_wave)
    model = Tokens(by_wave)
    part = model.apply({"params": params["tokens"]}, jnp.asarray(X[:, 16:48]), wave[16:48])
    np.testing.assert_allclose(part, tokens(by_wave, params, X)[:, 1:3], atol=1e-4)
    assert apply(by_wave, params, X[:, 16:48], wave=wave[16:48]).shape == (3, 1)


@pytest.mark.parametrize("pool", ["cls", "mean", "attention"])
def test_tokens_shuffled_together_with_their_wavelengths_read_the_same(by_wave, pool):
    config = replace(by_wave, pool=pool)
    params, wave = random_params(config), default_wave(config)
    expected = apply(config, params, X, wave=wave)
    np.testing.assert_allclose(apply(config, params, shuffled(X), wave=shuffled(wave)), expected, atol=1e-5)
    assert np.abs(apply(config, params, shuffled(X), wave=wave) - expected).max() > 1e-4


def test_wavelength_positions_start_with_the_stated_deviation(by_wave):
    config = replace(by_wave, embed_dim=128, input_size=512, token_std=0.5)
    params = jax.jit(Tokens(config).init)(jax.random.key(0), jnp.zeros((1, 512)))["params"]
    assert np.std(wavelength_features(config, None) @ params["position"]["kernel"]) == pytest.approx(
        0.5, rel=0.1
    )


def test_spectra_the_network_cannot_place_are_refused(toy_model, by_wave):
    x, wave = jnp.zeros((1, 48)), jnp.linspace(7000.0, 8000.0, 48)

    def run(config, x, wave):
        jax.eval_shape(lambda x: SpecViT(config).init(jax.random.key(0), x, wave=wave), x)

    with pytest.raises(ValueError, match="input_size"):
        run(by_wave, x, None)
    with pytest.raises(ValueError, match="pos_embed wavelength"):
        run(toy_model, x, wave)
    with pytest.raises(ValueError, match="found wavelength, flat and none"):
        run(replace(by_wave, pool="flat"), x, wave)
    with pytest.raises(ValueError, match="at least patch_size"):
        run(by_wave, x[:, :8], wave[:8])


def test_the_base_of_the_rotation_is_a_setting(toy_model):
    x = jax.random.normal(jax.random.key(0), (1, 5, 4))
    turned = np.asarray(position.rotate(x, 1, 100.0)).reshape(5, 2, 2)
    pairs = np.asarray(x).reshape(5, 2, 2)
    angle = np.arange(5)[:, None] * np.array([1.0, 0.1])  # 100^0, 100^(-2/4)
    expected = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)
    np.testing.assert_allclose(turned[..., 0] + 1j * turned[..., 1], expected, atol=1e-5)
    x = jax.random.normal(jax.random.key(1), (2, toy_model.input_size))
    wide, narrow = (SpecViT(replace(toy_model, pos_embed="rotary", rotary_base=base)) for base in (1e4, 3.0))
    params = wide.init(jax.random.key(0), x)
    assert np.abs(np.asarray(wide.apply(params, x)) - np.asarray(narrow.apply(params, x))).max() > 1e-4
