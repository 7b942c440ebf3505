"""Windows against their pixels one by one, and their bounds against numpy, closed forms and `within`."""

import math
from itertools import pairwise

import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE, pixels_within
from crlb.errors import UsageError
from crlb.fisher.information import ranked_windows, window_bounds
from crlb.fisher.matrix import UnidentifiableError, cramer_rao_bound, fisher_information
from crlb.fisher.windows import Spans, least_apart, spans, sums_over, wide_spans

STEP = DETECTOR_WAVE[1] - DETECTOR_WAVE[0]
LOG_WAVE = 8000 * np.exp(np.arange(500) * 5e-5)  # pixels of 0.40 to 0.41 Å
ARMS = np.concatenate([4000 + 0.3 * np.arange(100), 5000 + 1.8 * np.arange(90), 5163.7 + 0.5 * np.arange(80)])


def random_spectrum(wave, n_labels, seed=0):
    chance = np.random.default_rng(seed)
    jac = chance.normal(size=(len(wave), n_labels)) * 10.0 ** chance.uniform(-3, 3, n_labels)
    return jac, chance.uniform(0, 2, len(wave))


@pytest.mark.parametrize("width", [1.0, 37.3, 240.0, 1000.0, 1750.0])
def test_windows_of_the_detector_hold_the_whole_pixels_of_their_width(width):
    found = spans(DETECTOR_WAVE, width)
    n_pix = math.floor(width / STEP + 1e-6)
    assert (found.n_pix == n_pix).all()
    np.testing.assert_array_equal(found.first, np.arange(4096 - n_pix + 1))
    np.testing.assert_allclose(found.low, DETECTOR_WAVE[found.first] - STEP / 2, rtol=1e-12)
    np.testing.assert_allclose(found.high, DETECTOR_WAVE[found.stop - 1] + STEP / 2, rtol=1e-12)
    for i in np.linspace(0, len(found.low) - 1, 10).astype(int):
        pixels = np.arange(found.first[i], found.stop[i])
        np.testing.assert_array_equal(pixels_within(found.low[i], found.high[i]), pixels)


@pytest.mark.parametrize("wave", [LOG_WAVE, ARMS], ids=["log", "arms"])
def test_windows_are_as_wide_as_they_can_be_and_none_lies_in_another(wave):
    found = spans(wave, 20.0)
    assert ((found.high - found.low) <= 20.0 * (1 + 1e-9)).all()
    for one, other in pairwise(zip(found.first, found.stop, strict=True)):
        assert one[0] < other[0]
        assert one[1] < other[1]
    assert set(range(len(wave))) == {
        p for a, b in zip(found.first, found.stop, strict=True) for p in range(a, b)
    }


def test_no_window_spans_a_gap_but_pixels_of_two_sizes_may_meet():
    blue, red = spans(ARMS, 25.0), spans(ARMS, 60.0)
    for found in (blue, red):
        assert not ((found.low < 4100) & (found.high > 4900)).any()
    assert (red.n_pix[red.low < 4100] == 100).all()  # 30 Å are all there is of that arm
    assert ((blue.low < 5160) & (blue.high > 5166)).any()
    holes = np.delete(DETECTOR_WAVE, [*range(100, 103), *range(200, 207)])
    found = spans(holes, 20.0)
    inside = [np.diff(holes[a:b]).max(initial=0) for a, b in zip(found.first, found.stop, strict=True)]
    assert max(inside) == pytest.approx(4 * STEP)  # three lost pixels are spanned, seven are not


def test_a_pixel_on_its_own_between_gaps_is_in_no_window():
    wave = np.concatenate([DETECTOR_WAVE[:50], DETECTOR_WAVE[80:81], DETECTOR_WAVE[120:150], [9000.0]])
    found = spans(wave, 5.0)
    used = {p for a, b in zip(found.first, found.stop, strict=True) for p in range(a, b)}
    assert used == set(range(50)) | set(range(51, 81))


def test_wavelengths_of_overlapping_arms_may_repeat_or_nearly_so():
    once = spans(DETECTOR_WAVE[:300], 20.0)
    for shift in (0.0, 1e-9):
        both = np.sort(np.concatenate([DETECTOR_WAVE[:300], DETECTOR_WAVE[:300] + shift]))
        found = spans(both, 20.0)
        assert ((found.n_pix >= 2 * once.n_pix[0]) & (found.n_pix <= 2 * once.n_pix[0] + 2)).all()
        assert found.high[-1] == pytest.approx(once.high[-1], abs=STEP)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_sums_over_windows_are_those_of_their_pixels(shape):
    values = np.random.default_rng(1).normal(size=(len(ARMS), *shape))
    for width in (0.2, 3.1, 25.0, 160.0):
        at = spans(ARMS, width)
        expected = [values[a:b].sum(axis=0) for a, b in zip(at.first, at.stop, strict=True)]
        np.testing.assert_allclose(sums_over(values, at), expected, rtol=1e-12, atol=1e-13)


