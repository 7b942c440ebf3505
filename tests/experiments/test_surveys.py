"""One network for several instruments: steps, wavelengths, what is compared, real spectra, the result."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.errors import MissingInputError, NumericalError
from experiments.study.frame import Work
from experiments.study.options import Options
from experiments.study.stars import stars_of
from experiments.study.training import base
from experiments.surveys import experiment as module
from experiments.surveys import learning
from experiments.surveys.experiment import SETTINGS, Size, network, pairs
from experiments.surveys.learning import Seen, cut, forward, learn, read
from experiments.surveys.real import at_level, real_stars
from experiments.surveys.result import LOWEST, SurveysResult
from experiments.surveys.rows import (
    JOINT,
    LIMIT,
    MOVED,
    Instrument,
    ReadRow,
    RealStar,
    difference,
    limit_row,
    real_scores,
)
from specvit_jax import metrics
from specvit_jax.evaluation.prepared import Prepared
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra.feed import TrainBatch
from specvit_jax.spectra.file_sources import simulator_of
from specvit_jax.training.initial_state import fit_scalers
from specvit_jax.training.step import fresh_step, make_state

pytestmark = pytest.mark.filterwarnings("ignore:the grid reaches:UserWarning")
CONFIG = base("smoke", [*SETTINGS, "train.steps=4", "train.batch_size=8"])
SNR = np.linspace(5.0, 50.0, 30)


@pytest.fixture(scope="module")
def seen(toy_grid):
    return {name: made(toy_grid, name) for name in ("pfs-mr", "boss")}


def made(grid, name) -> Seen:
    simulator = simulator_of(DataConfig(instrument=name, snr=(5.0, 50.0), grid=str(grid)))
    stars = stars_of(simulator, 7, 6, "stars")
    return Seen(
        name, simulator, fit_scalers(simulator, CONFIG), np.asarray(simulator.wave, np.float64), stars
    )


def test_a_step_is_that_of_the_normal_loop(seen):
    one, state = seen["pfs-mr"], make_state(CONFIG)
    batch = TrainBatch(np.arange(CONFIG.train.batch_size, dtype=np.int32))
    expected, row = jax.jit(fresh_step, static_argnames="config")(
        state, one.simulator, one.scalers, batch, config=CONFIG
    )
    found, loss = learning.step(state, one.simulator, one.scalers, jnp.asarray(one.wave, jnp.float32), CONFIG)
    assert float(loss) == pytest.approx(float(row["loss"]), rel=1e-5)
    old, new, ours = (jax.tree_util.tree_leaves_with_path(part.params) for part in (state, expected, found))
    for (path, start), (_, b), (_, a) in zip(old, new, ours, strict=True):
        if "'key']['bias'" in jax.tree_util.keystr(path):
            continue  # attention does not depend on it: its step is the sign of rounding errors
        step = np.abs(np.asarray(b) - start).max()
        assert step > 0
        np.testing.assert_allclose(a, b, atol=1e-2 * float(step), err_msg=jax.tree_util.keystr(path))


def test_instruments_take_turns_and_a_loss_that_is_no_number_ends_it(seen, monkeypatch):
    turns, done = [], []

    def step(state, simulator, scalers, wave, config, moved):
        turns.append((len(wave), moved))
        return state, jnp.float32(np.nan if len(turns) == 7 else 1.0)

    monkeypatch.setattr(learning, "step", step)
    monkeypatch.setattr(learning, "EVERY", 3)
    learn(CONFIG, list(seen.values()), True, done.append)
    pixels = [len(one.wave) for one in seen.values()]
    assert turns == [(n, True) for n in pixels * 2]
    assert done == [3, 1]
    with pytest.raises(NumericalError, match="finite"):
        learn(CONFIG, list(seen.values()), False, done.append)


def test_tokens_are_known_by_their_wavelengths_alone(seen):
    one, params = seen["boss"], make_state(CONFIG).params
    size = CONFIG.model.patch_size
    n = len(one.wave) // size
    x, wave = (
        np.asarray(part)[..., : n * size] for part in (one.scalers.input.encode(one.stars.noisy), one.wave)
    )
    order = np.random.default_rng(0).permutation(n)
    shuffled = x.reshape(len(x), n, size)[:, order].reshape(len(x), -1)
    with_them = wave.reshape(n, size)[order].reshape(-1)

    def out(x, wave):
        return np.asarray(forward(params, jnp.asarray(x), jnp.asarray(wave, jnp.float32), CONFIG))

    plain = out(x, wave)
    np.testing.assert_allclose(out(shuffled, with_them), plain, atol=1e-4)
    assert np.abs(out(shuffled, wave) - plain).max() > 1e-3
    assert np.abs(out(x, wave + 40.0) - plain).max() > 1e-3


def test_a_cut_keeps_pixels_with_their_wavelengths_and_begins_anywhere_in_the_first_window():
    wave = jnp.arange(100.0)
    x = jnp.stack([wave, -wave])
    starts = set()
    for seed in range(60):
        some, at = cut(jax.random.key(seed), x, wave, 8)
        np.testing.assert_array_equal(some, jnp.stack([at, -at]))
        np.testing.assert_array_equal(np.diff(at), 1)
        assert len(at) == 93
        starts.add(int(at[0]))
    assert starts == set(range(8))


def test_instruments_see_the_same_stars_and_scale_labels_alike(seen):
    one, other = seen.values()
    np.testing.assert_array_equal(one.stars.labels, other.stars.labels)
    for a, b in zip(one.scalers.label, other.scalers.label, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_what_is_read_of_a_star_does_not_depend_on_the_others(seen, monkeypatch):
    monkeypatch.setattr(learning, "PIECE", 4)
    one, params = seen["boss"], make_state(CONFIG).params
    together = read(params, one, one.stars.noisy, CONFIG)
    alone = [read(params, one, flux[None], CONFIG)[0] for flux in one.stars.noisy]
    assert together.shape == (6, 3)
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_a_network_is_trained_once_for_its_settings(seen, tmp_path, toy_grid, monkeypatch):
    trained = []

    def stand_in(config, learned, moved, advance):
        trained.append((config.train.steps, [one.name for one in learned], moved))
        return make_state(config).params

    monkeypatch.setattr(module, "learn", stand_in)
    study = replace(module.STUDY, sizes={"smoke": Size(20, 20, 2, 8, ("pfs-mr", "boss"), ())})
    work = Work(study, Options("smoke", grid=toy_grid, out=tmp_path))
    both, one = list(seen.values()), [seen["boss"]]
    first = network(work, JOINT, both)
    again = network(work, JOINT, both)
    network(work, "boss", one)
    network(work, MOVED, both, moved=True)
    names = [one.name for one in both]
    assert trained == [(4, names, False), (2, ["boss"], False), (4, names, True)]
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)


def test_a_difference_is_of_the_same_stars_and_of_those_that_both_know():
    truth = np.tile([0.0, 1.0], 20)
    methods = {"good": truth, "bad": 1 - truth, "few": np.full(30, 0.5)}
    row = difference("boss", "log_g", truth, methods, ("good", "bad"))
    assert row.r2 == pytest.approx(1 - (1 - 1 / 0.25))  # all errors are 1, the variance 1/4
    assert difference("boss", "log_g", truth, methods, ("good", "few")).r2 == pytest.approx(1.0)
    assert difference("boss", "log_g", truth[:10], {"a": truth[:10], "b": truth[:10]}, ("a", "b")).r2 is None


def test_a_real_spectrum_comes_to_the_level_of_the_training_and_lost_pixels_to_its_mean():
    flux, ivar = np.array([2.0, 4.0, 0.0, 6.0]), np.array([1.0, 1.0, 0.0, 1.0])
    found = Prepared(flux, ivar, 10.0, 0.75, 0.0, frozenset(), ())
    mean = np.array([0.4, 0.5, 0.7, 0.6])
    np.testing.assert_allclose(at_level(found, mean), [0.25, 0.5, 0.7, 0.75])


def test_without_real_spectra_none_is_read_which_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPECVIT_REFERENCE", str(tmp_path))
    stars, why = real_stars(None, {})
    assert stars == []
    assert why in capsys.readouterr().err
    with pytest.raises(MissingInputError, match=r"labels\.csv"):
        real_stars(tmp_path, {})


def result(real: bool) -> SurveysResult:
    names = ("boss", "muse")
    rng = np.random.default_rng(1)
    truth = np.linspace(1, 5, 40)
    told = {name: truth + rng.normal(0, 0.5, 40) for name in (*names, JOINT, MOVED)}
    methods = told | {LIMIT: truth + rng.normal(0, 0.3, 40)}
    stars = tuple(
        RealStar(
            instrument="muse",
            star=f"star {i}",
            snr=20.0,
            literature={"log_g": 1.0 + i / 4},
            read={name: {"log_g": 1.5 + i / 4} for name in ("muse", JOINT, MOVED)},
        )
        for i in range(12)
    )
    return SurveysResult(
        instruments=tuple(
            Instrument(
                name=name, learned=name == "boss", pixels=9, first=7100.0, last=8000.0, tokens=3, snr=15.0
            )
            for name in names
        ),
        rows=tuple(
            ReadRow(
                **vars(metrics.summary(truth, told[network])), network=network, instrument=name, label="log_g"
            )
            for network in told
            for name in names
        ),
        limits=tuple(
            limit_row(name, "log_g", truth, methods[LIMIT], np.full(40, 0.3), 1.0) for name in names
        ),
        differences=tuple(
            difference(name, "log_g", truth, methods, pair) for name in names for pair in pairs(name)
        ),
        real=stars if real else (),
        real_scores=tuple(real_scores(stars)) if real else (),
        skipped="" if real else "there is no folder",
    )


def test_a_limit_says_what_its_posteriors_promise():
    row = result(False).limit("boss")
    truth = np.linspace(1, 5, 40)
    assert row.bayes == pytest.approx(1 - 0.09 / truth.var())


def test_real_stars_are_scored_as_they_come():
    found = {one.network: one for one in real_scores(result(True).real)}
    assert set(found) == {"muse", JOINT, MOVED}
    assert found[JOINT].bias == pytest.approx(0.5)
    assert found[JOINT].scatter == pytest.approx(0, abs=1e-12)
    truth = 1.0 + np.arange(12) / 4
    assert found[JOINT].r2 == pytest.approx(1 - 0.25 / truth.var())
    assert real_scores(result(True).real[:5])[0].r2 is None


@pytest.mark.parametrize("real", [True, False])
def test_a_result_tells_every_network_and_comes_back_from_json(real):
    found = result(real)
    assert SurveysResult.from_json(found.to_json()) == found
    table = found.table()
    assert "| muse | no | 9 | 15.0 |" in table
    assert ("Real stars: there is no folder." in table) != real
    figure = found.plot()
    assert [len(axes.lines) for axes in figure.axes[1:]] == [4] * real
    assert figure.axes[0].get_ylim()[0] == LOWEST
    assert ("12 real stars (muse)" in found.caption()) == real
    assert "learned from all but muse" in found.caption()
