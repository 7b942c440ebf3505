"""Pixels and widths of arms against closed forms and scipy's quadrature."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from crlb.errors import DataError
from crlb.instruments.pixels import arm_pixels
from crlb.instruments.values import Section
from crlb.wavelengths import air_to_vacuum


def arm(folder=Path(), **values):
    return arm_pixels(Section({"name": "red", **values}, "arm red", folder), "toy")


def test_equal_pixels_fill_the_range():
    found = arm(pixels={"start": 8450.0, "end": 8720.0, "step": 0.25}, resolving_power=11500)
    assert len(found) == 1080
    np.testing.assert_allclose(found.low, 8450 + 0.25 * np.arange(1080), atol=1e-9)
    np.testing.assert_allclose(found.high[-1], 8720.0, atol=1e-9)
    np.testing.assert_allclose(found.wave / found.lsf_fwhm, 11500, rtol=1e-12)


def test_pixels_that_follow_a_constant_resolving_power_are_equal_in_the_logarithm():
    found = arm(pixels={"start": 5000.0, "end": 9000.0, "per_fwhm": 3}, resolving_power=2000)
    steps = np.log(found.high / found.low)
    np.testing.assert_allclose(steps, 1 / 6000, rtol=2e-4)
    assert len(found) == int(6000 * np.log(9000 / 5000))


def test_pixels_that_follow_a_curve_hold_as_much_of_it_each():
    curve = {"wave": [6000, 7000, 8000], "resolving_power": [2000, 4000, 3000]}
    found = arm(pixels={"start": 6000.0, "end": 8000.0, "per_fwhm": 2.5}, resolving_power=curve)

    def density(wave: float) -> float:
        return 2.5 * float(np.interp(wave, curve["wave"], curve["resolving_power"])) / wave

    for i in (0, 700, len(found) - 1):
        held = quad(density, found.low[i], found.high[i])[0]
        assert held == pytest.approx(1.0, abs=2e-3)


def test_widths_come_in_any_of_four_ways(tmp_path):
    pixels = {"start": 8000.0, "end": 8400.0, "step": 1.0}
    (tmp_path / "w.csv").write_text("# of the lamp\nwave,fwhm\n7900,1.0\n8500,1.6\n")
    expected = np.interp(np.arange(8000.5, 8400), [7900, 8500], [1.0, 1.6])
    by_file = arm(tmp_path, pixels=pixels, fwhm={"file": "w.csv"})
    by_list = arm(pixels=pixels, fwhm={"wave": [7900, 8500], "fwhm": [1.0, "1.6"]})
    np.testing.assert_allclose(by_file.lsf_fwhm, expected, rtol=1e-12)
    np.testing.assert_allclose(by_list.lsf_fwhm, expected, rtol=1e-12)
    np.testing.assert_array_equal(arm(pixels=pixels, fwhm=1.2).lsf_fwhm, 1.2)


def test_centres_and_air(tmp_path):
    centres = [8000.0, 8000.5, 8001.5, 8002.0]
    found = arm(pixels={"centres": centres}, fwhm=1.0)
    np.testing.assert_allclose(found.low, [7999.75, 8000.25, 8001.0, 8001.75])
    (tmp_path / "p.csv").write_text("wave\n8000\n8000.5\n8001.5\n8002\n")
    np.testing.assert_array_equal(arm(tmp_path, pixels={"file": "p.csv"}, fwhm=1.0).low, found.low)
    moved = arm(pixels={"centres": centres, "medium": "air"}, fwhm=1.0)
    np.testing.assert_allclose(moved.low, air_to_vacuum(found.low), rtol=1e-14)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"pixels": {"start": 8400, "end": 8000, "step": 1}, "fwhm": 1}, "start must lie below end"),
        ({"pixels": {"start": 8000, "end": 8400}, "fwhm": 1}, "needed one of step, per_fwhm, centres, file"),
        (
            {"pixels": {"start": 8000, "end": 8400, "step": 1, "per_fwhm": 3}, "fwhm": 1},
            "found step, per_fwhm",
        ),
        ({"pixels": {"start": 8000, "end": 8400, "setp": 1}, "fwhm": 1}, "unknown key 'setp'.*step"),
        (
            {"pixels": {"start": 8000, "end": 8400, "step": -1}, "fwhm": 1},
            "step must be a finite number above 0",
        ),
        ({"pixels": {"start": 8000, "end": 8400, "step": 1}}, "needed one of fwhm, resolving_power"),
        (
            {"pixels": {"start": 8000, "end": 8400, "step": 1}, "fwhm": 0},
            "fwhm must be a finite number above 0",
        ),
        ({"pixels": {"start": 8000, "end": 8400, "step": 1}, "fwhm": ".nan"}, "fwhm must be a finite number"),
        ({"pixels": {"start": 8000, "end": 8400, "step": 1}, "fwhm": True}, "fwhm must be a finite number"),
        (
            {"pixels": {"start": 8000, "end": 8400, "step": 1e-6}, "fwhm": 1},
            "2 to 200,000 pixels, found 400,000,000",
        ),
        ({"pixels": {"start": 0.8, "end": 0.84, "step": 1e-4}, "fwhm": 1}, "in nm or µm"),
        ({"pixels": {"centres": [3, 2, 1]}, "fwhm": 1}, "must increase"),
        ({"pixels": {"centres": [8000, "x"]}, "fwhm": 1}, "centres must be a finite number, found 'x'"),
        ({"pixels": [8000, 8001], "fwhm": 1}, "needed a mapping"),
        ({"pixels": {"file": "no.csv"}, "fwhm": 1}, None),
        (
            {"pixels": {"start": 8000, "end": 8400, "step": 1}, "fwhm": {"wave": [1, 2], "fwhm": [1, 2, 3]}},
            "one fwhm for each",
        ),
    ],
)
def test_what_describes_no_pixels_is_refused_in_words(values, words):
    from crlb.errors import MissingInputError

    with pytest.raises(MissingInputError if words is None else DataError, match=words or "no.csv"):
        arm(**values)