def test_a_strong_line_leaves_nothing_in_the_windows_beside_it():
    values = np.full(4096, 1 / 3)
    values[500] = 1e17  # a running sum would lose everything after it
    at = spans(DETECTOR_WAVE, 100.0)
    beside = (at.first > 500) | (at.stop <= 500)
    np.testing.assert_allclose(sums_over(values, at)[beside], at.n_pix[beside] / 3, rtol=1e-13)


@pytest.mark.parametrize("wave", [LOG_WAVE, ARMS], ids=["log", "arms"])
@pytest.mark.parametrize("n_labels", [1, 4, 8])
def test_bounds_are_those_of_numpy_in_every_window(wave, n_labels):
    jac, ivar = random_spectrum(wave, n_labels)
    ivar[50:53] = 0  # unusable
    target = n_labels // 2
    found = window_bounds(jac, ivar, wave, target, width=22.0)
    assert found.reason == ""
    for i in range(len(found.marginal)):
        pixels = slice(found.at.first[i], found.at.stop[i])
        fisher = (jac[pixels] * ivar[pixels, None]).T @ jac[pixels]
        np.testing.assert_allclose(found.conditional[i], fisher[target, target] ** -0.5, rtol=1e-12)
        unit = np.sqrt(np.diag(fisher))
        covariance = np.linalg.inv(fisher / np.outer(unit, unit)) / np.outer(unit, unit)
        np.testing.assert_allclose(found.marginal[i], covariance[target, target] ** 0.5, rtol=1e-8)


def test_pixels_may_come_in_any_order():
    jac, ivar = random_spectrum(ARMS, 3)
    order = np.random.default_rng(2).permutation(len(ARMS))
    sorted_, shuffled = (
        window_bounds(jac[o], ivar[o], ARMS[o], 1, width=24.0) for o in (np.arange(len(ARMS)), order)
    )
    np.testing.assert_allclose(shuffled.marginal, sorted_.marginal, rtol=1e-10)
    np.testing.assert_array_equal(shuffled.at.low, sorted_.at.low)


def test_where_all_information_lies_in_one_pixel_only_windows_with_it_tell_anything():
    """A line of one pixel, and an unknown level: information 1 - 1/m of the m pixels of a window."""
    line = (np.arange(4096) == 1500).astype(float)
    jac = np.stack([np.ones(4096), line], axis=1)
    found = window_bounds(
        jac, np.full(4096, 4.0), DETECTOR_WAVE, "log_g", width=50.0, label_names=("a", "log_g")
    )
    with_it = (found.at.first <= 1500) & (found.at.stop > 1500)
    m = found.at.n_pix[0]
    assert with_it.sum() == m
    np.testing.assert_allclose(found.conditional, np.where(with_it, 0.5, np.inf), rtol=1e-12)
    np.testing.assert_allclose(found.marginal[with_it], 0.5 / math.sqrt(1 - 1 / m), rtol=1e-10)
    assert np.isnan(found.marginal[~with_it]).all()
    assert "does not depend on log_g" in found.reason
    assert (
        len(least_apart(found.conditional, found.at, 2)) == len(least_apart(found.marginal, found.at, 2)) == 1
    )


def test_labels_that_a_window_cannot_tell_apart_have_no_bound_there_as_in_the_matrix_itself():
    chance = np.random.default_rng(3)
    jac = chance.normal(size=(4096, 3))
    jac[2000:, 2] = 3 * jac[2000:, 1]
    found = window_bounds(jac, np.ones(4096), DETECTOR_WAVE, 0, width=100.0, label_names=("a", "b", "c"))
    lost = found.at.first >= 2000
    np.testing.assert_array_equal(np.isnan(found.marginal), lost)
    assert np.isfinite(found.conditional).all()
    assert "labels b, c cannot be told apart" in found.reason
    i = int(np.flatnonzero(lost)[0])
    with pytest.raises(UnidentifiableError, match="b, c cannot be told apart"):
        cramer_rao_bound(
            fisher_information(jac[found.at.first[i] : found.at.stop[i]], np.ones(found.at.n_pix[i])),
            label_names=("a", "b", "c"),
        )


