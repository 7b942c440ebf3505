"""Pictures of one star's posterior: axes with units, and what is drawn in them."""

import numpy as np
import pytest

from crlb.bayes.plots import plot_corner, plot_fit

NAMES = ("T_eff", "log_g")


def test_corner_plot_has_a_panel_for_every_pair_and_units_on_its_axes():
    samples = np.random.default_rng(0).normal(size=(400, 2)) * [50.0, 0.3] + [4800.0, 2.5]
    figure = plot_corner(samples, NAMES, {"log_g": 2.4}, "HD 1")
    assert len(figure.axes) == 4
    words = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert words == {"", r"$T_\mathrm{eff}$ (K)", "log $g$ (dex)"}
    counts, edges = np.histogram(samples[:, 1], bins=20)
    drawn = figure.axes[3].patches[0].get_xy()
    assert drawn[:, 1].max() == counts.max()
    assert (drawn[:, 0].min(), drawn[:, 0].max()) == pytest.approx((edges[0], edges[-1]))


def test_a_label_that_does_not_vary_is_drawn_too():
    samples = np.stack([np.full(64, 6000.0), np.linspace(1, 2, 64)], axis=1)
    assert len(plot_corner(samples, NAMES).axes) == 4


def test_fit_shows_data_model_and_residuals_over_the_error_in_order_of_wavelength():
    wave = np.array([8500.0, 8400.0, 8600.0])
    flux, error, model = (
        np.array([1.0, np.nan, 3.0]),
        np.array([0.5, np.nan, 0.25]),
        np.array([0.5, np.nan, 2.0]),
    )
    above, below = plot_fit(wave, flux, error, model, "HD 1").axes
    assert above.get_title() == "HD 1"
    assert (above.get_ylabel(), below.get_xlabel()) == ("flux", "vacuum wavelength (Å)")
    np.testing.assert_array_equal(above.lines[0].get_xydata(), [[8400, np.nan], [8500, 1.0], [8600, 3.0]])
    np.testing.assert_array_equal(below.lines[1].get_ydata(), [np.nan, 1.0, 4.0])
    assert below.get_ylim()[1] >= 4.0
