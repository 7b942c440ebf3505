"""One step, the loop around it, stopping and resuming."""

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from functools import partial

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import norm

from crlb.errors import DataError, Interrupted, MissingInputError, NumericalError, OutputError, UsageError
from crlb.files import pfsspec
from specvit_jax.network.inference import Scalers, predict
from specvit_jax.network.memory import memory
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import load_weights
from specvit_jax.runs.manifest import read_manifest
from specvit_jax.settings.config_file import override
from specvit_jax.spectra.feed import TrainBatch, batch_index, step_index, training_rows
from specvit_jax.spectra.file_sources import file_order, open_source
from specvit_jax.spectra.source import Batch
from specvit_jax.training.initial_state import begin, check_labels, fit_scalers, initial_weights
from specvit_jax.training.loop import train
from specvit_jax.training.parallel import make_layout
from specvit_jax.training.refusals import bad_steps
from specvit_jax.training.room import SURELY, check_room
from specvit_jax.training.step import DROPOUT, NOISE, fresh_step, loss_of, make_state, stream, train_step
from tests.specvit_jax.toy import rows_of, write_clean

ONE = make_layout(devices=jax.devices("cpu")[:1])


@pytest.fixture(scope="module")
def scalers(toy_model) -> Scalers:
    n = toy_model.input_size
    return Scalers(
        LabelScaler(np.array([3.0], np.float32), np.array([1.2], np.float32)),
        InputScaler(np.full(n, 0.5, np.float32), np.full(n, 0.2, np.float32)),
    )


@pytest.fixture(scope="module")
def finished(toy_config, toy_source, tmp_path_factory):
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("run") / "whole"
    return out, train(toy_config, toy_source, out, layout=ONE)


def leaves(path):
    return jax.tree.leaves(load_weights(path).params)


# --- the step


def test_eight_spectra_are_learnt_by_heart(toy_config, toy_source, scalers):
    config = override(toy_config, ["train.steps=300", "train.batch_size=8", "train.weight_decay=0"])
    batch = toy_source.sample(jax.random.key(0), jnp.arange(8))
    batch = batch._replace(labels=batch.labels[:, 1:])
    step = jax.jit(partial(train_step, config=config))
    state = make_state(config)
    for _ in range(300):
        state, metrics = step(state, batch, jnp.arange(8), scalers)
    assert int(state.step) == 300
    assert metrics["loss"] < 1e-4
    error = predict(state.params, batch.flux, scalers, config) - batch.labels
    assert np.abs(error).max() < 0.05  # dex


def test_the_network_learns_from_noisy_flux_and_labels_only(toy_config, toy_source, scalers):
    step, index = jax.jit(partial(train_step, config=toy_config)), jnp.arange(16)
    batch = toy_source.sample(jax.random.key(0), index)
    batch = batch._replace(labels=batch.labels[:, 1:])
    other = batch._replace(error=batch.error * 0 + 7, clean=batch.clean * 0, mag=batch.mag * 0)
    noisier = batch._replace(flux=batch.flux + 0.1)
    states = [step(make_state(toy_config), b, index, scalers)[0].opt_state for b in (batch, other, noisier)]
    same, changed = (
        all((a == b).all() for a, b in zip(*map(jax.tree.leaves, (states[0], s)), strict=True))
        for s in states[1:]
    )
    assert same
    assert not changed


@pytest.mark.parametrize(
    ("loss", "expected"), [("l1", [0.5, 3.0]), ("mse", [0.25, 9.0]), ("huber", [0.125, 2.5])]
)
def test_losses(toy_config, loss, expected):
    out, target = jnp.array([[1.5, -2.0]]), jnp.ones((1, 2))
    found = loss_of(out, target, replace(toy_config.train, loss=loss))
    np.testing.assert_allclose(found[0], expected)


def test_gaussian_loss_is_minus_the_log_density(toy_config):
    out, target = jnp.array([[1.5, -2.0, 0.3, -0.7]]), jnp.ones((1, 2))
    found = loss_of(out, target, replace(toy_config.train, loss="nll"))
    expected = -norm.logpdf(np.ones(2), [1.5, -2.0], np.exp([0.3, -0.7]))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_average_of_the_weights_is_kept_and_scored(toy_config, toy_source, scalers):
    config = override(toy_config, ["train.ema=0.9"])
    step = jax.jit(partial(fresh_step, config=config))
    state, index = make_state(config), TrainBatch(jnp.arange(16))
    expected = jax.tree.leaves(state.params)
    for _ in range(3):
        state, _ = step(state, toy_source, scalers, index)
        pairs = zip(expected, jax.tree.leaves(state.params), strict=True)
        expected = [0.9 * old + 0.1 * new for old, new in pairs]
    for found, right in zip(jax.tree.leaves(state.scored), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-7)
    assert make_state(toy_config).ema is None


