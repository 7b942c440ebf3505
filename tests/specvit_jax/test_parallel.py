"""The same numbers from any number of devices."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import UsageError
from specvit_jax import parallel
from specvit_jax.scaling import InputScaler, LabelScaler
from specvit_jax.step import Scalers, fresh_step, make_state

INDEX = np.arange(16, dtype=np.int32)


@pytest.fixture(scope="module")
def setting(toy_config):
    """A network with dropout, and its scalers."""
    config = replace(toy_config, model=replace(toy_config.model, dropout=0.2))
    n = config.model.input_size
    label = LabelScaler(np.array([3.0], np.float32), np.array([1.2], np.float32))
    return config, Scalers(label, InputScaler(np.full(n, 0.5, np.float32), np.full(n, 0.2, np.float32)))


def two_steps(config, source, scalers, n):
    devices = jax.devices("cpu")[:n]
    assert len(devices) == n
    step = parallel.parallel_step(partial(fresh_step, config=config, axis=parallel.AXIS), devices)
    state = parallel.replicate(make_state(config), devices)
    source, scalers = parallel.share((source, scalers), devices)
    for _ in range(2):
        state, metrics = step(state, source, scalers, parallel.shard(INDEX, n))
    return state, metrics


def test_one_two_and_eight_devices_agree(setting, toy_source):
    config, scalers = setting
    state, metrics = two_steps(config, toy_source, scalers, 1)
    for n in (2, 8):
        spread, found = two_steps(config, toy_source, scalers, n)
        assert float(found["loss"][0]) == pytest.approx(float(metrics["loss"][0]), rel=1e-5)
        assert float(found["grad_norm"][0]) == pytest.approx(float(metrics["grad_norm"][0]), rel=1e-4)
        moments = zip(jax.tree.leaves(spread.opt_state), jax.tree.leaves(state.opt_state), strict=True)
        for many, one in moments:  # Adam's moments are linear and quadratic in the gradients
            np.testing.assert_allclose(many, np.repeat(one, n, axis=0), rtol=1e-3, atol=1e-6)


def test_a_second_step_compiles_nothing(caplog):
    devices = jax.devices("cpu")[:2]
    run = parallel.parallel_step(lambda state, source, scalers, index: (state + index.sum(), {}), devices)
    state = parallel.replicate(jnp.float32(0), devices)
    source = parallel.share(jnp.zeros(3), devices)
    with jax.log_compiles(True), caplog.at_level("WARNING"):
        for _ in range(3):
            state, _ = run(state, source, source, parallel.shard(INDEX, 2))
    assert sum("Compiling" in record.message for record in caplog.records) == 1


def test_shares_of_a_batch_keep_their_order():
    np.testing.assert_array_equal(parallel.shard(INDEX, 8)[3], [6, 7])


def test_a_batch_that_does_not_split_is_refused():
    with pytest.raises(UsageError, match=r"batch_size.*8 devices.*got 12; 8 would do"):
        parallel.shard(np.arange(12), 8)


def test_replicas_are_copies_and_the_first_is_the_original():
    tree = {"a": jnp.arange(3.0)}
    spread = parallel.replicate(tree, jax.devices("cpu")[:2])
    assert spread["a"].shape == (2, 3)
    np.testing.assert_array_equal(parallel.first(spread)["a"], tree["a"])


def test_without_devices_the_average_is_the_value_itself():
    assert parallel.average(3.0, None) == 3.0
