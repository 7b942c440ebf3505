"""The same numbers from pmap and jit, from any number of devices and pieces."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import UsageError
from specvit_jax.network.inference import Scalers
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.spectra.feed import TrainBatch
from specvit_jax.training import parallel
from specvit_jax.training.parallel import make_layout
from specvit_jax.training.step import fresh_step, make_state

INDEX = np.arange(16, dtype=np.int32)
CPUS = jax.devices("cpu")


@pytest.fixture(scope="module")
def setting(toy_config):
    """A network with dropout, and its scalers."""
    config = replace(toy_config, model=replace(toy_config.model, dropout=0.2, attention_dropout=0.2))
    n = config.model.input_size
    label = LabelScaler(np.array([3.0], np.float32), np.array([1.2], np.float32))
    return config, Scalers(label, InputScaler(np.full(n, 0.5, np.float32), np.full(n, 0.2, np.float32)))


def two_steps(setting, source, mode, n, accumulate=1):
    """State and metrics after two steps, on the host."""
    config, scalers = setting
    config = replace(config, train=replace(config.train, accumulate=accumulate))
    layout = make_layout(mode, CPUS[:n])
    assert len(layout.devices) == n
    step = layout.compile(partial(fresh_step, config=config, axis=layout.axis))
    state = layout.replicate(make_state(config))
    shared = layout.share((source, scalers))
    for _ in range(2):
        state, metrics = step(state, *shared, layout.spread(TrainBatch(INDEX)))
    return layout.fetch(state), layout.fetch(metrics)


@pytest.fixture(scope="module")
def alone(setting, toy_source):
    """One device."""
    return two_steps(setting, toy_source, "jit", 1)


@pytest.mark.parametrize(
    ("mode", "n", "accumulate"),
    [(mode, n, 1) for mode in ("pmap", "jit") for n in (2, 8)]
    + [("pmap", 1, 1), ("jit", 1, 4), ("jit", 2, 4), ("pmap", 2, 4)],
)
def test_every_layout_gives_the_same_numbers(setting, toy_source, alone, mode, n, accumulate):
    state, metrics = two_steps(setting, toy_source, mode, n, accumulate)
    assert int(state.step) == 2
    assert float(metrics["loss"]) == pytest.approx(float(alone[1]["loss"]), rel=1e-5)
    assert float(metrics["grad_norm"]) == pytest.approx(float(alone[1]["grad_norm"]), rel=1e-4)
    moments = zip(jax.tree.leaves(state.opt_state), jax.tree.leaves(alone[0].opt_state), strict=True)
    for many, one in moments:  # Adam's moments are linear and quadratic in the gradients
        np.testing.assert_allclose(many, one, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_a_second_step_compiles_nothing(caplog, mode):
    layout = make_layout(mode, CPUS[:2])
    run = layout.compile(lambda state, source, scalers, index: (state + index.sum(), {}))
    state, source = layout.replicate(jnp.int32(0)), layout.share(jnp.zeros(3))
    with jax.log_compiles(True), caplog.at_level("WARNING"):
        for _ in range(3):
            state, _ = run(state, source, source, layout.spread(INDEX))
    assert sum("Compiling" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_the_state_passed_in_is_consumed(mode):
    layout = make_layout(mode, CPUS[:2])
    run = layout.compile(lambda state, source, scalers, index: (state + 1, {}))
    state, source = layout.replicate(jnp.zeros(100)), layout.share(jnp.zeros(3))
    run(state, source, source, layout.spread(INDEX))
    assert state.is_deleted()


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_shares_of_a_batch_keep_their_order(mode):
    layout = make_layout(mode, CPUS)
    spread = layout.spread(INDEX)
    share = spread[3] if mode == "pmap" else spread.addressable_shards[3].data
    np.testing.assert_array_equal(share, [6, 7])


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_what_is_on_every_device_comes_back_as_one(mode):
    layout, tree = make_layout(mode, CPUS[:2]), {"a": jnp.arange(3.0)}
    spread = layout.replicate(tree)
    assert len(spread["a"].sharding.device_set) == 2
    np.testing.assert_array_equal(layout.fetch(spread)["a"], tree["a"])


def test_gradients_are_averaged_in_float32(setting, toy_source):
    config, scalers = setting
    half = replace(config, model=replace(config.model, dtype="bfloat16"))
    step = partial(fresh_step, config=half, axis=parallel.AXIS)
    trace = jax.make_jaxpr(step, axis_env=[(parallel.AXIS, 2)])
    text = str(trace(make_state(half), toy_source, scalers, TrainBatch(jnp.asarray(INDEX))))
    sums = [line for line in text.splitlines() if "psum" in line]
    assert "bf16" in text
    assert sums
    assert not any("bf16" in line for line in sums)


def test_a_batch_that_does_not_split_is_refused():
    with pytest.raises(UsageError, match=r"batch_size.*8 devices.*found 12; 8 would do"):
        make_layout("jit", CPUS).check(12)
    with pytest.raises(UsageError, match=r"accumulate = 3.*found 32; 24 would do"):
        make_layout("jit", CPUS).check(32, 3)
    make_layout("jit", CPUS).check(48, 3)


def test_the_default_is_pmap_on_several_devices_and_jit_on_one():
    assert make_layout(None, CPUS).mode == "pmap"
    assert make_layout(None, CPUS[:1]).mode == "jit"
    assert str(make_layout(None, CPUS[:2])) == "2 x cpu, pmap"


def test_without_devices_the_average_is_the_value_itself():
    assert parallel.average(3.0, None) == 3.0


def test_half_a_description_of_the_processes_is_refused():
    with pytest.raises(UsageError, match="--coordinator, --processes and --process"):
        parallel.connect("localhost:1234", None, 0)