def test_a_lower_rate_shortens_the_step(toy_config, toy_source, scalers):
    step, index = jax.jit(partial(fresh_step, config=toy_config)), TrainBatch(jnp.arange(16))
    state = make_state(toy_config)._replace(step=jnp.int32(5))
    whole, half = (
        step(state._replace(rate=jnp.float32(rate)), toy_source, scalers, index)[0] for rate in (1, 0.5)
    )
    for before, one, two in zip(*(jax.tree.leaves(s.params) for s in (state, whole, half)), strict=True):
        np.testing.assert_allclose(two - before, 0.5 * (one - before), rtol=1e-3, atol=1e-7)


def test_noise_differs_by_step_and_repeats_by_seed(toy_config, toy_source, scalers):
    step = jax.jit(partial(fresh_step, config=toy_config))
    state, index = make_state(toy_config), TrainBatch(jnp.arange(16))

    def loss(number):
        return float(step(state._replace(step=jnp.int32(number)), toy_source, scalers, index)[1]["loss"])

    assert loss(3) == loss(3) != loss(4)


def test_every_seed_and_every_use_has_its_own_random_numbers(toy_config):
    other = override(toy_config, ["train.seed=1"])
    keys = [stream(config, use) for config in (toy_config, other) for use in (NOISE, DROPOUT)]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 4


def test_labels_come_back_in_their_own_units(toy_config, scalers):
    params = make_state(toy_config).params
    flux = jnp.full((2, 64), 0.7)
    shifted = scalers._replace(label=LabelScaler(scalers.label.mean + 1, 2 * scalers.label.scale))
    one, two = (predict(params, flux, s, toy_config) for s in (scalers, shifted))
    np.testing.assert_allclose(two, 2 * (one - 3.0) + 4.0, rtol=1e-5)


# --- order of spectra


def test_a_files_rows_are_shuffled_every_epoch_without_repeats(toy_config):
    rows = 70  # 4 batches of 16, 6 rows left over
    epochs = [[batch_index(4 * e + i, toy_config, rows) for i in range(4)] for e in range(2)]
    for epoch in epochs:
        assert len(set(np.concatenate(epoch))) == 64
    assert (np.concatenate(epochs[0]) != np.concatenate(epochs[1])).any()
    np.testing.assert_array_equal(batch_index(5, toy_config, rows), epochs[1][1])


def test_the_emulators_spectra_are_numbered_within_the_batch(toy_config):
    np.testing.assert_array_equal(batch_index(7, toy_config, None), np.arange(16))


def test_a_file_smaller_than_a_batch_is_refused(toy_config):
    with pytest.raises(UsageError, match=r"batch_size.*15"):
        batch_index(0, toy_config, 15)


def test_at_most_a_tenth_of_a_file_is_held_out(toy_config):
    class File:
        label_names, rows = ("log_g",), 200

        def sample(self, key, index) -> Batch:
            raise AssertionError

    assert training_rows(File(), toy_config) == 180
    assert training_rows(File(), override(toy_config, ["data.n_validation=5"])) == 195


# --- the loop


def test_a_run_learns_and_leaves_its_files(toy_config, finished):
    out, result = finished
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [3, 4, 6, 8, 9, 10, 12]
    assert [row["step"] for row in rows if "val_r2" in row] == [4, 8, 10, 12]
    scores = {row["step"]: row["val_r2"] for row in rows if "val_r2" in row}
    assert result.best_score == scores[result.best_step] == max(scores.values()) > 0.2
    start = json.loads((out / "manifest.json").read_text())["starts"][0]
    assert start["versions"]["jax"] == jax.__version__
    assert load_weights(result.weights).config == toy_config


