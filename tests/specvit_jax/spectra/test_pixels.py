"""Spectra of any instrument: their pixels, their noise, and what networks of them read."""

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from crlb.detector import DETECTOR_WAVE, SPEED_OF_LIGHT_KMS, Detector
from crlb.errors import ConfigError, DataError, UsageError
from crlb.grids.grid_file import load_grid
from crlb.instruments.find import find_detector
from crlb.observation.conditions import Conditions
from crlb.observation.spectrograph import apart, pixels_shown
from specvit_jax.cli import parse
from specvit_jax.evaluation.instrument import pixels
from specvit_jax.network.inference import told
from specvit_jax.network.networks import make_network
from specvit_jax.settings.config import Config, DataConfig, ModelConfig
from specvit_jax.settings.pixels import pixels_read, sized
from specvit_jax.spectra.file_sources import open_source, simulator_of
from specvit_jax.spectra.pixels import check_pixels
from specvit_jax.spectra.simulate import simulate
from specvit_jax.spectra.source import Simulator, make_simulator, snr_of

KEY = jax.random.key(3)
MUSE = DataConfig(instrument="muse", snr=(10.0, 40.0))

pytestmark = pytest.mark.filterwarnings("ignore:the grid")


@pytest.fixture(scope="module")
def muse(two_line_grid) -> Simulator:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return simulator_of(replace(MUSE, grid=str(two_line_grid)))


