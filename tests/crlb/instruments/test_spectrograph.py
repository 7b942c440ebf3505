"""Spectrographs through the forward model: today's PFS exactly, arms that add, bounds by plain numpy."""

import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from crlb.detector import DETECTOR_WAVE, FWHM_PER_SIGMA, contiguous
from crlb.errors import DataError, UsageError
from crlb.fisher.algebra import combine
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import load_grid
from crlb.instruments.describe import described, joined
from crlb.instruments.find import find_instrument, instrument_names
from crlb.observation.brightness import mags_at_snr, mags_elsewhere, snr_per_pixel
from crlb.observation.build import forward_model, with_unknowns
from crlb.observation.conditions import Conditions
from crlb.observation.noise import REFERENCE_WAVE
from crlb.observation.nuisances import Nuisances
from crlb.observation.spectrograph import on_grid, pfs_red_arm
from crlb.observation.star import observe
from tests.crlb.toy import toy_grid

STAR = {"T_eff": 4620.0, "log_g": 2.3, "M_H": -0.4}
WAVE = np.arange(8150.0, 8400.0, 0.1)


@pytest.fixture(scope="module")
def grid():
    return toy_grid(WAVE)


def toy(*arms, noise="none", magnitude=(8160, 8390)):
    """Arms as (start, end, step, resolving power)."""
    listed = [
        {"name": f"a{i}", "pixels": {"start": a, "end": b, "step": s}, "resolving_power": r}
        for i, (a, b, s, r) in enumerate(arms)
    ]
    values = {"name": "toy", "arms": listed, "noise": noise, "magnitude": list(magnitude)}
    return described(values, "instrument", Path())


def test_the_named_pfs_arm_is_the_default_to_the_last_bit():
    default, named = forward_model(), forward_model(None, find_instrument("pfs-mr"))
    star = np.array([4620.0, 2.3, -0.4])
    np.testing.assert_array_equal(default.flux(star), named.flux(star))
    np.testing.assert_array_equal(default.variance(star, 21.5), named.variance(star, 21.5))
    np.testing.assert_array_equal(default.wave, DETECTOR_WAVE)


def test_pfs_pixels_as_a_description_give_the_bound_of_today():
    """The same pixels and width from a text, with the built-in noise: to 1e-6."""
    arm = {"name": "red", "pixels": {"start": 7100, "end": 8850, "step": 1750 / 4096}, "fwhm": 1.6}
    values = {"name": "PFS again", "arms": [arm], "noise": "none"}
    told, own = described(values, "instrument", Path()), pfs_red_arm()
    np.testing.assert_allclose(told.detector.wave, DETECTOR_WAVE, rtol=1e-14)
    again = type(own)(told.detector, own.noise, own.arms)
    bounds = [forward_model(None, one).star(**STAR, mag=21.5).fisher().bound("log_g") for one in (again, own)]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-6)


def dense_kernel(wave, detector, resolving_power):
    """Gaussians at 40 places within every pixel, each normalised over the samples: what a pixel sees.

    Where the grid is as broad already a narrow one stands for the nearest sample.
    """
    sigma = np.sqrt(np.maximum(detector.lsf_fwhm**2 - (detector.wave / resolving_power) ** 2, 0.05))
    found = np.zeros((len(detector), len(wave)))
    for share in (np.arange(40) + 0.5) / 40:
        centre = detector.low + share * (detector.high - detector.low)
        z = (wave - centre[:, None]) / (sigma / FWHM_PER_SIGMA)[:, None]
        profile = np.exp(-0.5 * z**2) * np.gradient(wave)
        found += profile / profile.sum(axis=1, keepdims=True) / 40
    return found