def test_stopped_and_resumed_is_bit_for_bit_never_stopped(toy_config, toy_source, finished, tmp_path):
    out = tmp_path / "pieces"
    with pytest.raises(Interrupted, match=r"step 5.*--resume"):
        train(toy_config, toy_source, out, stop=lambda step: step == 5, layout=ONE)
    with pytest.raises(Interrupted, match="SIGTERM"):
        train(
            toy_config,
            toy_source,
            out,
            resume=True,
            stop=lambda step: step == 10 and bool(os.kill(os.getpid(), signal.SIGTERM)),
            layout=ONE,
        )
    result = train(toy_config, toy_source, out, resume=True, layout=ONE)
    for which in ("best", "last"):
        pair = [leaves(folder / "weights" / f"{which}.safetensors") for folder in (out, finished[0])]
        for mine, whole in zip(*pair, strict=True):
            np.testing.assert_array_equal(mine, whole)
    assert result[:3] == finished[1][:3]
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert steps.count(12) == 2  # one row of training, one of validation
    assert len(json.loads((out / "manifest.json").read_text())["starts"]) == 3


def test_rows_after_the_checkpoint_are_not_repeated(toy_config, toy_source, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(toy_config, toy_source, out, stop=lambda step: step == 4, layout=ONE)
    with (out / "metrics.jsonl").open("a") as file:  # as if killed at step 6, in the middle of a line
        file.write('{"step": 6, "loss": 1.0}\n{"step": 6, "lo')
    train(toy_config, toy_source, out, resume=True, layout=ONE)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert sum(row["step"] == 6 for row in rows) == 1


def test_numbers_that_are_not_finite_stop_the_run_and_name_the_step(toy_config, toy_source, tmp_path):
    wild = override(toy_config, ["train.learning_rate=1e38", "train.warmup=0", "train.eval_every=12"])
    batch = ", ".join(map(str, range(16)))
    said = rf"at step [23], .*batch held spectra {batch}; there is no checkpoint yet; "
    with pytest.raises(NumericalError, match=said):
        train(wild, toy_source, tmp_path / "wild", layout=ONE)


def test_scores_that_are_not_finite_are_no_stop_but_an_error_with_the_step(toy_config, toy_source, tmp_path):
    settings = ["train.learning_rate=1e38", "train.warmup=0", "train.checkpoint_every=1"]
    with pytest.raises(
        NumericalError, match=r"scores are not finite at step 1: val_r2_log_g, .*no checkpoint"
    ):
        train(override(toy_config, settings), toy_source, tmp_path / "wild", layout=ONE)
    assert not any((tmp_path / "wild" / "weights").iterdir())


def test_an_error_says_which_checkpoint_is_sound(toy_config, toy_source, tmp_path, monkeypatch):
    scores = iter([np.array([0.5, 0.1, 0.5]), np.array([np.nan, 0.1, np.nan])])
    monkeypatch.setattr("specvit_jax.training.loop.score", lambda *_: next(scores))
    said = r"at step 8: val_r2_log_g, val_r2; .*the checkpoint of step 4 is sound"
    with pytest.raises(NumericalError, match=said):
        train(toy_config, toy_source, tmp_path / "run", layout=ONE)


@pytest.mark.parametrize("place", ["device", "host", "stream"])
def test_a_batch_is_named_by_the_rows_of_its_files(tmp_path, toy_config, place):
    files = [write_clean(tmp_path / f"{name}.h5", 40, 40 * i) for i, name in enumerate("ab")]
    with h5py.File(files[1], "a") as file:
        file[pfsspec.ARRAYS["flux"]][:, 7] = 50.0
    named = [f"data.source={','.join(map(str, files))}", f"data.residency={place}", "train.batch_size=16"]
    config = override(toy_config, named)
    source, _ = open_source(config.data, config.train.seed)
    said = str(bad_steps(source, config, 2, 1, None))
    held = np.sort(rows_of(source.sample(jax.random.key(0), step_index(source, config, 2)).labels))
    assert len(held) == 16
    first, second = (", ".join(map(str, part)) for part in (held[held < 40], held[held >= 40] - 40))
    assert f"rows {first} of {files[0]}; rows {second} of {files[1]};" in said
    assert re.search(rf"largest flux, 50, is in row \d+ of {files[1]}", said)


def test_a_directory_that_holds_a_run_is_refused(toy_config, toy_source, finished, tmp_path):
    before = (finished[0] / "metrics.jsonl").read_text()
    with pytest.raises(OutputError, match=r"--resume.*--overwrite"):
        train(toy_config, toy_source, finished[0], layout=ONE)
    with pytest.raises(UsageError, match=r"seed: 42 -> seed: 1"):
        train(override(toy_config, ["train.seed=1"]), toy_source, finished[0], resume=True, layout=ONE)
    assert (finished[0] / "metrics.jsonl").read_text() == before
    (tmp_path / "thesis.txt").write_text("years of work")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match=r"thesis\.txt"):
            train(toy_config, toy_source, tmp_path, layout=ONE, **options)


