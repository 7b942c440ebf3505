"""Simulated stars under conditions: what is drawn, what files say of it, what networks make of it."""

import sys

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from crlb.bayes.unknowns import prior_under
from crlb.errors import ConfigError, DataError, UsageError, run_cli
from crlb.files.spectra import read_spectra
from crlb.observation.conditions import PUBLISHED, SURVEY, Conditions
from crlb.observation.noise import background, draw
from specvit_jax.cli import parse
from specvit_jax.evaluation.limits import density
from specvit_jax.network.weights import Weights, load_weights, save_weights
from specvit_jax.settings.config import DataConfig
from specvit_jax.settings.config_file import from_yaml, override, to_yaml
from specvit_jax.settings.observed_under import conditions_in, conditions_text, text_of
from specvit_jax.settings.presets import preset
from specvit_jax.spectra.file_sources import open_source
from specvit_jax.spectra.priors import LabelsDrawn
from specvit_jax.spectra.source import Rows, make_simulator
from specvit_jax.training.initial_state import fit_scalers
from specvit_jax.training.step import make_state
from tests.crlb.toy import unsealed

KEY, N = jax.random.key(11), 40
SOME = Conditions(scale=np.inf, continuum=2, continuum_sigma=0.1, rv_sigma_kms=2.0, lost=0.05, sky_left=0.1)


@pytest.fixture(scope="module")
def wide_grid(tmp_path_factory):
    """Two lines on a grid that reaches further than the arm, so that stars can move."""
    from tests.specvit_jax import toy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "DETECTOR_WAVE", np.arange(7080.0, 8870.0, 0.4))
        return toy.save_two_line_grid(tmp_path_factory.mktemp("wide") / "grid.h5")


@pytest.fixture(scope="module")
def survey(wide_grid):
    return make_simulator(wide_grid, mag=(20.0, 22.0), conditions=SOME)


@pytest.fixture(scope="module")
def batch(survey):
    return jax.jit(type(survey).sample)(survey, KEY, jnp.arange(N))


def test_what_is_left_of_the_sky_over_the_noise_is_what_stars_scatter_more(two_line_grid):
    """Of twice as long exposures the noise is smaller, and the sky that is left is not."""
    deep = Conditions(sky_left=0.3, exptime_s=(1800.0, 1800.0))
    simulator = make_simulator(two_line_grid, mag=(22.0, 22.0), conditions=deep)
    clean = np.asarray(simulator.clean(np.array([[5000.0, 3.0]])))[0]
    keys = jax.random.split(KEY, 1000)
    rows = Rows(np.tile(clean, (1000, 1)), np.zeros((1000, 0)), np.full(1000, 22.0))
    seen = simulator.observer.observe(keys, rows)
    apart = np.asarray((seen.flux - seen.clean) / seen.error)
    expected = simulator.observer.sky_over_noise(5.0 * clean, 22.0)
    assert (expected > 1).sum() > 500
    np.testing.assert_allclose((apart**2).mean(axis=0), 1 + expected**2, rtol=0.25)
    usual = make_simulator(two_line_grid, mag=(22.0, 22.0), conditions=Conditions(sky_left=0.3))
    shorter = usual.observer.sky_over_noise(clean, 22.0)
    ratio = expected[shorter > 0] / shorter[shorter > 0]
    # From noise in proportion to the sky, over that of photons, 2^(1/2), to that of reading, 2.
    assert ((ratio > 0.999) & (ratio < 2.001)).all()
    assert np.median(ratio) > 1.1


def test_published_stars_are_those_of_draw_bit_for_bit(two_line_grid):
    simulator = make_simulator(two_line_grid, mag=(20.0, 22.0), conditions=PUBLISHED)
    batch = jax.jit(type(simulator).sample)(simulator, KEY, jnp.arange(N))
    assert batch.usable is None
    assert batch.gain is None

    see, by_hand = (
        jax.jit(jax.vmap(function, (0, 0, 0)))
        for function in (
            simulator.observing.see,
            lambda key, flux, mag: draw(key, flux, mag, simulator.noise),
        )
    )
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(KEY, i), 3)[2])(jnp.arange(N))
    seen, (noisy, error) = (function(keys, batch.clean, batch.mag) for function in (see, by_hand))
    np.testing.assert_array_equal(seen.flux, noisy)
    np.testing.assert_array_equal(seen.error, error)
    np.testing.assert_allclose(batch.flux, noisy, atol=3e-6)  # fused with the emulator, rounded otherwise


