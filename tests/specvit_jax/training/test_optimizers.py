"""Every optimiser by name: its first steps written out in numpy, its settings, its state."""

from dataclasses import replace
from functools import partial
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from specvit_jax.settings.config import Config, TrainConfig
from specvit_jax.settings.optimizers import SETTINGS, TAKES, optimizer_remarks, reads
from specvit_jax.training.checkpoint import Checkpoints
from specvit_jax.training.optimizer import optimizer
from specvit_jax.training.step import TrainState, update

RATE, DECAY = 0.01, 0.1
CONFIG = TrainConfig(
    steps=100, learning_rate=RATE, schedule="constant", warmup=0.0, weight_decay=DECAY, clip_norm=1e9
)
START = np.array([[1.0, -2.0, 0.5], [0.3, 4.0, -1.0]])
GRADIENTS = np.array([[[0.5, -1.0, 2.0], [0.1, 0.2, -0.3]], [[-0.4, -0.5, 1.0], [0.7, -0.2, 0.6]]])


def found(name, **changes):
    """The weights after two steps with these gradients."""
    tx = optimizer(replace(CONFIG, optimizer=name, **changes))
    params = {"kernel": jnp.asarray(START, jnp.float32)}
    state, step = tx.init(params), jax.jit(tx.update)
    for gradient in GRADIENTS:
        updates, state = step({"kernel": jnp.asarray(gradient, jnp.float32)}, state, params)
        params = {"kernel": params["kernel"] + updates["kernel"]}
    return np.asarray(params["kernel"])