def described(path):
    """A YAML file of the PFS red arm."""
    arm = {"name": "red", "pixels": {"start": 7100, "end": 8850, "step": 1750 / 4096}, "fwhm": 1.6}
    values = {
        "name": "again",
        "arms": [arm],
        "noise": {"snr": 30, "mag": 20, "exptime_s": 10_800, "background": 0.5},
    }
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_the_pfs_arm_by_name_is_that_without_a_name(two_line_grid):
    named, bare = simulator_of(DataConfig(grid=str(two_line_grid))), make_simulator(two_line_grid)
    for one, other in zip(jax.tree.leaves(named), jax.tree.leaves(bare), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(pixels_read(Config()).wave, DETECTOR_WAVE)
    assert sized(Config()) == Config()
    assert told(Config()) == {}


def test_the_pfs_arm_from_a_text_shows_the_same_spectra(two_line_grid, tmp_path):
    """Two ways to the same pixels: the dense kernel's own arm, and a description."""
    data = DataConfig(grid=str(two_line_grid), instrument=described(tmp_path / "again.yaml"))
    again, own = simulator_of(data), make_simulator(two_line_grid)
    labels = jnp.array([[4400.0, 1.5], [5900.0, 4.5]])
    inner = np.searchsorted(DETECTOR_WAVE, np.asarray(again.wave) - 1e-3)
    np.testing.assert_allclose(again.wave, DETECTOR_WAVE[inner], rtol=1e-7)
    assert len(inner) > 4050
    found, expected = np.asarray(again.clean(labels)), np.asarray(own.clean(labels))[:, inner]
    scale = np.median(found / expected, axis=1, keepdims=True)  # of a median over fewer pixels
    np.testing.assert_allclose(found, scale * expected, rtol=2e-5)
    np.testing.assert_allclose(scale, 1, atol=2e-3)


def test_the_median_star_has_the_signal_to_noise_that_is_asked_for(two_line_grid):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = simulator_of(replace(MUSE, grid=str(two_line_grid), snr=(25.0, 25.0)))
    batch = found.sample(KEY, jnp.arange(400))
    ratio = np.median(np.asarray(batch.clean) / np.asarray(batch.error), axis=1)
    assert np.median(ratio) == pytest.approx(25.0, rel=0.01)
    np.testing.assert_allclose(snr_of(batch.clean, batch.error), ratio, rtol=1e-5)
    pulls = np.asarray((batch.flux - batch.clean) / batch.error)
    assert pulls.std() == pytest.approx(1.0, abs=0.01)


def test_a_brightness_that_is_not_known_needs_a_ratio(two_line_grid):
    with pytest.raises(UsageError, match="snr is needed with instrument MUSE"):
        simulator_of(DataConfig(grid=str(two_line_grid), instrument="muse"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"snr": (0.0, 10.0)}, "data.snr must be"),
        ({"snr": (30.0, 10.0)}, "data.snr must be"),
        ({"instrument": "muse", "noise": "curves.h5"}, "data.noise is about the PFS red arm"),
        ({"snr": (5.0, 10.0), "population": "a.csv", "population_mag": True}, "both say how bright"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        DataConfig(**settings)


def by_hand(detector: Detector) -> list[int]:
    """Pixels none of which overlaps one taken before, arms by their beginning: pixel after pixel."""
    arms, one = [], [0]
    for i in range(1, len(detector)):
        if abs(detector.low[i] - detector.high[i - 1]) > 1e-3:
            arms.append(one)
            one = []
        one.append(i)
    arms = sorted([*arms, one], key=lambda arm: detector.low[arm[0]])
    taken: list[int] = []
    for arm in arms:
        low, high = detector.low[taken], detector.high[taken]
        shared = [np.minimum(high, detector.high[i]) - np.maximum(low, detector.low[i]) for i in arm]
        taken += [i for i, common in zip(arm, shared, strict=True) if not (common > 1e-3).any()]
    return taken


@pytest.mark.parametrize("name", ["desi", "weave-lr", "pfs-mr-all"])
def test_pixels_of_arms_that_overlap_are_taken_once(name):
    detector = find_detector(name)
    rows = apart(detector, np.arange(len(detector)))
    assert rows.tolist() == by_hand(detector)
    assert (np.diff(detector.wave[rows]) > 0).all()


def test_pixels_that_a_velocity_uncovers_are_left_out(two_line_grid):
    """The outermost pixels see `reach` further at 4 sigma: nothing of the grid may lack there."""
    grid = load_grid(two_line_grid)
    detector = find_detector("boss")
    still, moving = (pixels_shown(detector, grid, Conditions(rv_sigma_kms=v)) for v in (0.0, 200.0))
    assert set(moving.tolist()) < set(still.tolist())
    shift = 800.0 / SPEED_OF_LIGHT_KMS
    assert detector.low[moving[0]] * (1 - shift) >= grid.wave[0]
    assert detector.high[moving[-1]] * (1 + shift) <= grid.wave[-1]
    assert detector.low[moving[0] - 1] * (1 - shift) < grid.wave[0] + 4 * detector.lsf_fwhm[moving[0]]


def test_a_simulator_of_unknown_velocity_covers_all_its_pixels(two_line_grid):
    data = DataConfig(
        grid=str(two_line_grid), instrument="boss", snr=(20.0, 30.0), conditions="{rv_sigma_kms: 60}"
    )
    found = simulator_of(data)
    batch = found.sample(KEY, jnp.arange(8))
    assert np.isfinite(np.asarray(batch.flux)).all()
    sizes = sized(replace(Config(), data=data)).model
    assert sizes.input_size == len(found.wave) == batch.flux.shape[1]
    assert sizes.wave_range == pytest.approx((found.wave[0], found.wave[-1]), abs=1e-4)


def test_the_pixels_of_a_network_are_found_without_the_grid(muse, two_line_grid):
    config = sized(Config(data=replace(MUSE, grid=str(two_line_grid))))
    assert config.model.input_size == len(muse.wave) < len(find_detector("muse")) + 1
    np.testing.assert_allclose(pixels_read(config).wave, muse.wave, rtol=1e-6)
    fewer = replace(config, model=replace(config.model, input_size=1000))
    with pytest.raises(DataError, match="but the network reads 1000"):
        pixels_read(fewer)
    with pytest.raises(UsageError, match="must be the 4096 pixels of the spectra, found 1000"):
        check_pixels(fewer, 4096)


def test_stored_spectra_are_observed_with_the_noise_they_were_simulated_with(muse, two_line_grid, tmp_path):
    path = tmp_path / "muse.h5"
    simulate(path, muse, 6, seed=1)
    stored, _ = open_source(replace(MUSE, grid=None, snr=None, source=str(path)))
    first = muse.sample(jax.random.key(1), jnp.arange(6))
    again = stored.sample(KEY, jnp.arange(6))
    order = [int(np.argmin(np.abs(np.asarray(first.mag) - mag))) for mag in np.asarray(again.mag)]
    np.testing.assert_allclose(again.clean, np.asarray(first.clean)[order], rtol=1e-5)
    np.testing.assert_allclose(again.error, np.asarray(first.error)[order], rtol=1e-4)
    with pytest.raises(DataError, match="needed pixels of instrument boss"):
        open_source(DataConfig(instrument="boss", source=str(path)))
    with pytest.raises(DataError, match="wavelengths must be the 4096 pixels"):
        open_source(DataConfig(source=str(path)))


def test_networks_of_wavelengths_are_told_those_of_their_instrument(two_line_grid):
    """Pixels that grow with wavelength: other positions than equal ones would have."""
    model = ModelConfig(
        pos_embed="wavelength", pool="mean", embed_dim=16, depth=1, num_heads=2, patch_size=32
    )
    data = DataConfig(grid=str(two_line_grid), instrument="boss", snr=(20.0, 30.0))
    config = sized(Config(model=model, data=data))
    wave = told(config)["wave"]
    own = find_detector("boss").wave
    np.testing.assert_array_equal(wave, own[(own >= wave[0]) & (own <= wave[-1])])
    assert np.ptp(np.diff(wave)) > 0.03
    network = make_network(config.model)
    x = jax.random.normal(KEY, (2, config.model.input_size))
    params = network.init(KEY, x, wave=wave)["params"]
    read = [
        network.apply({"params": params}, x, **kw) for kw in ({"wave": wave}, {}, {"wave": wave[::-1].copy()})
    ]
    assert np.abs(read[0] - read[1]).max() > 1e-6
    assert np.abs(read[0] - read[2]).max() > 1e-5


def test_one_of_a_file_is_trained_scored_and_read(two_line_grid, tmp_path, capsys):
    """What an observer of another spectrograph types, from the description to labels."""
    grid, out = f"--grid {two_line_grid}", tmp_path / "run"
    seen = f"--instrument muse --snr 20 60 {grid}"
    small = "train.batch_size=16 data.n_scaling=64 data.n_validation=16 model.depth=1 data.components=16"
    for line in (
        f"simulate --n 12 --seed 6 --out {tmp_path / 'muse.h5'} {seen}",
        f"train tiny --data emulator --out {out} --steps 2 {seen} --set {small} model.input_size=16 "
        "model.patch_size=16 model.label_names=log_g train.teacher=null",
    ):
        parse(line.split())()
    stars = tmp_path / "muse.h5"
    parse(f"evaluate {out} --data {stars} --json {tmp_path / 's.json'}".split())()
    parse(f"predict {out} {stars} --out {tmp_path / 'p.csv'}".split())()
    assert "P" not in (tmp_path / "p.csv").read_text().splitlines()[0]
    said = capsys.readouterr().err
    assert "at rest, 71" in said
    assert "of instrument muse" in said
    assert "noise of SNR 20 to 60" in said


def test_lines_that_a_network_was_taught_are_as_broad_as_the_grids(two_line_grid):
    """An instrument as sharp as the grid, R = 5600; up to 1.25 times sharper is allowed."""
    data = DataConfig(grid=str(two_line_grid), instrument="weave-lr", snr=(20.0, 30.0))
    config = sized(Config(data=data))
    own, taught = pixels_read(config), pixels(config, config.model.input_size)
    np.testing.assert_allclose(taught.lsf_fwhm, np.maximum(own.lsf_fwhm, own.wave / 5600.0))
    assert (taught.lsf_fwhm > own.lsf_fwhm).any()
    stored = replace(config, data=replace(data, source="stored.h5"))
    np.testing.assert_array_equal(pixels(stored, config.model.input_size).lsf_fwhm, own.lsf_fwhm)