def test_labels_of_a_batch_are_those_of_the_star(survey, batch):
    assert survey.label_names == ("T_eff", "log_g")
    assert batch.labels.shape == (N, 2)
    weight = np.asarray(batch.usable) / np.asarray(background(survey.noise))
    level = (weight * np.asarray(batch.flux)).sum(axis=1) / weight.sum(axis=1)
    np.testing.assert_allclose(level, 0.5, rtol=1e-5)
    assert 0.02 < 1 - np.asarray(batch.usable).mean() < 0.08
    assert (np.asarray(batch.flux)[np.asarray(batch.usable) == 0] == 0).all()


def test_lines_are_as_far_moved_as_the_prior_says(wide_grid):
    """The centre of the narrowest line over many stars scatters by the velocity's sigma."""
    simulator = make_simulator(wide_grid, mag=(20.0, 20.0), conditions=Conditions(rv_sigma_kms=3.0))
    batch = jax.jit(type(simulator).sample)(simulator, KEY, jnp.arange(400))
    at_rest = np.asarray(simulator.clean(batch.labels))
    clean, wave = np.asarray(batch.clean), np.asarray(simulator.wave)
    # First order in the velocity: clean - at rest = -v/c dF/dlnwave
    slope = np.gradient(at_rest, np.log(wave), axis=1)
    velocity = -299792.458 * ((clean - at_rest) * slope).sum(axis=1) / (slope**2).sum(axis=1)
    assert abs(velocity.std() - 3.0) < 0.4
    assert abs(velocity.mean()) < 0.6


def test_the_prior_of_posteriors_is_that_of_the_draws(wide_grid):
    conditions, shapes = Conditions(rv_sigma_kms=2.0), {"log_g": (2.0, 3.0)}
    drawn = LabelsDrawn(beta=shapes, ranges={"T_eff": (4500.0, 5000.0)})
    simulator = make_simulator(wide_grid, drawn=drawn, conditions=conditions)
    found, whole = density(simulator), prior_under(conditions, simulator.model, shapes)
    assert found.label_names == whole.label_names
    assert found.normal == whole.normal
    for name in ("a", "b", "variance"):
        np.testing.assert_allclose(getattr(found, name)[1:], getattr(whole, name)[1:], rtol=1e-6)
    assert (found.low[0], found.high[0]) == (4500.0, 5000.0)
    batch = jax.jit(type(simulator).sample)(simulator, KEY, jnp.arange(400))
    np.testing.assert_allclose(np.std(batch.labels, axis=0), np.sqrt(found.variance[:2]), rtol=0.1)


def test_conditions_are_one_setting():
    text = text_of(SOME)
    assert "\n" not in text
    assert conditions_in(text) == SOME
    assert text_of(SURVEY) == "survey"
    config = override(preset("tiny"), ["data.conditions=survey"])
    own = from_yaml(to_yaml(config).replace("conditions: survey", f"conditions: '{text}'"))
    assert conditions_in(from_yaml(to_yaml(own)).data.conditions) == SOME
    with pytest.raises(ConfigError, match=r"data.conditions must be published, survey or YAML"):
        conditions_in("surwey")


