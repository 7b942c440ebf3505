"""The palette: told apart in grey and without red and green, one meaning for a colour."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from crlb import palette
from tests.colours import distance_without_green, lightness, linear

STEP = 12  # of L*
ROLES = palette.METHODS | {"limit": palette.LIMIT, "bound": palette.BOUND}


def test_lightness_is_that_of_known_colours():
    assert lightness("black") == 0
    assert lightness("white") == pytest.approx(100, abs=1e-3)
    assert lightness("#777777") == pytest.approx(50.03, abs=0.01)  # the grey of half lightness
    assert lightness("red") == pytest.approx(53.24, abs=0.01)


def test_deuteranopia_leaves_greys_and_merges_a_red_and_a_green():
    assert distance_without_green("0.3", "0.6") == pytest.approx(lightness("0.6") - lightness("0.3"), abs=0.1)
    assert distance_without_green("#c20a28", "#6b6400") < 20 < distance_without_green("#c20a28", "#24adf1")


def test_neighbours_of_a_legend_differ_in_grey():
    order = [*palette.METHODS.values(), palette.LIMIT, palette.BOUND]
    assert min(abs(lightness(a) - lightness(b)) for a, b in pairwise(order)) >= STEP


def test_the_methods_that_appear_together_differ_in_grey_all_of_them():
    core = [ROLES[name] for name in ("limit", "MLP", "SpecViT", "LightGBM", "Ridge", "CNN")]
    assert min(abs(lightness(a) - lightness(b)) for a, b in combinations(core, 2)) >= STEP


def test_all_colours_differ_without_red_and_green():
    assert min(distance_without_green(a, b) for a, b in combinations(ROLES.values(), 2)) >= STEP
    for n in range(2, 7):
        assert min(distance_without_green(a, b) for a, b in combinations(palette.steps(n), 2)) >= STEP


@pytest.mark.parametrize("n", range(2, 13))
def test_steps_differ_in_grey_from_one_to_the_next(n):
    found = palette.steps(n)
    assert len(set(found)) == n
    assert min(abs(lightness(a) - lightness(b)) for a, b in pairwise(found)) >= STEP
    assert all(lightness(color) < 82 for color in found)  # on white


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 to 21 (WCAG 2.2): 3 is asked for of parts of a figure."""
    low, high = sorted(float(np.array([0.2126, 0.7152, 0.0722]) @ linear(color)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_known_colours():
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)


def test_colours_are_seen_on_dark_paper_and_told_apart_there():
    paper = "#1b1e24"  # of the report
    dark = {name: palette.on_dark(color) for name, color in ROLES.items()}
    assert min(contrast(color, paper) for color in dark.values()) >= 3
    assert min(contrast(palette.on_dark(color), paper) for color in (palette.MODEL, *palette.RAMP)) >= 3
    assert len(set(dark.values())) == len(ROLES)
    methods = list(palette.METHODS)
    assert min(abs(lightness(dark[a]) - lightness(dark[b])) for a, b in pairwise(methods)) >= 7
    assert lightness(palette.on_dark(palette.MODEL)) - lightness(palette.on_dark(palette.DATA)) >= 2 * STEP


def test_on_dark_paper_lightness_keeps_its_order():
    colors = sorted(palette.METHODS.values(), key=lightness)
    assert colors == sorted(colors, key=lambda color: lightness(palette.on_dark(color)))
    assert palette.on_dark("#000064") == "#5c5c9c"  # 0.64 of it, and 0.36 of white


def test_a_colour_has_one_meaning():
    assert len({*ROLES.values(), *palette.RAMP}) == len(ROLES) + len(palette.RAMP)


def test_series_differ_by_mark_and_dashes_too():
    looks = palette.looks(5)
    assert len({look["marker"] for look in looks}) == len({str(look["linestyle"]) for look in looks}) == 5


@pytest.mark.parametrize("n", [0, 13])
def test_more_colours_than_there_are_is_said(n):
    with pytest.raises(ValueError, match="1 to 12 colours"):
        palette.steps(n)


def test_labels_are_written_without_underscores():
    assert palette.symbol("log_g") == "log $g$"
    assert palette.symbol_with_unit("my_label", "K") == "my label (K)"
