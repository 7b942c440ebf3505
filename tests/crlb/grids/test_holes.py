"""Missing nodes of a grid: found, refused, left out at the least cost, interpolated without extrapolation."""

from itertools import chain, combinations, product

import numpy as np
import pytest

from crlb.errors import DataError
from crlb.grids.grid_file import Nodes, grid_from_nodes
from crlb.grids.holes import complete_part, drop_report, fill_plan, find_holes, mend
from tests.crlb.toy import AXES, LABEL_NAMES, toy_flux

WAVE = np.linspace(7600.0, 8600.0, 40)
NODES = np.stack(np.meshgrid(*AXES, indexing="ij"), axis=-1).reshape(-1, 3)


def without(*missing: tuple[float, ...]) -> np.ndarray:
    gone = [(node == NODES).all(axis=1) for node in missing]
    assert all(g.sum() == 1 for g in gone)
    return NODES[~np.any(gone, axis=0)] if gone else NODES


def mended(labels, holes, flux=None, cont=True):
    flux = toy_flux(labels, WAVE) if flux is None else flux
    return mend(labels, flux, 2 * flux if cont else None, holes, LABEL_NAMES)


def as_grid(result):
    return grid_from_nodes(
        WAVE, Nodes(result.labels, result.flux, result.cont),
        label_names=LABEL_NAMES, resolving_power=1.0, flux_unit="", source="",
    )  # fmt: skip


@pytest.mark.parametrize("policy", ["refuse", "drop", "fill"])
def test_a_complete_tensor_is_left_alone(policy):
    labels = np.random.default_rng(0).permutation(NODES)
    assert len(find_holes(labels)) == 0
    result = mended(labels, policy)
    np.testing.assert_array_equal(result.labels, labels)
    assert not result.filled.any()
    assert result.report == ""


def test_holes_are_found_and_refused_with_a_list():
    labels = without((4300, 2.5, -0.6), (4000, 1, -1))
    np.testing.assert_array_equal(find_holes(labels), [[4000, 1, -1], [4300, 2.5, -0.6]])
    words = r"2 of 100 nodes \(T_eff, log_g, M_H\) are missing: \(4000, 1, -1\) \(4300, 2.5, -0.6\); .*'fill'"
    with pytest.raises(DataError, match=words):
        mended(labels, "refuse")


def test_dropping_leaves_out_the_cheapest_value():
    """A hole costs one T_eff of five, one log g of five (20 nodes each), or one M_H of four (25 nodes)."""
    labels = without((4300, 2.5, -0.6))
    result = mended(labels, "drop")
    assert len(result.labels) == 80
    assert "left out T_eff 4300 because of 1 missing nodes: 80 of 99 spectra are kept" in result.report
    grid = as_grid(result)
    np.testing.assert_array_equal(grid.axes[0], [4000, 4750, 5000, 5500])
    np.testing.assert_allclose(grid.flux, toy_flux(grid.nodes, WAVE).reshape(grid.flux.shape))


def test_a_missing_corner_costs_one_edge():
    labels = without(*((5500, 1, m) for m in AXES[2]))
    assert complete_part(labels).sum() == 80


def best_by_trying_all(labels) -> int:
    """Size of the largest complete tensor, from all subsets of all axes."""
    axes = [np.unique(column) for column in labels.T]
    present = set(map(tuple, labels))

    def subsets(axis):
        return chain.from_iterable(combinations(axis, n) for n in range(1, len(axis) + 1))

    best = 0
    for kept in product(*map(subsets, axes)):
        size = int(np.prod([len(values) for values in kept]))
        if size > best and all(node in present for node in product(*kept)):
            best = size
    return best


@pytest.mark.parametrize("seed", range(6))
def test_dropping_is_the_best_there_is_on_small_grids(seed):
    rng = np.random.default_rng(seed)
    small = np.stack(np.meshgrid(*(np.arange(4.0), np.arange(4.0), np.arange(3.0)), indexing="ij"), -1)
    labels = small.reshape(-1, 3)
    labels = labels[rng.random(len(labels)) > 0.15]
    keep = complete_part(labels)
    assert len(find_holes(labels[keep])) == 0
    assert keep.sum() == best_by_trying_all(labels)