def numpy_bounds(grid, node, detector, snr):
    """Bounds at a node with a free flux scale and photon noise: numpy's linear algebra, scipy's splines."""
    table = grid.flux @ dense_kernel(grid.wave, detector, grid.resolving_power).T
    table = table / (table**4).mean(axis=-1, keepdims=True) ** 0.25
    flux = table[node]
    columns = [flux]
    for i, (name, axis) in enumerate(zip(grid.label_names, grid.axes, strict=True)):
        line = np.moveaxis(table, i, 0)[(slice(None), *np.delete(node, i))]
        x = 1 / axis if name == "T_eff" else axis
        slope = CubicSpline(x[:: np.sign(x[1] - x[0]).astype(int)], line[:: np.sign(x[1] - x[0]).astype(int)])
        columns.append(slope(x[node[i]], 1) * (-1 / axis[node[i]] ** 2 if name == "T_eff" else 1.0))
    rate = (detector.high - detector.low) * detector.wave * flux
    error = flux / (np.sqrt(rate / np.median(rate)) * snr)
    jac = np.array(columns) / error
    return np.sqrt(np.diag(np.linalg.inv(jac @ jac.T)))[1:]


def our_bounds(grid, node, found, snr):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pixels beyond the grid
        model, nuisances = with_unknowns(grid, found, Nuisances(amplitude=True))
    at = np.array([axis[i] for axis, i in zip(grid.axes, node, strict=True)])
    star = observe(model, at, mags_at_snr(model, [snr], at[None])[0], nuisances)
    assert star.snr == pytest.approx(snr)
    return [star.fisher().bound(name) for name in grid.label_names]


def test_bounds_of_two_arms_are_those_of_plain_numpy():
    grid = toy_grid(np.arange(7670.0, 8600.0, 0.2))  # with all three lines of the toy
    found = toy((7685.0, 8210.0, 1.0, 4000), (8170.0, 8580.0, 1.4, 2500), magnitude=(8000, 8580))
    expected = numpy_bounds(grid, (2, 1, 1), found.detector, 30.0)
    np.testing.assert_allclose(our_bounds(grid, (2, 1, 1), found, 30.0), expected, rtol=1e-2)


