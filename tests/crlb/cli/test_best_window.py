"""What `crlb information --best-window` says of a star made to know it."""

import numpy as np
import pytest

from crlb.cli.best_window import best_table, plot_sliding, slide
from crlb.detector import DETECTOR_WAVE
from crlb.fisher.features import FEATURES
from crlb.observation.star import Star
from crlb.palette import PAGE

CA = 8544.438  # vacuum Å


def star(**slopes):
    """A star on the detector whose flux depends in these ways on its labels, with noise of 0.1."""
    names, ones = tuple(slopes), np.ones(4096)
    jac = np.stack([np.broadcast_to(slope, (4096,)) for slope in slopes.values()], axis=1)
    return Star(names, np.zeros(len(names)), 20.0, DETECTOR_WAVE, ones, 0.01 * ones, jac, np.zeros_like(jac))


def line(centre, width):
    return np.exp(-0.5 * ((DETECTOR_WAVE - centre) / width) ** 2)


def whole(of):
    conditional, marginal = (
        (of.jac[:, 0] ** 2 / 0.01).sum(),
        of.fisher(variance_term=False).bound("log_g") ** -2,
    )
    return {"conditional": conditional, "marginal": marginal}


def test_the_line_that_holds_everything_is_found_named_and_bounded():
    """A line of width w and a flat unknown: in a window of length L, 1 - 2 sqrt(pi) w / L is left of all."""
    found = star(log_g=line(CA, 2.0), amplitude=1.0)
    best, curve = slide(found, "log_g", 240.0, whole(found))
    for window in (best.conditional[0], best.marginal[0]):
        assert window.low < CA - 4 < CA + 4 < window.high
        assert "Ca II 8544" in window.features
        assert list(window.features) == sorted(window.features, key=place)
    assert best.conditional[0].share["conditional"] == pytest.approx(1, rel=1e-9)
    step, centred = 1750 / 4096, int(np.argmin(abs((curve.low + curve.high) / 2 - CA)))
    kept = 1 - 2 * np.sqrt(np.pi) * 2.0 / (561 * step)  # (sum x)^2 / (m sum x^2) of a Gaussian x
    information = np.sqrt(np.pi) * 2.0 / step / 0.01
    assert curve.marginal[centred] == pytest.approx((kept * information) ** -0.5, rel=1e-6)
    assert best.marginal[0].bound["marginal"] <= curve.marginal[centred]
    assert f"{best.marginal[0].low:.1f}-{best.marginal[0].high:.1f}" in best_table("log_g", best)


def place(name):
    return next(feature.wave for feature in FEATURES if feature.name == name)


def test_windows_that_do_not_tell_the_unknowns_apart_are_said_to_be():
    half = star(
        log_g=np.sin(DETECTOR_WAVE),
        amplitude=1.0,
        T_eff=np.where(DETECTOR_WAVE < 8000, 1.0, np.cos(DETECTOR_WAVE)),
    )
    best, _ = slide(half, "log_g", 100.0, whole(half))
    assert 0 < best.n_undetermined < best.n_windows
    said = " ".join(best_table("log_g", best).split())
    assert f"that of {best.n_windows - best.n_undetermined:,} windows of {best.n_windows:,}" in said
    assert "labels amplitude, T_eff cannot be told apart" in said
    assert best.marginal[0].low > 7900
    none, curve = slide(half, "log_g", 0.9, whole(half))  # two pixels, three unknowns
    said = " ".join(best_table("log_g", none).split())
    assert none.marginal == ()
    assert len(none.conditional) == 2
    assert "No window tells the unknowns apart; of the bluest that does not: labels" in said
    assert "nan" not in said
    assert np.isnan(curve.marginal).all()


def test_the_picture_has_both_curves_of_every_width_and_their_best():
    found = star(log_g=line(CA, 2.0), amplitude=1.0)
    slid = [slide(found, "log_g", width, whole(found)) for width in (50.0, 240.0)]
    _, axes = PAGE.one(2.0)
    plot_sliding(axes, "log_g", [curve for _, curve in slid])
    drawn = [drawing for drawing in axes.lines if len(drawing.get_xdata()) > 1]
    assert len(drawn) == 4
    for (_, curve), pair in zip(slid, (drawn[:2], drawn[2:]), strict=True):
        for drawing, bound in zip(pair, (curve.conditional, curve.marginal), strict=True):
            np.testing.assert_allclose(drawing.get_xdata(), (curve.low + curve.high) / 2)
            usable = np.isfinite(bound)
            np.testing.assert_array_equal(drawing.get_ydata()[usable], bound[usable])
    points = [drawing for drawing in axes.lines if len(drawing.get_xdata()) == 1]
    assert [float(point.get_ydata()[0]) for point in points] == [
        np.nanmin(bound) for _, curve in slid for bound in (curve.conditional, curve.marginal)
    ]