@pytest.mark.slow
def test_a_finished_run_is_lengthened_and_says_so(toy_config, toy_source, tmp_path, capfd):
    constant = override(toy_config, ["train.schedule=constant", "train.warmup=0", "train.steps=8"])
    longer = override(constant, ["train.steps=12"])
    whole = train(longer, toy_source, tmp_path / "whole", layout=ONE)
    assert "begins at step 0 of 12" in capfd.readouterr().err
    train(constant, toy_source, tmp_path / "run", layout=ONE)
    result = train(longer, toy_source, tmp_path / "run", resume=True, layout=ONE)
    said = capfd.readouterr().err
    assert "lengthened from 8 to 12 steps" in said
    assert "goes on after step 8 of 12" in said
    for mine, other in zip(leaves(result.weights), leaves(whole.weights), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert read_manifest(tmp_path / "run").finished.step == 12


def test_without_its_checkpoints_a_run_does_not_replace_its_weights(toy_config, toy_source, tmp_path, capfd):
    out = tmp_path / "run"
    train(toy_config, toy_source, out, layout=ONE)
    shutil.rmtree(out / "checkpoints")
    kept = {path: path.read_bytes() for path in (*out.glob("weights/*"), out / "metrics.jsonl")}
    with pytest.raises(
        DataError, match=r"no checkpoint, but .*last\.safetensors of step 12, .*--init-weights"
    ):
        train(toy_config, toy_source, out, resume=True, layout=ONE)
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_run_killed_before_its_first_checkpoint_begins_again_and_says_so(
    toy_config, toy_source, tmp_path, capfd
):
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(toy_config, toy_source, out, stop=lambda step: step == 5, layout=ONE)
    shutil.rmtree(out / "checkpoints")  # as if killed after the weights of step 4 were written
    with pytest.raises(Interrupted):
        train(toy_config, toy_source, out, resume=True, stop=lambda step: step == 1, layout=ONE)
    assert "no checkpoint to go on from: begins at step 0 of 12" in capfd.readouterr().err


# --- weights to begin with


@pytest.fixture
def tuned(toy_config, finished):
    """A short run that goes on from the weights of the finished one."""
    path = finished[0] / "weights" / "best.safetensors"
    return override(toy_config, [f"train.init_weights={path}", "train.seed=7", "train.steps=8"])


def test_a_run_begins_with_the_weights_and_scalers_it_is_given(tuned, toy_source, finished):
    given = load_weights(finished[1].weights)
    source = replace(toy_source, shapes=2 * toy_source.shapes)  # its own scalers would be others
    start = begin(tuned, source, None, initial_weights(tuned))
    for found, right in zip(*map(jax.tree.leaves, (start.state.params, given.params)), strict=True):
        np.testing.assert_array_equal(found, right)
    for found, right in zip(jax.tree.leaves(start.scalers), jax.tree.leaves(given[2:]), strict=True):
        np.testing.assert_array_equal(found, right)
    assert int(start.state.step) == 0
    assert float(optax.tree.norm(start.state.opt_state[1][0].mu)) == 0


def test_a_run_from_given_weights_is_resumed_bit_for_bit(tuned, toy_source, tmp_path):
    whole = train(tuned, toy_source, tmp_path / "whole", layout=ONE)
    with pytest.raises(Interrupted):
        train(tuned, toy_source, tmp_path / "pieces", stop=lambda step: step == 3, layout=ONE)
    steps = []
    pieces = train(
        tuned,
        toy_source,
        tmp_path / "pieces",
        resume=True,
        stop=lambda step: bool(steps.append(step)),
        layout=ONE,
    )
    assert steps[0] == 4  # it did not begin again
    for one, other in zip(leaves(whole.weights), leaves(pieces.weights), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model.embed_dim=32", r"model\.embed_dim=16 there and 32 here"),
        ("model.num_heads=4", r"model\.num_heads=2 there and 4 here"),  # the shapes are the same
        ("data.preprocess=zca", r"data\.preprocess=none there and zca here"),
    ],
)
def test_weights_of_another_network_are_refused_before_anything_is_written(
    tuned, toy_source, tmp_path, setting, said
):
    config = override(tuned, [setting, "data.components=4"])
    with pytest.raises(UsageError, match=said):
        train(config, toy_source, tmp_path / "run", layout=ONE)
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_there_are_refused(toy_config, toy_source, tmp_path):
    config = override(toy_config, [f"train.init_weights={tmp_path / 'none.safetensors'}"])
    with pytest.raises(MissingInputError, match=r"none\.safetensors"):
        train(config, toy_source, tmp_path / "run", layout=ONE)


