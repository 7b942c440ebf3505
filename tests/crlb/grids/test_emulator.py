"""The emulator against closed forms, scipy's cubic spline, and finite differences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline, make_interp_spline

from crlb.errors import UsageError
from crlb.grids.compression import Factors, compress
from crlb.grids.emulator import Emulator, make_emulator
from crlb.grids.grid_file import SpectralGrid, load_grid, make_grid
from tests.crlb.toy import AXES, toy_flux, toy_grid

WAVE = np.linspace(7600.0, 8600.0, 200)
INSIDE = np.array([4630.0, 2.2, -0.45])


def grid_of(axes, values, label_names) -> SpectralGrid:
    """A grid whose flux is `values` (nodes, n_pix) as given."""
    wave = np.linspace(8000.0, 8001.0, values.shape[-1])
    return make_grid(wave, axes, values, label_names, 5000.0, "relative", "test")


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    with jax.enable_x64(True):
        return make_emulator(toy_grid(WAVE))


def at_all(emulator, labels):
    return np.asarray(jax.jit(jax.vmap(emulator))(jnp.asarray(labels)))


def test_exact_at_nodes_to_the_compression_asked_for(emulator):
    grid = toy_grid(WAVE)
    np.testing.assert_allclose(at_all(emulator, grid.nodes), grid.flux.reshape(-1, 200), rtol=1.01e-5)
    coarse = make_emulator(grid, rtol=1e-3)
    np.testing.assert_allclose(at_all(coarse, grid.nodes), grid.flux.reshape(-1, 200), rtol=1.01e-3)
    assert len(coarse.basis) < len(emulator.basis) < len(grid.nodes)


def test_exact_at_nodes_of_real_spectra_in_float32(reference):
    grid = load_grid(reference / "synspec_grid_coarse.h5")
    with jax.enable_x64(False):
        emulator = make_emulator(grid)
        assert emulator.basis.dtype == jnp.float32
        flux = at_all(emulator, grid.nodes.astype(np.float32))
    np.testing.assert_allclose(flux, grid.flux.reshape(len(flux), -1), rtol=1e-4)


def test_cube_is_reproduced_with_its_derivative_twelve_at_two():
    x = np.arange(6.0)
    emulator = make_emulator(grid_of((x,), (1 + x**3)[:, None] * np.array([1.0, 2.0]), ("x",)))
    for at in (0.3, 2.0, 4.7):
        labels = jnp.array([at])
        np.testing.assert_allclose(emulator(labels), (1 + at**3) * np.array([1.0, 2.0]), rtol=1e-10)
        np.testing.assert_allclose(jax.jacfwd(emulator)(labels)[0, 0], 3 * at**2, rtol=1e-9)


@pytest.mark.parametrize("n", [4, 6, 9])
def test_quintic_splines_are_those_of_scipy(n):
    x = np.sort(np.random.default_rng(n).uniform(0, 5, n))
    values = np.exp(np.sin(x))[:, None] * np.array([1.0, 2.0])
    emulator = make_emulator(grid_of((x,), values, ("x",)), rtol=1e-12, degree=5)
    oracle = make_interp_spline(x, values, min(5, n - 1))
    for at in np.linspace(x[0], x[-1], 23)[1:-1]:
        np.testing.assert_allclose(emulator(jnp.array([at])), oracle(at), rtol=1e-9)
        slope = jax.jacfwd(emulator)(jnp.array([at]))[:, 0]
        np.testing.assert_allclose(slope, oracle.derivative()(at), rtol=1e-8, atol=1e-9)


def test_other_degrees_are_refused():
    with pytest.raises(UsageError, match=r"one of \(3, 5\), found 4"):
        make_emulator(toy_grid(WAVE), degree=4)


def test_factors_give_the_emulator_of_their_table():
    grid = toy_grid(WAVE)
    coefficients, basis = compress(grid.flux.reshape(100, -1), 1e-9)
    factors = dataclasses.replace(grid, spectra=Factors(coefficients.reshape(5, 5, 4, -1), basis))
    whole, short = make_emulator(grid, rtol=1e-8), make_emulator(factors, rtol=1e-8)
    np.testing.assert_allclose(short(INSIDE), whole(INSIDE), rtol=1e-6)


def test_tensor_cubic_is_reproduced_between_irregular_nodes():
    def cubic(x, y, z):
        return 500 + (x**3 - x) * (1 + y**2) * (2 - z**3) + y**3 * z

    axes = (np.array([0.0, 0.4, 1.1, 2.0, 2.2]), np.array([-1.0, 0.0, 0.7, 2.0]), np.linspace(0, 1, 6))
    nodes = np.meshgrid(*axes, indexing="ij")
    emulator = make_emulator(
        grid_of(axes, cubic(*nodes)[..., None] * np.ones(2), ("x", "y", "z")), rtol=1e-12
    )
    for x, y, z in np.random.default_rng(1).uniform(emulator.low, emulator.high, (20, 3)):
        np.testing.assert_allclose(emulator(np.array([x, y, z]))[0], cubic(x, y, z), rtol=1e-10)


def test_agrees_with_scipy_not_a_knot_spline_axis_by_axis(emulator):
    expected = toy_grid(WAVE).flux
    places = zip((-5040 / AXES[0], *AXES[1:]), (-5040 / INSIDE[0], *INSIDE[1:]), strict=True)
    for axis, label in places:  # T_eff by its reciprocal
        expected = CubicSpline(axis, expected, axis=0, bc_type="not-a-knot")(label)
    np.testing.assert_allclose(emulator(INSIDE), expected, rtol=3e-5)


@pytest.mark.parametrize(
    "labels", [INSIDE, np.array([4300.0, 2.5, -0.3])], ids=["between nodes", "at a node"]
)
def test_derivative_is_the_central_difference(emulator, labels):
    jac = np.asarray(jax.jacfwd(emulator)(jnp.asarray(labels)))
    for i, step in enumerate((0.5, 1e-3, 1e-3)):
        move = step * np.eye(3)[i]
        difference = (emulator(labels + move) - emulator(labels - move)) / (2 * step)
        np.testing.assert_allclose(jac[:, i], difference, atol=1e-4 * np.abs(jac[:, i]).max())


@pytest.mark.parametrize("derivative", [jax.jacfwd, jax.hessian], ids=["first", "second"])
def test_one_sided_derivatives_agree_at_a_node(emulator, derivative):
    node = np.array([4300.0, 2.5, -0.3])
    tiny = 1e-9 * np.array([4000.0, 1.0, 1.0])
    below, above = (np.asarray(derivative(emulator)(jnp.asarray(node + s * tiny))) for s in (-1, 1))
    np.testing.assert_allclose(below, above, atol=1e-6 * np.abs(above).max(axis=0, keepdims=True).max())


def test_error_between_nodes_falls_with_the_fourth_power_of_the_step():
    def worst(n):
        axes = (np.linspace(4000, 5500, n), np.linspace(1, 4.5, n), np.linspace(-1, 0, n))
        emulator = make_emulator(toy_grid(WAVE, axes), rtol=1e-9)
        labels = np.random.default_rng(0).uniform(emulator.low, emulator.high, (50, 3))
        return np.abs(at_all(emulator, labels) / toy_flux(labels, WAVE) - 1).max()

    assert worst(5) < 0.01
    assert worst(5) / worst(17) > 64


def test_held_out_bosz_nodes_are_predicted_to_a_few_parts_in_a_thousand(reference):
    grid = load_grid(reference / "bosz2017_r5000.h5")
    kept = np.array([0, 1, 3, 4, 5])  # 6000 K is left out
    emulator = make_emulator(
        make_grid(
            grid.wave, (grid.axes[0][kept], *grid.axes[1:]), grid.flux[kept], grid.label_names, 5000.0, "", ""
        )
    )
    held_out = grid.nodes[grid.nodes[:, 0] == 6000.0]
    relative = at_all(emulator, held_out) / grid.flux[2].reshape(len(held_out), -1) - 1
    assert np.median(np.abs(relative)) < 1e-3
    assert np.abs(relative).max() < 1e-2


def test_axes_of_few_nodes_get_the_polynomial_through_them():
    x, y, z = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0]), np.array([7.0])
    values = (5 + x**2)[:, None, None, None] * (1 + 3 * y)[:, None, None] * np.ones((1, 2))
    emulator = make_emulator(grid_of((x, y, z), values, ("x", "y", "z")), rtol=1e-10)
    np.testing.assert_allclose(emulator(np.array([2.0, 0.5, 7.0])), (5 + 4) * (1 + 1.5), rtol=1e-9)
    with pytest.raises(UsageError, match="z must lie within the grid, 7 to 7"):
        emulator(np.array([2.0, 0.5, 7.1]))


@pytest.mark.parametrize("bad", [(3999.0, 2, -0.5), (4600.0, 4.6, -0.5), (4600.0, 2, np.nan)])
def test_outside_raises_on_the_host_and_is_nan_when_traced(emulator, bad):
    labels = np.array(bad)
    with pytest.raises(UsageError, match=r"(T_eff|log_g|M_H) must lie within the grid, .* found"):
        emulator(labels)
    assert np.isnan(jax.jit(emulator)(labels)).all()
    assert np.isnan(jax.jacfwd(emulator)(jnp.asarray(labels))).all()


@pytest.mark.parametrize("x64", [True, False])
def test_edges_are_inside_in_either_precision(x64):
    axes = (np.array([0.1, 0.2, 0.4, 0.7]), np.array([-2.3, -1.1, 0.05, 0.3]))
    values = np.random.default_rng(0).uniform(1, 2, (4, 4, 3))
    with jax.enable_x64(x64):
        emulator = make_emulator(grid_of(axes, values, ("x", "y")))
        for i, j in ((0, 0), (-1, -1), (0, -1)):
            corner = np.array([axes[0][i], axes[1][j]], dtype=np.float32)
            np.testing.assert_allclose(emulator(corner), values[i, j], rtol=1e-4)
            np.testing.assert_allclose(jax.jit(emulator)(corner), values[i, j], rtol=1e-4)


def test_float32_derivatives_follow_float64(emulator):
    exact = np.asarray(jax.jacfwd(emulator)(jnp.asarray(INSIDE)))
    with jax.enable_x64(False):
        rough = np.asarray(jax.jacfwd(make_emulator(toy_grid(WAVE)))(jnp.asarray(INSIDE)))
    own = np.abs(exact).max(axis=0)[None]  # label by label: K and dex have nothing to say to each other
    np.testing.assert_allclose(rough / own, exact / own, atol=3e-6, rtol=1e-4)


def test_batch_of_spectra_equals_them_one_by_one_with_the_emulator_as_argument(emulator):
    labels = np.random.default_rng(2).uniform(emulator.low, emulator.high, (5, 3))
    batch = jax.jit(lambda emulator, x: jax.vmap(emulator)(x))(emulator, jnp.asarray(labels))
    np.testing.assert_allclose(batch, [emulator(x) for x in labels], rtol=1e-12)