@pytest.mark.parametrize("name", ["muse", "sdss-legacy", "boss", "lamost-lrs"])
def test_bounds_of_presets_on_a_grid_of_others_are_those_of_plain_numpy(reference, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grid = load_grid(reference / "synspec_grid_coarse.h5")
        found = find_instrument(name)
        seen = on_grid(found, grid)
    expected = numpy_bounds(grid, (2, 1, 2), seen.detector, 50.0)
    np.testing.assert_allclose(our_bounds(grid, (2, 1, 2), found, 50.0), expected, rtol=1e-2)


def test_information_of_arms_adds(grid):
    first, second = (8170.0, 8280.0, 0.5, 4000), (8285.0, 8380.0, 0.8, 2500)
    both = forward_model(grid, toy(first, second))
    star = both.star(**STAR, mag=18.0)
    n = len(toy(first).detector)
    parts = [both.select(np.arange(n)), both.select(np.arange(n, len(both.wave)))]
    added = combine([one.star(**STAR, mag=18.0).fisher() for one in parts])
    np.testing.assert_allclose(star.fisher().matrix, added.matrix, rtol=1e-10)


def test_what_a_grid_does_not_reach_is_left_out_and_said(grid):
    wide = toy((8000.0, 8300.0, 0.5, 4000), (9000.0, 9100.0, 0.5, 4000))
    with pytest.warns(UserWarning, match=r"the grid reaches 815\d\.\d\d to 8299\.75 Å of toy"):
        seen = on_grid(wide, grid)
    assert [name for name, _ in seen.arms] == ["a0"]
    assert 8150 < seen.detector.low[0] < 8156
    with pytest.raises(DataError, match=r"its pixels lie between 9000 and 9100 Å, the grid covers 8150 to"):
        on_grid(toy((9000.0, 9100.0, 0.5, 4000), magnitude=(9000, 9100)), grid)
    blind = toy((8100.0, 8300.0, 0.5, 4000), magnitude=(8100, 8120))
    with pytest.raises(DataError, match="no pixel there is left"):
        on_grid(blind, grid)


def test_an_arm_that_is_sharper_than_the_grid_is_refused_by_its_name(grid):
    sharp = toy((8170.0, 8280.0, 0.5, 4000), (8285.0, 8380.0, 0.05, 60_000))
    with pytest.raises(UsageError, match=r"toy, arm a1: its resolving power is 60000, but that of the grid"):
        on_grid(sharp, grid)


def test_velocity_and_width_are_axes_of_any_instrument(grid):
    conditions = Conditions(rv_sigma_kms=5.0, lsf_sigma=0.05)
    found = toy((8170.0, 8280.0, 0.5, 4000), (8250.0, 8380.0, 0.8, 2500))
    moving = forward_model(grid, found, conditions=conditions)
    still = forward_model(grid, found)
    at = np.array(list(STAR.values()))
    width = moving.instrument.lsf_fwhm
    np.testing.assert_allclose(moving.flux(np.array([*at, 0.0, width])), still.flux(at), rtol=2e-3)
    assert width == pytest.approx(np.median(found.detector.lsf_fwhm))


def test_a_ratio_is_reached_at_the_magnitude_found(grid):
    model = forward_model(grid, toy((8170.0, 8280.0, 0.5, 4000)))
    points = model.emulator.nodes[::5]
    for wanted, mag in zip((3.0, 80.0), mags_at_snr(model, [3.0, 80.0], points), strict=True):
        with jax.enable_x64(True):
            found = np.median([float(model.snr(point, mag)) for point in points])
        assert found == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(UsageError, match="snr must be positive"):
        mags_at_snr(model, [0.0], points)
    pixels = np.median(8225 / 4000 / 0.5)
    assert snr_per_pixel(model, 30.0) == pytest.approx(30 / np.sqrt(pixels), rel=1e-3)


def test_one_star_has_the_magnitudes_of_its_colour(grid):
    """A spectrum that is flat in f_nu has one magnitude everywhere; others differ by the ratio of f_nu."""
    blue, red = (
        toy((8170.0, 8250.0, 0.5, 4000), magnitude=(8170, 8250)),
        toy((8300.0, 8380.0, 0.5, 4000), magnitude=(8300, 8380)),
    )
    at = np.array(list(STAR.values()))
    first, second = mags_elsewhere(grid, at, 18.0, [blue, red])
    spectrum = np.asarray(make_emulator(grid, rtol=1e-10)(at), np.float64)
    f_nu = spectrum * (WAVE / REFERENCE_WAVE) ** 2

    def mean(low: float, high: float) -> float:
        inside = (low < WAVE) & (high > WAVE)
        return float(np.average(f_nu[inside], weights=1 / WAVE[inside]))

    assert first == 18.0
    assert second == pytest.approx(18 - 2.5 * np.log10(mean(8300, 8380) / mean(8170, 8250)), abs=2e-3)


def test_every_preset_is_a_spectrograph():
    for name in instrument_names():
        found = find_instrument(name)
        assert len(found.detector) == sum(n for _, n in found.arms) == len(found.noise.wave)
        assert found.calibrated == (name == "pfs-mr")


def test_stretches_end_at_gaps_and_overlaps():
    parts = [contiguous(np.arange(a, b) + 0.5, 2.0, "toy") for a, b in ((1, 5), (3, 9))]
    whole = joined([*parts, parts[1].take(np.array([0, 1, 4, 5]))], "toy")
    assert whole.stretches() == [(0, 4), (4, 10), (10, 12), (12, 14)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"arms": []}, "needed name, a text"),
        ({"name": "x", "arms": []}, "needed arms, a list of mappings"),
        ({"name": "x", "arms": [{"name": "a"}]}, "needed one of fwhm, resolving_power"),
        ({"name": "x", "arms": [{"name": "a", "pixel": 3}]}, "unknown key 'pixel'"),
        ([1, 2], "needed a mapping"),
        (
            {
                "name": "x",
                "arms": [{"name": "a", "fwhm": 1, "pixels": {"start": 9000, "end": 9001, "step": 0.1}}],
            },
            r"no pixel lies in the i band",
        ),
    ],
)
def test_what_describes_no_spectrograph_is_refused_in_words(values, words):
    with pytest.raises(DataError, match=words):
        described(values, "instrument", Path())
