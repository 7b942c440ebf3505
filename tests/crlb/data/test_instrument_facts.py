"""The facts on spectrographs: complete, in order, possible, and all of them on their page."""

import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from crlb.files.yaml_input import parse_yaml

PAGE = Path(__file__).resolve().parents[3] / "docs" / "instruments.md"
FACTS = parse_yaml(resources.files("crlb").joinpath("data/instruments.yaml").read_text(encoding="utf-8"))
ARMS = [pytest.param(arm, id=f"{name} {arm['name']}") for name, one in FACTS.items() for arm in one["arms"]]
WIDTHS = ("fwhm", "resolving_power")


def width_kind(arm):
    (kind,) = [key for key in WIDTHS if key in arm]
    return kind


def resolving_power(arm, wave):
    kind = width_kind(arm)
    given = arm[kind]
    found = np.interp(wave, given["wave"], given[kind]) if isinstance(given, dict) else given
    return found + 0 * wave if kind == "resolving_power" else wave / found


@pytest.mark.parametrize("name", FACTS)
def test_every_instrument_has_a_name_a_source_and_arms_of_different_names(name):
    one = FACTS[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert set(one) - {"magnitude"} == {"name", "source", "arms", "noise"}
    assert all(isinstance(one[key], str) and one[key].strip() for key in ("name", "source", "noise"))
    names = [arm["name"] for arm in one["arms"]]
    assert names
    assert len(set(names)) == len(names)


def test_names_and_labels_of_instruments_occur_once():
    names = [one["name"] for one in FACTS.values()]
    assert len(set(names)) == len(names)
    assert "pfs-mr" not in FACTS  # built into the code, with its noise


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_has_pixels_and_one_width(arm):
    assert set(arm) == {"name", "pixels", width_kind(arm)}
    assert set(arm["pixels"]) in ({"start", "end", "step"}, {"start", "end", "per_fwhm"})


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_holds_whole_pixels_from_start_to_end(arm):
    pixels = arm["pixels"]
    assert 3000 < pixels["start"] < pixels["end"] < 20_000
    if "step" in pixels:
        n = (pixels["end"] - pixels["start"]) / pixels["step"]
        assert n == pytest.approx(round(n), abs=1e-4)


@pytest.mark.parametrize("arm", ARMS)
def test_resolving_powers_and_samplings_are_those_of_spectrographs(arm):
    pixels = arm["pixels"]
    wave = np.linspace(pixels["start"], pixels["end"], 50)
    found = resolving_power(arm, wave)
    assert ((found > 500) & (found < 50_000)).all()
    per_fwhm = wave / found / pixels["step"] if "step" in pixels else np.array([pixels["per_fwhm"]])
    assert ((per_fwhm > 1.5) & (per_fwhm < 8)).all()


@pytest.mark.parametrize("arm", ARMS)
def test_curves_increase_in_wave_and_reach_over_most_of_the_arm(arm):
    given = arm[width_kind(arm)]
    if not isinstance(given, dict):
        return
    assert set(given) == {"wave", width_kind(arm)}
    assert len(given["wave"]) == len(given[width_kind(arm)])
    assert (np.diff(given["wave"]) > 0).all()
    start, end = arm["pixels"]["start"], arm["pixels"]["end"]
    assert min(end, given["wave"][-1]) - max(start, given["wave"][0]) > 0.6 * (end - start)


@pytest.mark.parametrize("name", [name for name, one in FACTS.items() if "magnitude" in one])
def test_the_band_of_the_magnitude_holds_pixels(name):
    low, high = FACTS[name]["magnitude"]
    assert low < high
    assert any(arm["pixels"]["start"] < high and arm["pixels"]["end"] > low for arm in FACTS[name]["arms"])


@pytest.mark.parametrize("name", [name for name, one in FACTS.items() if "magnitude" not in one])
def test_without_a_band_the_sdss_i_band_is_covered(name):
    covered = [(arm["pixels"]["start"], arm["pixels"]["end"]) for arm in FACTS[name]["arms"]]
    assert any(start < 7500 < end for start, end in covered)  # Å, near its middle


def test_coadds_of_sdss_have_as_many_pixels_as_one_ten_thousandth_of_a_dex_gives():
    for arm in [*FACTS["boss"]["arms"], *FACTS["sdss-legacy"]["arms"], *FACTS["lamost-lrs"]["arms"]]:
        pixels = arm["pixels"]
        wave = np.linspace(pixels["start"], pixels["end"], 20_001)
        n = np.trapezoid(pixels["per_fwhm"] * resolving_power(arm, wave) / wave, wave)
        assert n == pytest.approx(np.log10(pixels["end"] / pixels["start"]) / 1e-4, rel=1e-3)


def test_the_page_lists_every_instrument_with_the_ranges_of_its_arms():
    rows = dict(re.findall(r"^\| `([^`]*)` \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(rows) == set(FACTS)
    for name, one in FACTS.items():
        ranges = re.findall(r"(\d+)-(\d+)(?:, |$)", rows[name])
        expected = [(arm["pixels"]["start"], arm["pixels"]["end"]) for arm in one["arms"]]
        assert np.array(ranges, float) == pytest.approx(np.array(expected), abs=0.51)
