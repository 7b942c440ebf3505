"""A line-spread width is given, said to be broader, or refused: never another one in silence."""

import warnings

import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE, FWHM_PER_SIGMA
from crlb.errors import DataError, UsageError
from crlb.grids.grid_file import SpectralGrid, default_grid_path, load_grid, load_slice, make_grid
from crlb.observation.instrument import to_detector
from crlb.observation.line_spread import lsf_fwhm_used, top_up_sigma

WAVE = np.arange(7050.0, 8900.0, 0.4)
RED = DETECTOR_WAVE[DETECTOR_WAVE > 8000.0]


def grid_of(resolving_power: float, wave: np.ndarray = WAVE) -> SpectralGrid:
    """Two nodes of flat flux."""
    flux = np.stack([np.full(wave.size, 1.0), np.full(wave.size, 2.0)])
    return make_grid(wave, (np.array([4000.0, 5000.0]),), flux, ("T_eff",), resolving_power, "test", "test")


@pytest.fixture
def silent():
    """Fails on any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_a_sharper_grid_gets_the_width_asked_for(silent):
    grid = grid_of(10_000.0)
    assert lsf_fwhm_used(grid, DETECTOR_WAVE, 1.6) == (1.6, 1.6)
    sigma = top_up_sigma(grid, DETECTOR_WAVE, 1.6)
    total = np.hypot(sigma * FWHM_PER_SIGMA, DETECTOR_WAVE / 10_000)
    np.testing.assert_allclose(total, 1.6, rtol=1e-12)


@pytest.mark.parametrize(
    ("wave", "low", "high"), [(DETECTOR_WAVE, 1.6, 1.77), (RED, 1.6, 1.77), (RED[1000:], 1.685, 1.77)]
)
def test_a_broader_grid_is_used_at_its_own_width_and_says_so(wave, low, high):
    grid = grid_of(5000.0)
    assert lsf_fwhm_used(grid, wave, 1.6) == pytest.approx((low, high), abs=2e-3)
    with pytest.warns(UserWarning, match="is used") as found:
        to_detector(grid, detector_wave=wave)
    (said,) = (str(warning.message) for warning in found)  # once
    assert "resolving power 5000 is too low for a line-spread width of 1.6 Å" in said
    assert f"{lsf_fwhm_used(grid, wave, 1.6)[0]:.2f} to 1.77 Å is used" in said


def test_a_width_that_the_grid_cannot_give_is_refused_with_the_narrowest_it_can():
    words = r"10000 gives no less than 0\.71 to 0\.88 Å .* found 0\.5 Å; use --lsf-fwhm 0\.89 or more"
    with pytest.raises(UsageError, match=words):
        to_detector(grid_of(10_000.0), lsf_fwhm=0.5)


def test_the_width_that_the_refusal_names_is_given_without_a_word(silent):
    to_detector(grid_of(10_000.0), lsf_fwhm=0.89)


@pytest.mark.parametrize(("resolving_power", "refused"), [(4020.0, False), (3960.0, True)])
def test_more_than_a_quarter_too_broad_at_mid_arm_is_refused(resolving_power, refused):
    """At 7975 Å, 1.25 times 1.6 Å is R = 3987."""
    expected = (
        pytest.raises(UsageError, match="lsf_fwhm") if refused else pytest.warns(UserWarning, match="is used")
    )
    with expected:
        to_detector(grid_of(resolving_power))


@pytest.mark.parametrize("lsf_fwhm", [0.0, -1.0, 50.1, 1e3, 1e9, np.inf, np.nan])
def test_widths_that_no_instrument_has_are_refused(lsf_fwhm):
    with pytest.raises(UsageError, match=r"lsf_fwhm must be positive and at most 50 Å"):
        to_detector(grid_of(10_000.0), lsf_fwhm=lsf_fwhm)


def test_the_largest_width_is_given(silent):
    seen = to_detector(grid_of(10_000.0), lsf_fwhm=50.0, normalise=False)
    np.testing.assert_allclose(seen.flux[1], 2.0, rtol=1e-9)


def test_samples_too_far_apart_are_refused():
    with pytest.raises(DataError, match=r"0\.4 Å apart"):
        to_detector(grid_of(20_000.0))


def test_a_gap_is_refused_unless_no_pixel_sees_it(silent):
    grid = grid_of(6000.0, WAVE[(WAVE < 8530.2) | (WAVE > 8550.2)])
    with pytest.raises(DataError, match=r"gap of 20\.4 Å between 8530\.00 and 8550\.40 Å"):
        to_detector(grid)
    blue, red = DETECTOR_WAVE[DETECTOR_WAVE < 8525], DETECTOR_WAVE[DETECTOR_WAVE > 8555]
    for clear in (blue, red):
        to_detector(grid, detector_wave=clear)
    with pytest.raises(DataError, match="gap of"):  # what is seen at 8555 Å left the star blueward
        to_detector(grid, detector_wave=red, rv_kms=400.0)


def test_the_embedded_grid_passes(silent):
    to_detector(load_slice(default_grid_path()).take(0, [0, 1]).take(1, [0, 1]).take(2, [0, 1]))


@pytest.mark.parametrize(("name", "wave"), [("synspec_grid_coarse", DETECTOR_WAVE), ("bosz2017_r5000", RED)])
def test_grids_of_others_pass_with_a_word_on_their_width(reference, name, wave):
    with pytest.warns(UserWarning, match=r"1\.60 to 1\.77 Å is used"):
        to_detector(load_grid(reference / f"{name}.h5"), detector_wave=wave)
