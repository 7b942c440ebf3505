"""Velocity and line-spread width as axes of the emulator."""

import jax
import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE, cell_edges, contiguous
from crlb.errors import UsageError
from crlb.observation.build import forward_model
from crlb.observation.conditions import Conditions
from crlb.observation.moving import LSF, RV, axis_nodes, axis_priors, moving_emulator
from crlb.observation.pixels import before_instrument, on_pixels
from tests.crlb.toy import toy_grid

BOTH = Conditions(rv_sigma_kms=10.0, lsf_sigma=0.1)
GRID = toy_grid(np.arange(7600.0, 7900.0, 0.25))
PIXELS = DETECTOR_WAVE[(DETECTOR_WAVE > 7620) & (DETECTOR_WAVE < 7880)]
LABELS = np.array([4620.0, 2.3, -0.4])


@pytest.fixture(scope="module")
def moving():
    with jax.enable_x64(True):
        return moving_emulator(GRID, BOTH, detector=contiguous(PIXELS, 1.6, "toy"))


def test_flux_is_that_of_the_basis_put_through_the_instrument(moving):
    emulator, covered = moving
    assert emulator.label_names == ("T_eff", "log_g", "M_H", RV, LSF)
    assert covered.all()
    edges = cell_edges(PIXELS)
    with jax.enable_x64(True):
        fine = before_instrument(GRID, detector=contiguous(PIXELS, 1.6, "toy"))
        for rv, width in ((0.0, 1.6), (13.7, 1.6), (-21.0, 1.83), (8.0, 1.31)):
            found = np.asarray(emulator(np.array([*LABELS, rv, width])))
            seen = on_pixels(fine, edges[:-1], edges[1:], fwhm=width, rv_kms=rv)
            right = np.asarray(seen.emulator(LABELS))
            np.testing.assert_allclose(found, right, rtol=2e-4)


def test_nodes_cover_four_sigma_and_priors_are_those_of_the_conditions():
    nodes = axis_nodes(BOTH, 1.6)
    assert list(nodes) == [RV, LSF]
    np.testing.assert_allclose(nodes[RV][[0, -1]], [-40, 40])
    np.testing.assert_allclose(nodes[LSF][[0, -1]], [0.96, 2.24])
    assert axis_priors(BOTH, 1.6) == {RV: (0.0, 10.0), LSF: (1.6, pytest.approx(0.16))}
    assert not axis_nodes(Conditions(scale=1.0, continuum=2), 1.6)


@pytest.mark.parametrize("sigma", [200.0, np.inf])
def test_a_velocity_that_is_hardly_known_is_refused(sigma):
    with pytest.raises(UsageError, match="measure the velocity first"):
        axis_nodes(Conditions(rv_sigma_kms=sigma), 1.6)


def test_a_width_below_that_of_the_grid_is_refused():
    with pytest.raises(UsageError, match="use a grid of higher resolving power"):
        moving_emulator(GRID, Conditions(lsf_sigma=0.1), detector=contiguous(PIXELS, 0.7, "toy"))


def test_a_model_of_a_part_of_the_arm_has_the_pixels_that_stay_covered_at_any_velocity():
    with pytest.warns(UserWarning, match="the grid reaches"):
        model = forward_model(GRID, wave_range=(7610.0, 7890.0), conditions=BOTH)
    assert model.label_names[-2:] == (RV, LSF)
    wave = np.asarray(model.wave)
    assert wave[0] > 7600.5
    assert np.isfinite(np.asarray(model.flux(np.array([*LABELS, 40.0, 2.2])))).all()
    assert (np.asarray(model.flux(np.array([*LABELS, -40.0, 2.2]))) > 0).all()