def moments(b1, b2):
    """Both moments of Adam after each step, their start at 0 made good."""
    m = v = np.zeros_like(START)
    for t, g in enumerate(GRADIENTS, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        yield t, g, m / (1 - b1**t), v / (1 - b2**t), m


def adam(w, b1, b2, decay=0.0):
    for _, _, m, v, _ in moments(b1, b2):
        w = w - RATE * (m / (np.sqrt(v) + 1e-8) + decay * w)
    return w


def nadam(w, b1, b2):
    """Dozat 2016: the mean as it will be after one more step with this gradient, mended for that step."""
    for t, g, _, v, m in moments(b1, b2):
        ahead = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        w = w - RATE * ahead / (np.sqrt(v) + 1e-8)
    return w


def radam(w, b1, b2):
    """Liu et al. 2020: the mean alone, as long as there are too few squares."""
    return w - RATE * sum(m for _, _, m, _, _ in moments(b1, b2))


def lion(w, b1, b2):
    """Chen et al. 2023, algorithm 2."""
    m = np.zeros_like(w)
    for g in GRADIENTS:
        w = w - RATE * (np.sign(b1 * m + (1 - b1) * g) + DECAY * w)
        m = b2 * m + (1 - b2) * g
    return w


def lamb(w, b1, b2):
    """You et al. 2020, algorithm 2: the step of each layer as long as its weights."""
    for _, _, m, v, _ in moments(b1, b2):
        step = m / (np.sqrt(v) + 1e-6) + DECAY * w
        w = w - RATE * np.linalg.norm(w) / np.linalg.norm(step) * step
    return w


def lars(w, momentum):
    """You et al. 2017: gradient and decay at a thousandth of the length of the weights, then momentum."""
    v = np.zeros_like(w)
    for g in GRADIENTS:
        step = g + DECAY * w
        v = momentum * v + RATE * 1e-3 * np.linalg.norm(w) / np.linalg.norm(step) * step
        w = w - v
    return w


def adagrad(w):
    """Duchi et al. 2011, as torch.optim.Adagrad: sums of squares from 0."""
    total = np.zeros_like(w)
    for g in GRADIENTS:
        total = total + g**2
        w = w - RATE * g / (np.sqrt(total) + 1e-10)
    return w


def rmsprop(w, alpha):
    """As torch.optim.RMSprop: eps beside the root."""
    v = np.zeros_like(w)
    for g in GRADIENTS:
        v = alpha * v + (1 - alpha) * g**2
        w = w - RATE * g / (np.sqrt(v) + 1e-8)
    return w


def adadelta(w, rho):
    """As torch.optim.Adadelta: eps 1e-6 in both roots, the decay added to the gradient."""
    squares = steps = np.zeros_like(w)
    for gradient in GRADIENTS:
        g = gradient + DECAY * w
        squares = rho * squares + (1 - rho) * g**2
        step = np.sqrt(steps + 1e-6) / np.sqrt(squares + 1e-6) * g
        steps = rho * steps + (1 - rho) * step**2
        w = w - RATE * step
    return w


def adamax(w, b1, b2):
    """Kingma & Ba 2015, algorithm 2, as torch.optim.Adamax."""
    most = np.zeros_like(w)
    for _, g, m, _, _ in moments(b1, b2):
        most = np.maximum(b2 * most, np.abs(g) + 1e-8)
        w = w - RATE * m / most
    return w


def novograd(w, b1, b2):
    """Ginsburg et al. 2019: one second moment for a layer, the decay inside of the momentum."""
    m, v = np.zeros_like(w), None
    for g in GRADIENTS:
        square = np.sum(g**2)
        v = square if v is None else b2 * v + (1 - b2) * square
        m = b1 * m + (g / (np.sqrt(v) + 1e-6) + DECAY * w)
        w = w - RATE * m
    return w


@pytest.mark.parametrize(
    ("name", "changes", "oracle"),
    [
        ("adamw", {"b1": 0.8, "b2": 0.95}, partial(adam, b1=0.8, b2=0.95, decay=DECAY)),
        ("adam", {"b1": 0.8, "b2": 0.95}, partial(adam, b1=0.8, b2=0.95)),
        ("nadam", {"b1": 0.8, "b2": 0.95}, partial(nadam, b1=0.8, b2=0.95)),
        ("radam", {"b1": 0.8, "b2": 0.95}, partial(radam, b1=0.8, b2=0.95)),
        ("lion", {"b1": 0.8, "b2": 0.99}, partial(lion, b1=0.8, b2=0.99)),
        ("lamb", {"b1": 0.8, "b2": 0.95}, partial(lamb, b1=0.8, b2=0.95)),
        ("lars", {"b1": 0.8}, partial(lars, momentum=0.8)),
        ("adagrad", {}, adagrad),
        ("rmsprop", {"b2": 0.99}, partial(rmsprop, alpha=0.99)),
        ("adadelta", {"b2": 0.9}, partial(adadelta, rho=0.9)),
        ("adamax", {"b1": 0.8, "b2": 0.95}, partial(adamax, b1=0.8, b2=0.95)),
        ("novograd", {"b1": 0.8, "b2": 0.25}, partial(novograd, b1=0.8, b2=0.25)),
    ],
)  # fmt: skip
def test_two_steps_are_those_of_the_papers(name, changes, oracle):
    np.testing.assert_allclose(found(name, **changes), oracle(START), rtol=2e-6, atol=1e-7)


def test_the_table_and_the_setting_name_the_same_optimisers():
    assert set(get_args(get_type_hints(TrainConfig)["optimizer"])) == set(TAKES)


@pytest.mark.parametrize("name", TAKES)
def test_each_reads_the_settings_it_is_said_to_read_and_no_others(name):
    other = {"b1": 0.9999, "b2": 0.6, "weight_decay": 0.3, "decay": "kernels"}
    params = {"kernel": jnp.asarray(START, jnp.float32), "bias": jnp.asarray(START[0], jnp.float32)}

    def two_steps(**changes):
        tx = optimizer(replace(CONFIG, optimizer=name, **changes))
        weights, state = params, tx.init(params)
        for k in (0, 1):
            grads = {"kernel": jnp.asarray(GRADIENTS[k], jnp.float32), "bias": jnp.asarray(GRADIENTS[k][1])}
            updates, state = tx.update(jax.tree.map(jnp.float32, grads), state, weights)
            weights = jax.tree.map(jnp.add, weights, updates)
        return np.concatenate([np.ravel(weights["kernel"]), weights["bias"]])

    plain = two_steps()
    for setting in SETTINGS:
        changed = not np.array_equal(two_steps(**{setting: other[setting]}), plain)
        unseen = name == "radam" and setting == "b2"  # whose first steps take no squares
        assert changed == (reads(name, setting) and not unseen), setting


# The quadratic sum (w - 3)^2 from 0.
def run(state, config, steps):
    def one(state, _):
        grads = jax.tree.map(lambda leaf: 2 * (leaf - 3), state.params)
        loss = sum(jnp.sum((leaf - 3) ** 2) for leaf in jax.tree.leaves(state.params))
        return update(state, loss, grads, config)[0], loss

    return jax.jit(lambda state: jax.lax.scan(one, state, None, length=steps))(state)


def quadratic(name):
    """The config, and the state it begins with."""
    rate = {"lars": 10.0, "adadelta": 1.0, "adagrad": 0.2}.get(name, 0.03)
    train = replace(
        CONFIG, optimizer=name, learning_rate=rate, min_lr=0.0, weight_decay=1e-4, ema=0.9, schedule="plateau"
    )
    params = {"kernel": jnp.full((4, 3), 1.0), "bias": jnp.full(3, 0.5)}
    ema = jax.tree.map(jnp.copy, params)
    return Config(train=train), TrainState(
        jnp.int32(0), params, optimizer(train).init(params), ema, jnp.float32(0.5)
    )


@pytest.mark.parametrize("name", TAKES)
def test_each_goes_down_a_quadratic_and_goes_on_from_a_checkpoint_bit_for_bit(name, tmp_path):
    config, start = quadratic(name)
    whole, losses = run(start, config, 60)
    assert losses[-1] < (0.9 if name == "adadelta" else 0.75) * losses[0]
    assert jnp.isfinite(losses).all()
    middle, _ = run(start, config, 23)
    with Checkpoints(tmp_path / "checkpoints") as saved:
        saved.save(23, jax.device_get(middle), {"r2": 0.0})
        saved.wait()
        again, _, _ = saved.restore(start)
    ended, _ = run(again, config, 37)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(ended), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", TAKES)
def test_a_plateau_shortens_every_step(name):
    config, start = quadratic(name)
    grads = jax.tree.map(jnp.ones_like, start.params)
    half, full = (
        update(start._replace(rate=jnp.float32(rate)), jnp.float32(1), grads, config)[0].params
        for rate in (0.5, 1.0)
    )
    for begin, one, two in zip(*map(jax.tree.leaves, (start.params, half, full)), strict=True):
        np.testing.assert_allclose(2 * (one - begin), two - begin, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "adamw"}, []),
        ({"optimizer": "adam", "weight_decay": 0.0}, []),
        ({"optimizer": "adam", "weight_decay": 0.1}, ["train.weight_decay = 0.1 is not read"]),
        ({"optimizer": "sgd", "b2": 0.9}, ["train.b2 = 0.9 is not read"]),
        ({"optimizer": "novograd", "b2": 0.3, "decay": "kernels"}, ["train.decay = kernels is not read"]),
        ({"optimizer": "lion"}, ["train.b2 = 0.999 is that of adamw; with lion, 0.99 is usual"]),
        ({"optimizer": "lion", "b2": 0.99}, []),
    ],
)
def test_what_is_not_read_or_unusual_is_told(changes, said):
    notes = optimizer_remarks(replace(TrainConfig(), **changes))
    assert len(notes) == len(said)
    assert all(note.startswith(start) for note, start in zip(notes, said, strict=True))