def test_a_file_of_conditions_is_taken_over(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("scale: .inf\ncontinuum: 2\ncontinuum_sigma: 0.05\n")
    expected = Conditions(scale=np.inf, continuum=2, continuum_sigma=0.05)
    assert conditions_in(conditions_text(path)) == expected


def cli(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["specvit", *map(str, arguments)])
    run_cli(lambda: parse()())


def test_stored_spectra_take_conditions_that_need_no_axis(tmp_path, two_line_grid):
    from tests.specvit_jax.toy import write_clean

    path = write_clean(tmp_path / "clean.h5", 3)
    with pytest.raises(UsageError, match=r"rv_kms and lsf_fwhm afresh .* take `emulator`"):
        open_source(DataConfig(source=str(path), conditions="survey"))
    source, _ = open_source(DataConfig(source=str(path), conditions="{lost: 0.1, scale: .inf}"))
    batch = source.sample(KEY, jnp.arange(3))
    assert 0.03 < 1 - np.asarray(batch.usable).mean() < 0.2


@pytest.fixture(scope="module")
def written(tmp_path_factory, two_line_grid):
    """Spectra simulated under conditions by the command, and untrained weights of the same conditions."""
    folder = tmp_path_factory.mktemp("conditions")
    (folder / "own.yaml").write_text("scale: .inf\nlost: 0.05\n")
    with pytest.MonkeyPatch.context() as patch:
        cli(
            patch, "simulate", "--n", 30, "--seed", 3, "--out", folder / "s.h5", "--grid", two_line_grid,
            "--conditions", folder / "own.yaml",
        )  # fmt: skip
    config = override(
        preset("survey"),
        [
            "model.network=mlp", "model.hidden=8", "model.label_names=log_g", f"data.grid={two_line_grid}",
            "data.n_scaling=100", "data.components=6", "data.conditions='{scale: .inf, lost: 0.05}'",
        ],
    )  # fmt: skip
    simulator = make_simulator(two_line_grid, conditions=conditions_in(config.data.conditions))
    weights = Weights(make_state(config).params, config, *fit_scalers(simulator, config))
    save_weights(folder / "w.safetensors", weights, {})
    return folder


def test_a_simulated_file_says_its_conditions_and_marks_what_is_lost(written):
    found = read_spectra(written / "s.h5", need=("flux", "error", "noisy"))
    assert conditions_in(found.conditions) == Conditions(scale=np.inf, lost=0.05)
    assert 0.02 < 1 - found.usable.mean() < 0.08
    assert (found.noisy[found.usable == 0] == 0).all()
    pulls = ((found.noisy - found.flux) / found.error)[found.usable > 0]
    assert abs(pulls.std() - 1) < 0.02
    assert found.gain.shape == (30,)
    with h5py.File(written / "s.h5") as file:
        np.testing.assert_array_equal(file["dataset/arrays/mask/value"][()] != 0, found.usable == 0)
    with pytest.raises(DataError, match="must be noiseless"):
        open_source(DataConfig(source=str(written / "s.h5")))


def test_weights_keep_what_conditions_need(written):
    weights = load_weights(written / "w.safetensors")
    assert conditions_in(weights.config.data.conditions) == Conditions(scale=np.inf, lost=0.05)
    scaler = weights.input_scaler
    assert scaler.level.shape == (4096,)
    assert scaler.gram.shape == (6, 6)
    assert scaler.rest.shape == (2,)


def test_evaluate_reads_the_mask_and_says_other_conditions(written, monkeypatch, capsys, tmp_path):
    out = tmp_path / "a.json"
    cli(monkeypatch, "evaluate", written / "w.safetensors", "--data", written / "s.h5", "--json", out)
    assert "conditions differ" not in capsys.readouterr().err
    expected = out.with_suffix(".predictions.csv").read_text()
    spoilt = tmp_path / "spoilt.h5"
    spoilt.write_bytes((written / "s.h5").read_bytes())
    with h5py.File(unsealed(spoilt), "r+") as file:
        noisy, mask = (file[f"dataset/arrays/{name}/value"] for name in ("noisy", "mask"))
        noisy[...] = np.where(mask[()] != 0, 77.0, noisy[()])
        file.attrs["conditions"] = "survey"
    out = tmp_path / "b.json"
    cli(monkeypatch, "evaluate", written / "w.safetensors", "--data", spoilt, "--json", out)
    assert "conditions differ: the spectra were drawn under survey" in capsys.readouterr().err
    assert out.with_suffix(".predictions.csv").read_text() == expected