def test_filling_is_exact_for_cubic_log_flux_on_an_irregular_axis():
    """T_eff is (with log g) the longest axis: five values. Its cubic through four nodes is exact."""
    x = (NODES[:, 0] - 4800) / 800
    flux = np.exp((x + 0.5 * x**2 - 0.3 * x**3)[:, None] * np.linspace(-1, 1, 40)) * (2 + NODES[:, 1:2])
    hole = (NODES == [4750, 2.5, -0.6]).all(axis=1)
    result = mended(NODES[~hole], "fill", flux[~hole])
    assert result.filled.sum() == 1
    assert result.report == "interpolated 1 of 100 nodes: (4750, 2.5, -0.6)"
    np.testing.assert_allclose(result.flux[result.filled], flux[hole], rtol=1e-12)
    np.testing.assert_allclose(result.cont[result.filled], 2 * flux[hole], rtol=1e-12)
    np.testing.assert_array_equal(result.labels[result.filled], NODES[hole])


def test_filling_goes_along_the_longest_axis():
    labels = NODES[NODES[:, 1] < 3.0]  # T_eff 5, log g 3, M_H 4 values
    labels = labels[~(labels == [4750, 2.0, -0.6]).all(axis=1)]
    rows, _ = fill_plan(labels, LABEL_NAMES)[0]
    np.testing.assert_array_equal(labels[rows][:, 0], [4000, 4300, 5000, 5500])


def test_filled_spectra_of_a_smooth_star_are_close():
    holes = ((4300, 2.5, -0.6), (4750, 3.5, -0.3), (5000, 2.0, 0.0))
    result = mended(without(*holes), "fill", cont=False)
    truth = toy_flux(result.labels, WAVE)
    np.testing.assert_allclose(result.flux, truth, rtol=0.02)
    assert result.cont is None
    assert as_grid(result).flux.shape == (5, 5, 4, 40)


def test_real_neighbours_only_and_the_line_through_two_is_linear():
    """Of five T_eff three are gone: the hole between the two left is their geometric mean, weighted."""
    labels = without((4300, 1, 0), (4750, 1, 0), (5000, 1, 0))
    rows, weights = fill_plan(labels, LABEL_NAMES)[1]
    np.testing.assert_array_equal(labels[rows], [[4000, 1, 0], [5500, 1, 0]])
    np.testing.assert_allclose(weights, [0.5, 0.5])


def test_an_edge_is_filled_along_another_axis_where_it_lies_inside():
    labels = without((4000, 2.5, -0.6))
    rows, weights = fill_plan(labels, LABEL_NAMES)[0]
    np.testing.assert_array_equal(labels[rows][:, 1], [1.0, 2.0, 3.5, 4.5])
    assert (labels[rows][:, [0, 2]] == [4000, -0.6]).all()
    np.testing.assert_allclose(weights.sum(), 1.0)


def test_a_corner_would_be_extrapolated_and_is_refused():
    with pytest.raises(DataError, match=r"1 of 2 missing .* without extrapolation: \(4000, 1, -1\); choose"):
        mended(without((4000, 1, -1), (4300, 2.5, -0.6)), "fill")


def test_flux_without_a_logarithm_cannot_be_filled():
    labels = without((4300, 2.5, -0.6))
    flux = toy_flux(labels, WAVE)
    flux[(labels == [4000, 2.5, -0.6]).all(axis=1), 3] = 0.0
    with pytest.raises(DataError, match="finite and positive"):
        mended(labels, "fill", flux)


def test_filled_rows_keep_the_precision_of_the_table():
    labels = without((4300, 2.5, -0.6))
    assert mended(labels, "fill", toy_flux(labels, WAVE).astype(np.float32)).flux.dtype == np.float32


def test_large_grids_with_scattered_holes_are_dealt_with_quickly():
    axes = [np.arange(20.0), np.arange(10.0), np.arange(14.0)]
    labels = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    labels = labels[np.random.default_rng(0).random(len(labels)) > 0.02]
    keep = complete_part(labels)
    assert len(find_holes(labels[keep])) == 0
    assert keep.sum() > 400


def rounded_nodes():
    """A tensor of 3 x 4 x 2 nodes, of which every second row went through float32."""
    axes = ([4000.0, 4999.9, 5250.1], [0.1, 0.3, 0.7, 1.1], [-0.7, 0.0])
    labels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    rounded = labels.copy()
    rounded[::2] = labels[::2].astype(np.float32)
    rounded[1::3, 2] += 1e-9
    return labels, rounded


def test_labels_that_differ_by_rounding_are_one_node():
    labels, rounded = rounded_nodes()
    assert (labels != rounded).any(axis=0).all()
    assert len(find_holes(rounded)) == 0
    assert len(find_holes(rounded[1:])) == 1
    keep = complete_part(rounded[1:])
    assert keep.sum() == 18
    assert "left out log_g 0.1 because" in drop_report(rounded[1:], keep, ("T_eff", "log_g", "M_H"))
