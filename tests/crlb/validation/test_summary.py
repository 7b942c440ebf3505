"""Leaving nodes out: against scipy pixel by pixel, the emulator itself, exact cases and a weighted fit."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro
from scipy.interpolate import make_interp_spline

from crlb.cli.command import checked
from crlb.cli.validate import Validate
from crlb.detector import DETECTOR_WAVE
from crlb.errors import UsageError, run_cli
from crlb.fisher.matrix import UnidentifiableError
from crlb.grids.compression import Factors
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import SpectralGrid, make_grid, save_grid
from crlb.observation.noise import variance
from crlb.observation.noise_curves import NoiseModel
from crlb.validation.leave_out import (
    HALVED,
    SINGLE,
    _Model,
    _predict,
    bias_over_bound,
    leading_error,
    leave_out,
)
from crlb.validation.result import Row, Validation
from crlb.validation.summary import total, validate
from tests.crlb.toy import AXES, LABEL_NAMES, toy_flux, toy_grid

PIXELS = np.arange(1100, 3700, 100)  # among them none of the toy's line centres: only its slope and wings
LINES = np.searchsorted(DETECTOR_WAVE, [7696.0, 7698.0, 8188.0, 8190.0, 8542.0, 8544.0])
CHOSEN = np.union1d(PIXELS, LINES)
WAVE = DETECTOR_WAVE[CHOSEN]
LONG_AXES = (np.linspace(4000, 5600, 9), np.array([1.0, 1.5, 2.5, 3.0, 4.0, 4.5, 5.0]), AXES[2])


@pytest.fixture
def noise(builtin) -> NoiseModel:
    return builtin.take(CHOSEN)


@pytest.fixture
def grid() -> SpectralGrid:
    return toy_grid(WAVE, LONG_AXES)


def linear_grid() -> SpectralGrid:
    """Spectra that are a plane in 5040/T_eff, log_g, M_H."""
    nodes = np.stack(np.meshgrid(5040 / LONG_AXES[0], *LONG_AXES[1:], indexing="ij"), axis=-1)
    x = (WAVE - 8000) / 1000
    slopes = np.stack([np.sin(5 * x), 0.05 * np.cos(9 * x), 0.1 * np.sin(17 * x)])
    flux = 1 + (nodes - np.array([1.05, 3, -0.5])[None, None, None]) @ slopes
    return make_grid(WAVE, LONG_AXES, flux, LABEL_NAMES, 5000.0, "relative", "a plane")


@pytest.mark.parametrize("degree", [3, 5])
def test_flux_errors_are_those_of_scipy_splines_of_every_pixel(grid, noise, degree):
    scores = leave_out(grid, noise, [20.0], degree)[0, HALVED]
    kept, dropped = [0, 2, 4, 6, 8], [1, 3, 5, 7]
    order = min(degree, 4)
    heat = -5040 / LONG_AXES[0]  # the splines of T_eff run in its reciprocal
    spline = make_interp_spline(heat[kept], grid.flux[kept], order)
    relative = np.abs(spline(heat[dropped]) / grid.flux[dropped] - 1).reshape(-1, len(WAVE))
    # the compression moves no pixel by more than 1e-5 of the mean of its spectrum
    np.testing.assert_allclose(scores.flux, np.median(relative, axis=1), atol=3e-5)
    np.testing.assert_allclose(scores.flux_max, relative.max(axis=1), atol=1e-4)
    np.testing.assert_allclose(scores.per_pixel, relative.mean(axis=0), atol=3e-5)
    assert relative.max() > 2e-4


@pytest.mark.parametrize(("axis", "degree"), [(0, 3), (1, 5), (2, 3)])
def test_predictions_are_those_of_the_emulator_of_the_thinned_grid(grid, axis, degree):
    n = len(grid.axes[axis])
    dropped = np.arange(1, n - 1, 2)
    model = _Model.of(grid, degree)
    predicted = _predict(grid, model, axis, dropped, degree)
    thinned = make_emulator(grid.take(axis, np.setdiff1d(np.arange(n), dropped)), degree=degree)
    labels = grid.nodes[predicted.nodes][::7]
    flux = jax.jit(jax.vmap(thinned))(labels)
    slopes = jax.jit(jax.vmap(jax.jacfwd(thinned)))(labels)
    np.testing.assert_allclose(predicted.flux[::7] @ model.basis, flux, atol=3e-5)
    width = thinned.high - thinned.low  # label by label: a change of flux over the axis
    found = (predicted.slopes[::7] @ model.basis).transpose(0, 2, 1) * width[None, None]
    found[..., 0] *= 5040 / labels[:, :1] ** 2  # from the reciprocal to T_eff
    np.testing.assert_allclose(found, slopes * width[None, None], atol=1e-3)


def test_slopes_in_the_whole_grid_are_those_of_its_emulator(grid):
    model = _Model.of(grid, 3)
    jac = jax.jit(jax.vmap(jax.jacfwd(make_emulator(grid))))(grid.nodes[::31])
    found = (model.slopes.reshape(3, len(grid.nodes), -1)[:, ::31] @ model.basis).transpose(1, 2, 0)
    width = np.array([axis[-1] - axis[0] for axis in LONG_AXES])[None, None]
    found[..., 0] *= 5040 / grid.nodes[::31, :1] ** 2  # from the reciprocal to T_eff
    np.testing.assert_allclose(found * width, jac * width, atol=1e-3)


def test_spectra_linear_in_the_labels_have_no_error(noise):
    for scores in leave_out(linear_grid(), noise, [20.0], 3).values():
        assert scores.flux_max.max() < 1e-10
        assert np.abs(scores.bias).max() < 1e-7
        assert scores.slope.max() < 1e-8


def test_bias_is_that_of_a_weighted_least_squares_fit(noise):
    rng = np.random.default_rng(3)
    flux, jac = rng.uniform(0.4, 1.0, len(WAVE)), rng.normal(size=(len(WAVE), 3)) * [1e-3, 0.2, 0.4]
    error = 0.01 * rng.normal(size=len(WAVE))
    sigma = np.sqrt(np.asarray(variance(jnp.asarray(flux), 21.5, noise)))
    # the spectrum is `flux`, the model flux + error + jac @ shift: the fit undoes the error as far as it can
    shift, *_ = np.linalg.lstsq(jac / sigma[:, None], -error / sigma, rcond=None)
    bound = np.sqrt(np.diag(np.linalg.inv((jac / sigma[:, None]).T @ (jac / sigma[:, None]))))
    found = bias_over_bound(*map(jnp.asarray, (error, jac, 1 / sigma**2)))
    np.testing.assert_allclose(np.abs(found), np.abs(shift) / bound, rtol=1e-9)
    np.testing.assert_allclose(found, -shift / bound, rtol=1e-9)


def test_biases_grow_with_the_signal(grid, noise):
    bias = np.abs(leave_out(grid, noise, [18.0, 23.0], 3)[0, SINGLE].bias)
    assert (bias[:, 0] > 2 * bias[:, 1]).all()


def test_interpolated_nodes_are_not_scored(grid, noise):
    filled = np.zeros(tuple(map(len, LONG_AXES)), bool)
    filled[3, 3, 1] = filled[2] = True
    marked = dataclasses.replace(grid, filled=filled)
    found = leave_out(marked, noise, [20.0], 3)
    assert all(not filled.ravel()[scores.nodes].any() for scores in found.values())
    assert len(found[0, SINGLE].nodes) == 6 * 28 - 1
    everything = leave_out(grid, noise, [20.0], 3)[0, SINGLE]
    same = np.isin(everything.nodes, found[0, SINGLE].nodes)
    assert set(everything.nodes[~same]) == set(np.flatnonzero(filled[:-1])) & set(everything.nodes)
    assert validate(marked, noise, [20.0], degrees=(3,)).not_scored == filled.sum()


def test_smooth_spectra_shrink_as_estimated(noise):
    """The error halfway between the nodes of the whole grid, from that at nodes left out by themselves."""
    wide = toy_grid(WAVE, (np.linspace(4000, 5600, 9), *AXES[1:]))
    single = leave_out(wide, noise, [20.0], 3)[0, SINGLE]
    here = (np.abs(wide.nodes[single.nodes] - np.array([4800.0, 2.5, -0.3])[None]) < 1e-9).all(axis=1)
    estimate = (single.flux_max * single.shrink)[here]
    between = np.array([[4700.0, 2.5, -0.3], [4900.0, 2.5, -0.3]])
    found = jax.vmap(make_emulator(wide, rtol=1e-9))(between)
    error = np.abs(np.asarray(found) / toy_flux(between, WAVE) - 1).max()
    np.testing.assert_allclose(estimate, error, rtol=0.3)


def test_leading_error_of_cubic_splines_on_even_nodes():
    """Far from the ends the error of x^4 halfway between nodes is h^4 / 16 (Bernoulli polynomial B_4)."""
    axis = np.linspace(0.0, 1.0, 41)
    found = leading_error(axis, np.arange(41), np.array([0.5125]), 3)
    np.testing.assert_allclose(found, (1 / 40) ** 4 / 16, rtol=1e-6)


def test_short_axes_do_what_they_can_and_say_so(noise):
    short = toy_grid(WAVE, (AXES[0][:3], AXES[1][:2], AXES[2]))
    result = validate(short, noise, [20.0])
    assert [axis.left_out_by_halving for axis in result.axes] == [1, 0, 1]
    assert [axis.note for axis in result.axes] == [
        "halved has 2 nodes: splines of degree 1 at the most",
        "2 nodes: none can be left out",
        "halved has 3 nodes: splines of degree 2 at the most",
    ]
    assert {row.axis for row in result.rows} == {"T_eff", "M_H", "all"}
    assert "log_g: 2 nodes: none can be left out." in result.table().splitlines()
    written = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert Validation.from_json(written) == result
    assert list(written["rows"][0]["bias_over_bound"][0]) == ["mag", "T_eff", "log_g", "M_H"]
    assert written["rows"][0]["bias_over_bound"][0]["mag"] == 20.0


COMMITTED = json.loads((Path(__file__).resolve().parents[3] / "docs/interpolation.json").read_text())


@pytest.mark.parametrize("row", COMMITTED["validate"]["rows"][::9])
def test_committed_rows_are_read_and_written_again_equal(row):
    found = Row.from_json(row)
    assert found.to_json() == row
    labels = [name for name in row["bias_over_bound"][1] if name != "mag"]
    assert found.largest_bias("p90") == max(row["bias_over_bound"][1][name]["p90"] for name in labels)


def test_progress_adds_up_to_the_total(grid, noise):
    counts: list[int] = []
    validate(grid, noise, [20.0], advance=counts.append)
    assert sum(counts) == total(grid)


def test_what_cannot_be_tested_is_refused(grid, noise):
    with pytest.raises(UsageError, match=r"degree .* one of .*3, 5.* found 4"):
        leave_out(grid, noise, [20.0], 4)
    with pytest.raises(UsageError, match=r"inner node .* T_eff 2, log_g 1, M_H 1"):
        leave_out(toy_grid(WAVE, (AXES[0][:2], AXES[1][:1], AXES[2][:1])), noise, [20.0], 3)
    alike = toy_flux(np.array([5000.0, 3.0, -0.5]), WAVE)
    flux = np.broadcast_to(alike, grid.flux.shape) * (1 + 1e-4 * grid.nodes[:, 0].reshape(9, 7, 4)[..., None])
    with pytest.raises(UnidentifiableError, match=r"cannot be told apart|does not depend on"):
        leave_out(dataclasses.replace(grid, spectra=Factors(flux)), noise, [20.0], 3)


@pytest.fixture
def run(capsys):
    """Runs the command in this process; returns its exit status, stdout, stderr."""

    def run(*args) -> tuple[int, str, str]:
        config = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
        try:
            run_cli(checked(tyro.cli(Validate, args=[str(arg) for arg in args], config=config)))
        except SystemExit as stop:
            status = int(stop.code or 0)
        else:
            status = 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "toy.h5"
    save_grid(toy_grid(np.arange(8100.0, 8600.0, 0.4), (*LONG_AXES[:2], AXES[2][1:])), path)
    return path


@pytest.mark.slow
@pytest.mark.filterwarnings("always:the grid reaches")
def test_command_prints_what_it_writes(run, file, tmp_path):
    out, plot = tmp_path / "v.json", tmp_path / "v.png"
    status, text, errors = run(file, "--wave-range", 8150, 8560, "--json", out, "--plot", plot)
    assert status == 0, errors
    assert "warning: the grid reaches 8100.40 to 8599.42 Å of the arm" in errors
    result = json.loads(out.read_text())
    assert plot.stat().st_size > 10_000
    row = next(row for row in result["rows"] if row["region"] == "all")
    assert (row["axis"], row["test"], row["degree"]) == ("T_eff", "halved", 3)
    biases = [max(found[q] for name, found in row["bias_over_bound"][1].items() if name != "mag") for q in
              ("median", "p90", "max")]  # fmt: skip
    line = next(line for line in text.splitlines() if line.split()[:3] == ["T_eff", "halved", "3"])
    assert line.split()[3:6] == [
        str(row["n"]),
        *(f"{100 * row['flux_error'][q]:.3f}" for q in ("median", "p90")),
    ]
    assert line.split()[8] == "/".join(f"{x:.3f}" for x in biases)
    assert result["provenance"]["grid_file"] == str(file)
    assert result["mags"] == [21.5, 20.0, 18.0]


def test_grid_is_named_once_and_results_are_not_overwritten(run, file, tmp_path):
    assert run(file, "--grid", file)[0] == 2
    (tmp_path / "v.json").write_text("mine")
    assert run(file, "--json", tmp_path / "v.json")[0] == 73
    assert (tmp_path / "v.json").read_text() == "mine"
