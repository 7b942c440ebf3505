"""A network that learns from another: nothing to learn where they agree, and the way there is shorter."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import UsageError
from specvit_jax.network.inference import Scalers, eval_step
from specvit_jax.network.weights import Weights, save_weights
from specvit_jax.settings.config_file import override
from specvit_jax.spectra.feed import TrainBatch
from specvit_jax.training.initial_state import fit_scalers, observe
from specvit_jax.training.step import fresh_step, loss_and_gradient, make_state
from specvit_jax.training.teacher import Lesson, Teacher, find_teacher

LABELS = ("T_eff", "log_g")
INDEX = jnp.arange(16)


@pytest.fixture(scope="module")
def scalers(toy_config, toy_source) -> Scalers:
    return fit_scalers(toy_source, two_labels(toy_config))


def two_labels(config, loss="mse"):
    settings = [f"train.loss={loss}", f"model.predict_sigma={str('nll' in loss).lower()}"]
    settings += ["model.network=mlp", "model.hidden=32,32", f"model.label_names={','.join(LABELS)}"]
    return override(config, [*settings, "train.warmup=0", "train.optimizer=adam", "train.schedule=constant"])


@pytest.mark.parametrize("loss", ["mse", "l1", "nll", "mse_nll"])
def test_a_network_learns_nothing_from_itself(toy_config, toy_source, scalers, loss):
    config = two_labels(toy_config, loss)
    state = make_state(config)
    teacher = Teacher(state.params, scalers, config, LABELS)
    batch = observe(toy_source, 5, np.arange(16), config)
    value, gradient = jax.jit(partial(loss_and_gradient, config=config))(
        state, batch, INDEX, scalers, teacher=teacher
    )
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    if loss != "l1":  # whose gradient is one on either side of nothing
        assert largest < 1e-6
    assert abs(value) < 1e-6
    _, other = jax.jit(partial(loss_and_gradient, config=config))(state, batch, INDEX, scalers)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(other)) > 1e-2


def test_relative_entropy_is_that_of_two_gaussians():
    """Against numerical integration over a fine grid."""
    from specvit_jax.settings.config import TrainConfig
    from specvit_jax.training.step import taught_loss

    mean, sigma, other, wide = 0.3, 0.5, -0.2, 0.8  # teacher, pupil
    y = np.linspace(-8, 8, 200_001)
    p, q = (
        np.exp(-0.5 * ((y - m) / s) ** 2) / s / np.sqrt(2 * np.pi) for m, s in ((mean, sigma), (other, wide))
    )
    expected = np.sum(p * np.log(p / np.maximum(q, 1e-300), where=p > 0, out=np.zeros_like(p))) * (
        y[1] - y[0]
    )
    out = jnp.array([[other, np.log(wide)]])
    found = taught_loss(out, jnp.array([[mean]]), jnp.array([[np.log(sigma)]]), TrainConfig(loss="nll"))
    np.testing.assert_allclose(found, [[expected]], rtol=1e-5)


def test_a_pupil_ends_nearer_to_its_teacher_than_one_who_reads_labels(toy_config, toy_source, scalers):
    config = two_labels(toy_config)
    learn = jax.jit(partial(fresh_step, config=config))

    def trained(source, seed, steps):
        state = make_state(replace(config, train=replace(config.train, seed=seed)))
        for _ in range(steps):
            state, _ = learn(state, source, scalers, TrainBatch(INDEX))
        return state.params

    teacher = Teacher(trained(toy_source, 1, 300), scalers, config, LABELS)
    test = observe(toy_source, 9, np.arange(500), config)
    read = jax.jit(lambda params: scalers.label.encode(eval_step(params, test.flux, scalers, config)[0]))
    target = read(teacher.params)
    taught, alone = (trained(source, 2, 150) for source in (Lesson(toy_source, teacher), toy_source))
    far = [float(jnp.mean((read(params) - target) ** 2)) for params in (taught, alone)]
    assert far[0] < 0.5 * far[1]


def test_a_teacher_that_cannot_teach_is_refused(toy_config, scalers, tmp_path):
    config = two_labels(toy_config)
    path = tmp_path / "teacher.safetensors"
    one = override(config, ["model.label_names=log_g"])
    label = type(scalers.label)(*(np.asarray(array)[1:] for array in scalers.label))
    save_weights(path, Weights(make_state(one).params, one, label, scalers.input), {})
    pupil = override(config, [f"train.teacher={path}"])
    with pytest.raises(UsageError, match="must read T_eff too"):
        find_teacher(pupil)
    save_weights(path, Weights(make_state(config).params, config, *scalers), {})
    assert find_teacher(pupil).label_names == LABELS
    with pytest.raises(UsageError, match="must predict sigma"):
        find_teacher(override(pupil, ["train.loss=nll", "model.predict_sigma=true"]))
    with pytest.raises(UsageError, match="drawn under survey, the network was trained under published"):
        find_teacher(override(pupil, ["data.conditions=survey"]))
    assert find_teacher(config) is None