def test_a_label_that_is_unknown_too_never_lowers_a_bound_and_a_wider_window_never_raises_one():
    jac, ivar = random_spectrum(LOG_WAVE, 5)
    narrow, wide = (window_bounds(jac, ivar, LOG_WAVE, 2, width=w) for w in (20.0, 60.0))
    for found in (narrow, wide):
        assert (found.marginal >= found.conditional).all()
    n = len(wide.marginal)
    assert (wide.marginal <= narrow.marginal[:n]).all()  # they begin at the same pixels


def test_the_best_do_not_overlap_and_are_in_order():
    at = spans(DETECTOR_WAVE, 200.0)
    bound = np.random.default_rng(4).uniform(1, 2, len(at.low))
    bound[[7, 8]] = np.nan, np.inf
    chosen = least_apart(bound, at, 99)
    assert 4 < len(chosen) <= 8
    assert bound[chosen[0]] == np.nanmin(bound)
    assert all(bound[a] <= bound[b] for a, b in pairwise(chosen))
    ends = sorted((at.low[i], at.high[i]) for i in chosen)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))
    free = [
        i for i in range(len(bound)) if at.high[i] <= at.low[chosen[0]] or at.low[i] >= at.high[chosen[0]]
    ]
    assert bound[chosen[1]] == np.nanmin(bound[free])
    assert least_apart(np.full(len(bound), np.nan), at, 2) == []


def test_windows_ranked_by_their_sum_may_lie_at_the_very_end():
    information = np.zeros(4096)
    information[-1] = 1.0
    (found,) = ranked_windows(DETECTOR_WAVE, information, width=240.0, n=1)
    assert (found.share, found.high) == (1.0, pytest.approx(8850.0))


def test_widths_beyond_the_pixels_are_refused():
    jac, ivar = random_spectrum(DETECTOR_WAVE, 2)
    for width in (1750.1, 0.0, -5.0, math.nan, math.inf):
        with pytest.raises(UsageError, match=r"width must lie between 0 and 1750\.0 Å, .* found"):
            window_bounds(jac, ivar, DETECTOR_WAVE, 0, width=width)
    with pytest.raises(UsageError, match=r"at least two pixels, 0\.854 Å; found 0\.8"):
        window_bounds(jac, ivar, DETECTOR_WAVE, 0, width=0.8)
    assert (wide_spans(DETECTOR_WAVE, 0.86).n_pix == 2).all()
    with pytest.raises(
        UsageError, match=r"between 0 and 204\.\d Å, the widest stretch of pixels without a gap"
    ):
        spans(ARMS, 250.0)
    with pytest.raises(UsageError, match=r"between 0 and 0\.0 Å"):
        spans(np.array([8000.0]), 1.0)
    with pytest.raises(UsageError, match="label must be one of a, b"):
        window_bounds(jac, ivar, DETECTOR_WAVE, "c", width=9.0, label_names=("a", "b"))


def test_windows_with_a_single_pixel_are_left_out_where_others_have_two():
    found = wide_spans(ARMS, 1.5)  # less than a pixel of the middle arm
    assert isinstance(found, Spans)
    assert (found.n_pix >= 2).all()
    assert not ((found.low > 5010) & (found.high < 5150)).any()


def with_continuum(star):
    """Its derivatives by the labels, a flux scale and a tilt over the whole arm."""
    tilt = (np.asarray(star.wave) - 7975) / 875
    return np.column_stack([star.jac, star.flux, star.flux * tilt])


@pytest.mark.parametrize("unknown", [lambda star: star.jac, with_continuum], ids=["labels", "continuum"])
def test_bounds_are_those_of_the_model_within_ten_windows(thin_model, unknown):
    labels = {"T_eff": 4700.0, "log_g": 2.6, "M_H": -0.8}
    star = thin_model.star(mag=20.0, **labels)
    found = window_bounds(unknown(star), 1 / star.variance, star.wave, 1, width=600.0)
    with_lines = np.flatnonzero(found.marginal < 100 * np.nanmin(found.marginal))
    assert len(with_lines) > 20
    for i in with_lines[np.linspace(0, len(with_lines) - 1, 10).astype(int)]:
        alone = thin_model.within(float(found.at.low[i]), float(found.at.high[i])).star(mag=20.0, **labels)
        fisher = fisher_information(unknown(alone), 1 / alone.variance)
        np.testing.assert_allclose(found.marginal[i], cramer_rao_bound(fisher)[1], rtol=1e-7)
        np.testing.assert_allclose(found.conditional[i], fisher[1, 1] ** -0.5, rtol=1e-12)
