"""The ceiling against plain numpy, limits, the instrument, and maximum-likelihood fits."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from crlb import palette
from crlb.bayes import bounds as bounds_module
from crlb.bayes.bounds import EachBound
from crlb.bayes.prior import make_prior
from crlb.ceilings.ceiling import ceiling, node_bounds
from crlb.ceilings.result import Ceiling, PriorR2
from crlb.ceilings.with_prior import with_bounds, with_exact_limit
from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, UsageError
from crlb.fisher.matrix import UnidentifiableError, cramer_rao_bound, fisher_information, flux_jacobian
from crlb.grids.compression import Factors
from crlb.grids.emulator import Emulator, make_emulator
from crlb.grids.grid_file import SpectralGrid, default_grid_path, load_slice
from crlb.observation.exposure import Exposure
from crlb.observation.forward_model import ForwardModel
from crlb.observation.instrument import detector_flux, to_detector
from crlb.observation.noise import draw, snr, variance
from crlb.observation.noise_curves import builtin_noise
from tests.crlb.toy import AXES, LABEL_NAMES, toy_flux, toy_grid

SMALL_AXES = (AXES[0][1:4], AXES[1][1:4], AXES[2][:2])  # 18 nodes: one whole chunk and a part of one
MODEL_WAVE = np.arange(7090.0, 8860.0, 0.3)  # Å
DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    with jax.enable_x64(True):
        return make_emulator(to_detector(toy_grid(MODEL_WAVE, SMALL_AXES)), rtol=1e-8)


@pytest.fixture(scope="module")
def result(emulator):
    with jax.enable_x64(True):
        return ceiling(ForwardModel(emulator, builtin_noise()), [18.0, 20.0, 21.5, 23.0], variance=1.5)


@pytest.fixture(scope="module")
def fishers(emulator) -> np.ndarray:
    """Fisher matrices of the nodes at mag 21.5 by finite differences, without the trace term."""
    with jax.enable_x64(True):
        noise, nodes = builtin_noise(), emulator.nodes
        flux = jax.jit(jax.vmap(emulator))
        here = flux(nodes)
        ivar = 1 / np.asarray(jax.jit(jax.vmap(lambda f: variance(f, 21.5, noise)))(here))
        jac = []
        for i, step in enumerate((0.1, 1e-4, 1e-4)):
            move = np.where(nodes[:, [i]] >= emulator.high[i], -step, step) * np.eye(3)[i]  # into the grid
            one, two = flux(nodes + move), flux(nodes + 2 * move)
            jac.append(np.asarray(4 * one - 3 * here - two) / (2 * move[:, [i]]))
        jac = np.stack(jac, axis=1)
        return (jac * ivar[:, None, :]) @ jac.transpose(0, 2, 1)


def test_bounds_equal_finite_differences_and_a_plain_inverse(emulator, fishers):
    bounds = node_bounds(
        ForwardModel(emulator, builtin_noise()),
        [21.5],
        label="log_g",
        labels=LABEL_NAMES,
        variance_term=False,
    )
    expected = np.sqrt(np.linalg.inv(fishers)[:, 1, 1])
    np.testing.assert_allclose(bounds.bound[:, 0], expected, rtol=1e-4)


def test_known_labels_lower_the_bound(emulator, fishers):
    arguments = {"label": "log_g", "variance_term": False}
    every = node_bounds(ForwardModel(emulator, builtin_noise()), [21.5], labels=LABEL_NAMES, **arguments)
    two = node_bounds(ForwardModel(emulator, builtin_noise()), [21.5], labels=("T_eff", "log_g"), **arguments)
    assert (two.bound <= every.bound).all()
    expected = np.sqrt(np.linalg.inv(fishers[:, :2, :2])[:, 1, 1])
    np.testing.assert_allclose(two.bound[:, 0], expected, rtol=1e-4)


def test_schur_decay_is_the_ratio_of_conditional_to_marginal_bound_squared(emulator):
    marginal = node_bounds(ForwardModel(emulator, builtin_noise()), [20.0], label="log_g", labels=LABEL_NAMES)
    conditional = node_bounds(
        ForwardModel(emulator, builtin_noise()), [20.0], label="log_g", labels=("log_g",)
    )
    expected = (conditional.bound / marginal.bound) ** 2
    np.testing.assert_allclose(marginal.schur_decay, expected, rtol=1e-9)
    np.testing.assert_allclose(conditional.schur_decay, 1.0, rtol=1e-12)


def test_what_the_noise_level_tells_is_little_and_never_negative(emulator):
    arguments = {"label": "log_g", "labels": LABEL_NAMES}
    full = node_bounds(ForwardModel(emulator, builtin_noise()), [20.0], **arguments).bound
    without = node_bounds(
        ForwardModel(emulator, builtin_noise()), [20.0], variance_term=False, **arguments
    ).bound
    assert (full <= without).all()
    np.testing.assert_allclose(full, without, rtol=0.01)


def test_summary_is_of_clipped_values_per_node(emulator, result):
    bounds = node_bounds(ForwardModel(emulator, builtin_noise()), [23.0], label="log_g", labels=LABEL_NAMES)
    r2 = np.clip(1 - bounds.bound[:, 0] ** 2 / 1.5, 0, 1)
    found = result.bins[3]
    assert found.r2_max.mean == pytest.approx(r2.mean())
    for name, q in (("p10", 10), ("median", 50), ("p90", 90)):
        assert getattr(found.r2_max, name) == pytest.approx(np.percentile(r2, q))
        assert getattr(found.bound, name) == pytest.approx(np.percentile(bounds.bound, q))
    assert found.schur_decay.median == pytest.approx(np.median(bounds.schur_decay))
    assert found.n == len(emulator.nodes)


def test_snr_is_the_one_of_the_noise_module(emulator, result):
    noise = builtin_noise()
    fluxes = [emulator(node) for node in emulator.nodes]
    expected = np.median([snr(flux, jnp.sqrt(variance(flux, 21.5, noise))) for flux in fluxes])
    assert result.bins[2].snr_median == pytest.approx(expected)


def test_fainter_stars_are_known_less_from_one_to_nothing(emulator, result):
    medians = [b.r2_max.median for b in result.bins]
    assert sorted(medians, reverse=True) == medians
    assert [b.bound.median for b in result.bins] == sorted(b.bound.median for b in result.bins)
    bright, faint = ceiling(ForwardModel(emulator, builtin_noise()), [8.0, 30.0], variance=1.5).bins
    assert bright.r2_max.p10 > 0.99999
    assert faint.r2_max.p90 == 0.0


def test_twice_the_source_limited_time_halves_the_bound_squared(emulator):
    """So bright that only photons count, and without what the level itself tells."""
    arguments = {"label": "log_g", "labels": LABEL_NAMES, "variance_term": False}
    once, twice = (
        node_bounds(
            ForwardModel(emulator, builtin_noise()).with_exposure(Exposure(n_exp=n)), [8.0], **arguments
        ).bound
        for n in (6, 12)
    )
    np.testing.assert_allclose((once / twice) ** 2, 2.0, rtol=1e-3)


def test_default_variance_is_that_of_a_uniform_over_the_grid(emulator):
    found = ceiling(ForwardModel(emulator, builtin_noise()), [20.0])
    assert found.variance == pytest.approx((3.5 - 2.0) ** 2 / 12)


def test_result_has_the_documented_shape_and_is_json(emulator, result):
    written = result.to_json()
    assert list(written) == ["label", "label_names", "variance", "grid", "noise", "bins", "provenance"]
    for found in written["bins"]:
        assert list(found) == ["mag", "snr_median", "n", "lost", "r2_max", "bound", "schur_decay"]
        assert list(found["r2_max"]) == ["p10", "median", "p90", "mean"]
        assert list(found["bound"]) == ["p10", "median", "p90"]
    assert written["label_names"] == list(LABEL_NAMES)
    assert {"versions", "date", "exposure", "grid_source", "snr_definition"} <= set(written["provenance"])
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert Ceiling.from_json(written) == result


def test_progress_counts_every_node_once(emulator):
    steps = []
    ceiling(ForwardModel(emulator, builtin_noise()), [20.0], advance=steps.append)
    assert sum(steps) == len(emulator.nodes)


def test_bad_arguments_are_refused_in_words(emulator):
    noise = builtin_noise()
    with pytest.raises(UsageError, match="unknown label vsini: this grid has T_eff, log_g, M_H"):
        ceiling(ForwardModel(emulator, noise), [20.0], labels=["T_eff", "vsini"])
    with pytest.raises(UsageError, match="must include log_g"):
        ceiling(ForwardModel(emulator, noise), [20.0], labels=["T_eff"])
    with pytest.raises(UsageError, match="labels must differ"):
        ceiling(ForwardModel(emulator, noise), [20.0], labels=["log_g", "log_g"])
    with pytest.raises(UsageError, match="variance must be positive"):
        ceiling(ForwardModel(emulator, noise), [20.0], variance=-1.0)
    with pytest.raises(UsageError, match="at least one finite magnitude"):
        ceiling(ForwardModel(emulator, noise), [])
    with pytest.raises(UsageError, match="at least one finite magnitude"):
        ceiling(ForwardModel(emulator, noise), [20.0, np.nan])
    with pytest.raises(DataError, match="same pixels"):
        ceiling(ForwardModel(make_emulator(toy_grid(MODEL_WAVE, SMALL_AXES)), noise), [20.0])


def test_differences_on_the_grid_are_the_published_recipe(emulator):
    """Central between neighbours, one-sided at the edges, written out node by node in numpy."""
    found = node_bounds(
        ForwardModel(emulator, builtin_noise()), [21.5], label="log_g", labels=LABEL_NAMES,
        variance_term=False, derivative="grid",
    )  # fmt: skip
    shape = tuple(map(len, SMALL_AXES))
    flux = np.asarray(jax.jit(jax.vmap(emulator))(emulator.nodes)).reshape(*shape, -1)
    curves = builtin_noise()
    for node in ((0, 1, 0), (1, 1, 1), (2, 0, 0)):
        jac = []
        for axis, values in enumerate(SMALL_AXES):
            i, last = node[axis], len(values) - 1
            low, high = max(i - 1, 0), min(i + 1, last)
            ends = [flux[(*node[:axis], j, *node[axis + 1 :])] for j in (low, i, high)]
            step = (values[i] - values[low], values[high] - values[i])
            if low == i or high == i:  # one-sided
                slope = (ends[2] - ends[0]) / (values[high] - values[low])
            else:  # the slope of the parabola through three nodes: central where they are equally spaced
                left, right = (ends[1] - ends[0]) / step[0], (ends[2] - ends[1]) / step[1]
                slope = (left * step[1] + right * step[0]) / (step[0] + step[1])
            jac.append(slope)
        design = (
            np.stack(jac, axis=1)
            / np.sqrt(np.asarray(variance(jnp.asarray(flux[node]), 21.5, curves)))[:, None]
        )
        expected = np.sqrt(np.linalg.inv(design.T @ design)[1, 1])
        at = np.ravel_multi_index(node, shape)
        np.testing.assert_allclose(found.bound[at, 0], expected, rtol=1e-8)


def test_nodes_without_a_bound_are_counted_and_named_and_the_rest_goes_on():
    """At the lowest temperature the spectra do not depend on gravity."""
    grid = to_detector(toy_grid(MODEL_WAVE, SMALL_AXES))
    emulator = make_emulator(grid, rtol=1e-9)
    nodes = node_bounds(ForwardModel(emulator, builtin_noise()), [20.0], label="log_g", labels=LABEL_NAMES)
    assert nodes.reason == [""] * 18
    coefficients = np.array(emulator.coefficients)
    coefficients[0] = coefficients[0][:1]  # at the lowest temperature gravity does nothing
    dead = dataclasses.replace(emulator, coefficients=jnp.asarray(coefficients))
    found = node_bounds(ForwardModel(dead, builtin_noise()), [20.0], label="log_g", labels=LABEL_NAMES)
    lost = np.isinf(found.bound[:, 0])
    assert 0 < lost.sum() < 18
    assert all(("log_g" in reason) == bool(gone) for reason, gone in zip(found.reason, lost, strict=True))
    assert (found.schur_decay[lost] == 0).all()
    result = ceiling(ForwardModel(dead, builtin_noise()), [20.0], variance=1.5)
    assert result.bins[0].lost == lost.sum()
    assert result.bins[0].bound.p90 == np.inf
    assert f"18 ({lost.sum()} lost)" in result.table()
    written = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert written["bins"][0]["bound"]["p90"] is None
    assert written["not_finite"]["bins/0/bound/p90"] == "inf"
    assert Ceiling.from_json(written) == result


@pytest.fixture(scope="module")
def limited():
    """A toy ceiling with its limits, on every eighth pixel and with few quadrature points: to be quick."""
    pixels = np.arange(0, 4096, 8)
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setitem(bounds_module.EFFORT, 3, bounds_module.Effort(fit=5, check=6, each=3, total=6, pairs=3))
        grid = to_detector(toy_grid(MODEL_WAVE, SMALL_AXES), detector_wave=DETECTOR_WAVE[pixels])
        emulator, noise = make_emulator(grid), builtin_noise().take(pixels)
        found = ceiling(ForwardModel(emulator, noise), [20.0, 23.0])
        prior = make_prior(emulator.low, emulator.high, emulator.label_names)
        bounded = with_bounds(found, ForwardModel(emulator, noise), prior)
        assert found.prior is None
        assert all(row.prior_r2 is None for row in found.bins)
        return with_exact_limit(bounded, ForwardModel(emulator, noise), prior, n=200, seed=1)


def test_limits_stand_in_the_order_of_the_theory(limited):
    """What binds everyone lies above the exact limit, within the error of its draws; all are in [0, 1]."""
    for row in limited.bins:
        exact, bounds = row.r2_bayes, row.prior_r2
        assert exact.n == 200
        assert exact.unconverged == 0
        assert 0 <= exact.low <= exact.value <= exact.high <= 1
        for value in (bounds.r2_weighted_van_trees, bounds.r2_ziv_zakai):
            assert value > exact.low - 1e-3
        assert bounds.r2_pooled <= bounds.r2_shrinkage
        assert bounds.r2_van_trees is None
        assert "uniform" in bounds.r2_van_trees_reason
    assert limited.prior["log_g"].variance == pytest.approx(1.5**2 / 12)
    written = json.loads(json.dumps(limited.to_json(), allow_nan=False))
    assert Ceiling.from_json(written) == limited


@pytest.fixture(scope="module")
def committed() -> dict:
    return json.loads((DOCS / "ceiling.json").read_text())


def test_committed_ceilings_are_read_and_written_again_equal(committed):
    in_figure = json.loads((DOCS / "r2_vs_snr.json").read_text())["ceiling"]
    assert Ceiling.from_json(in_figure).to_json() == in_figure
    again = Ceiling.from_json(committed).to_json()
    assert again == committed
    assert list(again) == list(committed)
    assert list(map(list, again["bins"])) == list(map(list, committed["bins"]))


def test_bounds_keep_their_names_and_reasons_in_a_bin():
    found = PriorR2.of(EachBound(0.1, 0.2, None, 0.4, 0.5), {"van_trees": "uniform"})
    assert found.to_json() == {
        "r2_pooled": 0.1, "r2_shrinkage": 0.2, "r2_van_trees": None, "r2_weighted_van_trees": 0.4,
        "r2_ziv_zakai": 0.5, "r2_van_trees_reason": "uniform",
    }  # fmt: skip
    assert list(found.values().values()) == [0.1, 0.2, None, 0.4, 0.5]
    assert found.reasons() == ["uniform"]


def test_table_shows_bounds_and_limits_and_says_what_they_mean(committed):
    result = Ceiling.from_json(committed)
    text, middle = result.table(), result.bins[2]
    own, limits = (line.split() for line in text.splitlines() if line.split()[:1] == ["21.5"])
    assert own[3:7] == [f"{x:.4f}" for x in vars(middle.r2_max).values()]
    bounds, exact = middle.prior_r2, middle.r2_bayes
    assert limits[2:5] == [f"{bounds.r2_pooled:.4f}", f"{bounds.r2_shrinkage:.4f}", "-"]
    assert limits[5:7] == [f"{bounds.r2_weighted_van_trees:.4f}", f"{bounds.r2_ziv_zakai:.4f}"]
    assert limits[7:] == [f"{exact.value:.4f}", f"{exact.low:.3f}-{exact.high:.3f}", "2000", "0"]
    assert "M_H uniform -2.5 to 0.75. Variance 1.333." in text
    assert "No estimator exceeds R2_Bayes" in text
    assert text.count("prior: van Trees needs Beta(a, b)") == 1
    assert max(map(len, text.splitlines())) <= 110
    assert "R2_Bayes" not in dataclasses.replace(result, prior=None).table()


def test_figure_shows_every_curve_against_snr(committed):
    result = Ceiling.from_json(committed)
    (axes,) = result.plot().axes
    curves = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert len(curves) == 5
    expected = [(row.snr_median, row.r2_bayes.value) for row in result.bins[::-1]]  # faint to bright
    np.testing.assert_allclose(curves[r"exact limit $R^2_\mathrm{Bayes}$"], expected)
    bare = tuple(dataclasses.replace(row, prior_r2=None, r2_bayes=None) for row in result.bins)
    (axes,) = dataclasses.replace(result, bins=bare).plot().axes
    assert len(axes.lines) == 1


def test_figure_of_one_magnitude_shows_every_curve_and_band(committed):
    result = Ceiling.from_json(committed)
    (axes,) = dataclasses.replace(result, bins=result.bins[2:3]).plot().axes
    assert len(axes.lines) == 5
    assert all(line.get_marker() not in ("None", "", None) for line in axes.lines)
    assert [len(band.get_segments()) for band in axes.collections] == [1, 1]
    colors = {line.get_label(): line.get_color() for line in axes.lines}
    assert colors[r"exact limit $R^2_\mathrm{Bayes}$"] == palette.LIMIT
    assert colors["Cramér-Rao, median node (unbiased estimators)"] == palette.BOUND


def test_limits_want_every_label_free_or_held(emulator, builtin):
    prior = make_prior(emulator.low, emulator.high, emulator.label_names)
    two = ceiling(ForwardModel(emulator, builtin), [20.0], labels=("T_eff", "log_g"))
    with pytest.raises(UsageError, match="hold M_H with --fix"):
        with_exact_limit(two, ForwardModel(emulator, builtin), prior, n=10)
    with pytest.raises(UsageError, match="hold M_H with --fix"):
        with_bounds(two, ForwardModel(emulator, builtin), prior)


def test_label_the_spectra_ignore_is_named():
    grid = to_detector(toy_grid(MODEL_WAVE, SMALL_AXES))
    deaf = dataclasses.replace(grid, spectra=Factors(np.repeat(grid.flux[:, :, :1], 2, axis=2)))
    with pytest.raises(UnidentifiableError, match="M_H"):
        ceiling(ForwardModel(make_emulator(deaf, rtol=1e-8), builtin_noise()), [20.0])


def test_instrument_commutes_with_the_emulator():
    """Derivatives through instrument(emulator(labels)) are those of the emulator of observed nodes."""
    grid = toy_grid(MODEL_WAVE, SMALL_AXES)
    high_resolution = make_emulator(grid, rtol=1e-10)
    fwhm = np.sqrt(1.6**2 - (DETECTOR_WAVE / grid.resolving_power) ** 2)
    sigma = fwhm / (2 * np.sqrt(2 * np.log(2)))

    def observed(labels):
        return detector_flux(MODEL_WAVE, high_resolution(labels), DETECTOR_WAVE, lsf_sigma=sigma)

    at_nodes = make_emulator(to_detector(grid, normalise=False), rtol=1e-10)
    labels = jnp.array([4600.0, 2.3, -0.8])
    through = jax.jacfwd(observed)(labels)
    expected = jax.jacfwd(at_nodes)(labels)
    for i in range(3):
        scale = np.abs(expected[:, i]).max()
        np.testing.assert_allclose(through[:, i], expected[:, i], atol=1e-6 * scale)


def maximum_likelihood(emulator, noise, labels, mag, keys, iterations=6):
    """Gauss-Newton fits of all labels to noisy spectra of one star, errors known."""
    ivar = 1 / variance(emulator(labels), mag, noise)
    scale = jnp.asarray(emulator.high - emulator.low)

    def fit(key):
        noisy, _ = draw(key, emulator(labels), mag, noise)

        def step(_, guess):
            jac = flux_jacobian(emulator, guess) * scale[None, :]
            residual = noisy - emulator(guess)
            move = jnp.linalg.solve(fisher_information(jac, ivar), jac.T @ (ivar * residual))
            return guess + scale * move

        return lax.fori_loop(0, iterations, step, labels)

    return lax.map(fit, keys, batch_size=20)


def embedded_corner() -> SpectralGrid:
    """Five nodes per label of the embedded grid around a metal-poor giant."""
    grid = load_slice(default_grid_path())
    part = slice(2, 7), slice(1, 6), slice(5, 10)
    axes = tuple(axis[i] for axis, i in zip(grid.axes, part, strict=True))
    return dataclasses.replace(grid, axes=axes, spectra=Factors(grid.flux[part]))


@pytest.mark.parametrize(
    ("grid_of", "mag"),
    [
        (lambda: toy_grid(MODEL_WAVE), 18.0),
        (lambda: toy_grid(MODEL_WAVE), 20.0),
        pytest.param(embedded_corner, 18.0, marks=pytest.mark.slow),
        pytest.param(embedded_corner, 20.0, marks=pytest.mark.slow),
    ],
    ids=["toy-18", "toy-20", "embedded-18", "embedded-20"],
)
def test_maximum_likelihood_scatter_reaches_the_bound(grid_of, mag):
    n_draws = 400
    emulator, noise = make_emulator(to_detector(grid_of())), builtin_noise()
    labels = jnp.array([4700.0, 2.6, -0.5])
    fitted = jax.jit(maximum_likelihood)(
        emulator, noise, labels, mag, jax.random.split(jax.random.key(7), n_draws)
    )
    error = np.asarray(fitted) - np.asarray(labels)
    assert np.isfinite(error).all()

    fisher = fisher_information(flux_jacobian(emulator, labels), 1 / variance(emulator(labels), mag, noise))
    bound = np.asarray(cramer_rao_bound(fisher))
    np.testing.assert_allclose(error.std(axis=0) / bound, 1.0, atol=4 / np.sqrt(2 * n_draws))
    assert (np.abs(error.mean(axis=0)) < 4 * bound / np.sqrt(n_draws)).all()
    # All correlations at once: the error in units of the whole Fisher matrix is chi-squared with 3 degrees.
    chi2 = np.einsum("na,ab,nb->n", error, np.asarray(fisher), error)
    assert abs(chi2.mean() - 3) < 4 * np.sqrt(6 / n_draws)


@pytest.mark.slow
def test_embedded_grid_has_bounds_like_the_published_ones_for_bosz(reference):
    """Same nodes and labels, other spectra and derivatives: within a factor 1.25 at every magnitude."""
    published = json.loads((reference / "published.json").read_text())["fisher_3d"]
    emulator = make_emulator(to_detector(load_slice(default_grid_path())))
    bins = ceiling(ForwardModel(emulator, builtin_noise()), published["mag"]).bins
    for i, found in enumerate(bins):
        assert found.n == 1260
        assert 0.8 < found.bound.median / published["bound_dex_median"][i] < 1.25
        assert abs(found.schur_decay.median - published["schur_decay_median"][i]) < 0.1


def test_toy_spectra_are_what_the_emulator_sees_off_the_nodes():
    emulator = make_emulator(toy_grid(MODEL_WAVE))
    labels = np.array([4900.0, 3.0, -0.4])
    np.testing.assert_allclose(emulator(labels), toy_flux(labels, MODEL_WAVE), rtol=0.01)
