"""A learned first layer: it begins as the whitening of the input, and is frozen for as long as it is told."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import ConfigError, DataError, Interrupted, UsageError
from specvit_jax.exchange.names import check_original
from specvit_jax.network.inference import eval_step
from specvit_jax.network.input_layer import NAME, taken_out
from specvit_jax.network.networks import cost, make_network, parameter_counts
from specvit_jax.network.standardise import InputScaler
from specvit_jax.network.weights import Weights, load_weights, save_weights
from specvit_jax.settings.config import Config, ModelConfig, TrainConfig
from specvit_jax.settings.config_file import override
from specvit_jax.settings.optimizers import TAKES
from specvit_jax.spectra.feed import TrainBatch
from specvit_jax.training import optimizer as optimizer_module
from specvit_jax.training.initial_state import begin, fit_scalers, measured_scalers
from specvit_jax.training.loop import train
from specvit_jax.training.optimizer import optimizer
from specvit_jax.training.parallel import make_layout
from specvit_jax.training.step import TrainState, fresh_step, random_params, update
from tests.specvit_jax.training.test_loop import ONE

K = 8
LAYER = (f"model.input_components={K}", "model.patch_size=4", "data.n_scaling=100")


def with_layer(config, kind, *more):
    return override(config, [f"model.input_layer={kind}", *LAYER, *more])


def whitened(config, kind):
    """The same network behind a scaler that whitens."""
    size = K if kind == "pca" else config.model.input_size
    settings = [f"data.preprocess={kind}", f"data.components={K}", f"model.input_size={size}"]
    return override(config, ["model.input_layer=none", *settings])


def leaves_of(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("network", ["vit", "mlp", "cnn"])
@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_at_first_it_reads_what_a_scaler_that_whitens_hands_on(toy_config, toy_source, kind, network):
    small = ["model.hidden=[6]", "model.channels=[3]", "data.input_scaling=overall"]
    config = with_layer(toy_config, kind, f"model.network={network}", *small)
    start, other = begin(config, toy_source, None), whitened(config, kind)
    scalers = fit_scalers(toy_source, other)
    rest = {name: part for name, part in start.state.params.items() if name != NAME}
    flux = toy_source.sample(jax.random.key(3), jnp.arange(5)).flux
    found = eval_step(start.state.params, flux, start.scalers, config)[0]
    np.testing.assert_allclose(found, eval_step(rest, flux, scalers, other)[0], rtol=2e-5)
    assert start.scalers.input.analysis is None
    for one, two in zip(leaves_of(rest), leaves_of(random_params(other)), strict=True):
        assert one.shape == two.shape


def test_lost_pixels_are_at_the_mean(toy_config, toy_source):
    config = with_layer(toy_config, "pca")
    start = begin(config, toy_source, None)
    flux = toy_source.sample(jax.random.key(3), jnp.arange(4)).flux
    usable = jnp.ones_like(flux).at[:, 10:20].set(0.0)
    mean = jnp.where(usable > 0, flux, jnp.asarray(start.scalers.input.mean)[None, :])
    found = eval_step(start.state.params, flux.at[:, 10:20].set(jnp.nan), start.scalers, config, usable)[0]
    np.testing.assert_allclose(
        found, eval_step(start.state.params, mean, start.scalers, config)[0], rtol=1e-5
    )


def stepped(config, source, steps, state=None):
    """The states after each of so many steps on fresh spectra."""
    start = begin(config, source, None)
    state, scalers = start.state if state is None else state, start.scalers
    one = jax.jit(partial(fresh_step, config=config))
    for _ in range(steps):
        state, metrics = one(state, source, scalers, TrainBatch(np.arange(16, dtype=np.int32)))
        yield state, metrics


@pytest.mark.parametrize("freeze", ["2", "null", "0"])
def test_it_stands_still_to_the_bit_as_long_as_it_is_frozen_and_then_learns(toy_config, toy_source, freeze):
    more = (f"train.freeze_input={freeze}", "train.ema=0.5", "train.weight_decay=0.1", "train.warmup=0")
    config = with_layer(toy_config, "zca", *more)
    begun = leaves_of(begin(config, toy_source, None).state.params[NAME])
    moved = []
    for state, _ in stepped(config, toy_source, 4):
        now = [*leaves_of(state.params[NAME]), *leaves_of(state.ema[NAME])]
        moved.append([not np.array_equal(a, b) for a, b in zip(now, 2 * begun, strict=True)])
    still = {"2": 2, "null": 4, "0": 0}[freeze]
    assert not np.any(moved[:still])
    assert np.all(moved[still:])


PARAMS = {NAME: {"analysis": {"kernel": jnp.full((3, 2), 1.5)}}, "head": {"kernel": jnp.full((2, 2), 1.0)}}


def run(config, steps, state=None, params=PARAMS):
    """States after each step down sum (w - 3)^2."""
    state = state or TrainState(
        jnp.int32(0), params, optimizer(config.train).init(params), None, jnp.float32(1)
    )
    one = jax.jit(lambda state, grads: update(state, jnp.float32(0), grads, config))
    for _ in range(steps):
        state, metrics = one(state, jax.tree.map(lambda w: 2 * (w - 3), state.params))
        yield state, metrics


@pytest.mark.parametrize("name", TAKES)
def test_thawed_it_learns_as_one_that_begins_then(name):
    """After 3 steps with the rates of steps 4 and 5, and of nothing that happened before."""
    common = {"optimizer": name, "steps": 10, "warmup": 0.0, "learning_rate": 0.1, "min_lr": 0.01}
    frozen = Config(
        model=ModelConfig(input_layer="pca"),
        train=TrainConfig(**common, weight_decay=0.1, clip_norm=1e9, freeze_input=3),
    )
    states = [state for state, _ in run(frozen, 5)]
    np.testing.assert_array_equal(states[2].params[NAME]["analysis"]["kernel"], 1.5)
    rates = [0.01 + 0.045 * (1 + np.cos(np.pi * step / 10)) for step in (3, 4)]
    fresh = Config(train=replace(frozen.train, freeze_input=0, schedule="constant", min_lr=0.0))
    params, table = {"layer": PARAMS[NAME]}, jnp.asarray(rates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizer_module, "learning_rate", lambda config: lambda step: table[step])
        tx = optimizer(fresh.train)
        state = tx.init(params)
        for _ in rates:
            updates, state = tx.update(jax.tree.map(lambda w: 2 * (w - 3), params), state, params)
            params = jax.tree.map(jnp.add, params, updates)
    found = states[4].params[NAME]["analysis"]["kernel"]
    np.testing.assert_allclose(found, params["layer"]["analysis"]["kernel"], rtol=1e-5)
    assert not np.array_equal(found, PARAMS[NAME]["analysis"]["kernel"])


def test_the_gradient_is_clipped_over_what_is_trained():
    config = Config(
        model=ModelConfig(input_layer="pca"),
        train=TrainConfig(optimizer="sgd", clip_norm=0.5, warmup=0.0, learning_rate=1.0, freeze_input=1),
    )
    (state, metrics), (_, then) = run(config, 2)
    assert float(metrics["grad_norm"]) == pytest.approx(np.sqrt(4 * 4.0**2))
    moved = state.params["head"]["kernel"] - PARAMS["head"]["kernel"]
    assert float(jnp.linalg.norm(moved)) == pytest.approx(0.5, rel=1e-5)
    remains = 4 * (2 * (3 - float(state.params["head"]["kernel"][0, 0]))) ** 2
    assert float(then["grad_norm"]) == pytest.approx(np.sqrt(remains + 6 * 3.0**2), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 4])
def test_a_run_stopped_frozen_or_thawed_goes_on_bit_for_bit(toy_config, toy_source, tmp_path, stop):
    more = ("train.freeze_input=3", "train.steps=6", "train.ema=0.9", "data.n_validation=20")
    config = with_layer(toy_config, "zca", *more)
    whole = train(config, toy_source, tmp_path / "whole", layout=ONE)
    with pytest.raises(Interrupted):
        train(config, toy_source, tmp_path / "cut", stop=lambda step: step == stop, layout=ONE)
    train(config, toy_source, tmp_path / "cut", resume=True, layout=ONE)
    one, two = (tmp_path / run / "weights" / "last.safetensors" for run in ("whole", "cut"))
    assert one.read_bytes() == two.read_bytes()
    assert load_weights(whole.weights).params[NAME]["synthesis"]["kernel"].shape == (K, 64)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_several_devices_freeze_and_learn_as_one(toy_config, toy_source, mode):
    config = with_layer(toy_config, "pca", "train.freeze_input=1", "train.optimizer=sgd", "train.warmup=0")
    *_, (alone, _) = stepped(config, toy_source, 2)
    layout, start = make_layout(mode, jax.devices("cpu")[:2]), begin(config, toy_source, None)
    step = layout.compile(partial(fresh_step, config=config, axis=layout.axis))
    state, shared = layout.replicate(start.state), layout.share((toy_source, start.scalers))
    for _ in range(2):
        state, _ = step(state, *shared, layout.spread(TrainBatch(np.arange(16, dtype=np.int32))))
    for one, two in zip(leaves_of(layout.fetch(state).params), leaves_of(alone.params), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_a_weights_file_holds_it_and_refuses_another(toy_config, toy_source, tmp_path):
    config = with_layer(toy_config, "zca")
    start = begin(config, toy_source, None)
    file = tmp_path / "w.safetensors"
    save_weights(file, Weights(start.state.params, config, *start.scalers), {"step": 0})
    read = load_weights(file)
    for one, two in zip(leaves_of(read.params), leaves_of(start.state.params), strict=True):
        np.testing.assert_array_equal(one, two)
    without = {name: part for name, part in start.state.params.items() if name != NAME}
    save_weights(file, Weights(without, config, *start.scalers), {"step": 0})
    with pytest.raises(DataError, match="input_layer/analysis/kernel must have shape"):
        load_weights(file)


def test_it_counts_among_parameters_and_products():
    plain = ModelConfig(input_size=64, patch_size=4, embed_dim=16, depth=1, num_heads=2)
    layer = replace(plain, input_layer="zca", input_components=K)
    assert parameter_counts(layer) == {
        "input_layer/analysis": 64 * K, "input_layer/synthesis": 64 * K
    } | parameter_counts(plain)  # fmt: skip
    assert cost(layer)["forward_flops"] - cost(plain)["forward_flops"] == 4 * 64 * K
    assert (
        cost(replace(layer, network="mlp"))["forward_flops"]
        == 4 * 64 * K + (cost(replace(plain, network="mlp"))["forward_flops"])
    )
    pca = replace(layer, input_layer="pca")
    assert (pca.num_patches, cost(pca)["tokens"]) == (K // 4, K // 4 + 1)


def test_whitening_under_a_level_and_a_sky_stays_in_the_scaler(toy_source, toy_config):
    ones = np.ones(4, np.float32)
    scaler = InputScaler(0 * ones, ones, np.ones((4, 2)), np.ones((2, 4)), ones, np.eye(2), sky=ones)
    left, layer = taken_out(scaler)
    assert (left.analysis, left.synthesis, left.gram) == (None, None, None)
    assert left.level is ones
    assert left.sky is ones
    assert {name: part["kernel"].shape for name, part in layer.items()} == {
        "analysis": (4, 2), "synthesis": (2, 4)
    }  # fmt: skip
    assert measured_scalers(toy_source, with_layer(toy_config, "pca")).input.analysis is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.input_layer=pca", "data.preprocess=zca"], "input_layer pca whitens, as data.preprocess zca"),
        (["model.input_layer=pca", "data.noise_component=true"], r"noise_component needs comp"),
        (["model.input_layer=pca", "model.pos_embed=wavelength"], "no meaning for components"),
        (["model.input_layer=pca", "model.input_components=8"], "patch_size must be .* input_components 8"),
        (["model.input_layer=zca", "model.input_components=5000"], "at most the input_size 4096 pixels"),
        (["model.input_layer=zca", "data.n_scaling=10"], r"at most the data\.n_scaling = 10"),
        (["train.freeze_input=10"], r"freeze_input needs model\.input_layer"),
        (["train.freeze_input=null"], r"freeze_input needs model\.input_layer"),
        (["model.input_layer=zca", "train.freeze_input=-1"], r"freeze_input must be 0, more, or null"),
        (["model.input_layer=zca", "train.freeze_input_epochs=2"], r"freeze_input_epochs needs"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        override(Config(), settings)


def test_the_original_gets_no_such_network():
    with pytest.raises(UsageError, match=r"model\.input_layer none, found pca"):
        check_original(ModelConfig(input_layer="pca"))
    config = ModelConfig(input_layer="zca", pos_embed="wavelength", input_size=64)
    with pytest.raises(ValueError, match="input_layer none"):
        make_network(config).init(jax.random.key(0), jnp.zeros((1, 32)), wave=jnp.arange(32.0))