# --- refusals


def test_overwrite_starts_again(toy_config, toy_source, tmp_path):
    for options in ({}, {"overwrite": True}):
        with pytest.raises(Interrupted, match="step 1;"):
            train(toy_config, toy_source, tmp_path, stop=lambda step: True, layout=ONE, **options)
    assert len(json.loads((tmp_path / "manifest.json").read_text())["starts"]) == 1


def test_unknown_label_is_refused(toy_config, toy_source, tmp_path):
    config = override(toy_config, ["model.label_names=colour"])
    with pytest.raises(UsageError, match="colour"):
        train(config, toy_source, tmp_path / "run", layout=ONE)


def on_files(config, path, *settings):
    """The config for a file of spectra, and its source."""
    named = override(config, [f"data.source={path}", "model.input_size=4096", *settings])
    return named, open_source(named.data, named.train.seed)[0]


def test_labels_that_do_not_vary_are_named_before_anything_is_written(toy_config, two_line_grid, tmp_path):
    good = write_clean(tmp_path / "good.h5", 40)
    flat = write_clean(tmp_path / "flat.h5", 40, log_g=np.full(40, 3.0))
    last = write_clean(tmp_path / "last.h5", 40, log_g=np.where(np.arange(40) == 11, 2.0, 3.0))
    first = "train.seed=0"  # row 11 is trained on: the last four rows have one log g
    assert 11 not in file_order(40, 0)[36:]
    for path, settings, said in [
        (flat, [], r"data\.source .*flat\.h5 must hold .*log_g is 3 in all 36 spectra"),
        (last, [first], r"last 4 spectra .* log_g is 3 in all 4 spectra"),
        (good, [f"data.validation={flat}"], r"data\.validation .*flat\.h5 must .*log_g is 3 in all 40"),
        (write_clean(tmp_path / "one.h5", 19), [], "at least two spectra, found 1"),
    ]:
        config, source = on_files(toy_config, path, *settings)
        with pytest.raises(DataError, match=said):
            train(config, source, tmp_path / "run", layout=ONE)
    config = override(toy_config, ["data.ranges=log_g=3:3", f"data.grid={two_line_grid}"])
    with pytest.raises(DataError, match=r"data\.ranges must .*log_g is 3"):
        check_labels(open_source(config.data)[0], config)
    assert not (tmp_path / "run").exists()
    check_labels(*reversed(on_files(toy_config, flat, "model.label_names=[T_eff]")))


def test_a_batch_that_cannot_fit_is_refused_with_one_that_can(toy_config, toy_source, tmp_path, monkeypatch):
    taken = memory(toy_config.model, 1)
    free = taken.training_state + 100 * taken.activations_of_a_batch / SURELY + 1
    monkeypatch.setattr("specvit_jax.training.room.free_memory", lambda: free)
    for settings, fits in (("train.batch_size=101", 100), ("train.batch_size=606 train.accumulate=6", 600)):
        with pytest.raises(UsageError, match=rf"batch_size = .* GiB are free; at most {fits} fit"):
            train(override(toy_config, settings.split()), toy_source, tmp_path / "run", layout=ONE)
    check_room(override(toy_config, ["train.batch_size=100"]), ONE)
    two = make_layout(devices=jax.devices("cpu")[:2])  # they share the host's memory
    with pytest.raises(UsageError, match="at most"):
        check_room(override(toy_config, ["train.batch_size=100"]), two)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("settings", ["model.pool=cls", "model.network=cnn model.patch_size=8"])
def test_a_step_takes_more_memory_than_is_needed_surely(toy_config, toy_source, settings):
    """By what the compiler says: else runs that fit would be refused."""
    config = override(toy_config, ["train.batch_size=256", *settings.split()])
    state, scalers = jax.eval_shape(make_state, config), fit_scalers(toy_source, config)
    batch = jax.eval_shape(toy_source.sample, jax.random.key(0), jnp.arange(256))
    batch = batch._replace(labels=jax.ShapeDtypeStruct((256, 1), jnp.float32))
    step = jax.jit(partial(train_step, config=config)).lower(state, batch, jnp.arange(256), scalers)
    found = step.compile().memory_analysis()
    estimate = memory(config.model, 256)
    assert estimate.activations_of_a_batch / SURELY < found.temp_size_in_bytes
