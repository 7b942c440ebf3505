"""Operations on Fisher matrices against plain inverses, one combined fit, random draws, and symmetries."""

import numpy as np
import pytest
from scipy.stats import chi2

from crlb.errors import DataError, UsageError
from crlb.fisher.algebra import (
    LabelledFisher,
    add_prior,
    add_prior_covariance,
    combine,
    condition_number,
    conditional_bounds,
    correlation_matrix,
    covariance,
    ellipse,
    fix,
    inversion_residual,
    labelled,
    marginal_bounds,
    marginalise,
    outline,
    reparametrise,
)
from crlb.fisher.matrix import UnidentifiableError, fisher_information

NAMES = ("T_eff", "log_g", "M_H", "amplitude")
X = np.linspace(-1, 1.4, 70)
DESIGN = np.stack([X, np.exp(-(X**2)), np.cos(3 * X), np.ones_like(X)], axis=1) * [0.01, 1.0, 2.0, 0.5]
IVAR = 1 / (0.1 + 0.05 * np.cos(3 * X)) ** 2


@pytest.fixture
def fisher():
    return labelled(fisher_information(DESIGN, IVAR), NAMES)


def inverse(fisher):
    return np.linalg.inv(fisher.matrix)


def test_fixing_drops_rows_and_marginalising_drops_rows_of_the_covariance(fisher):
    known = fix(fisher, ["M_H", "T_eff"])
    assert known.label_names == ("log_g", "amplitude")
    np.testing.assert_array_equal(known.matrix, fisher.matrix[np.ix_([1, 3], [1, 3])])
    unknown = marginalise(fisher, ["M_H", "T_eff"])
    assert unknown.label_names == ("log_g", "amplitude")
    np.testing.assert_allclose(inverse(unknown), inverse(fisher)[np.ix_([1, 3], [1, 3])], rtol=1e-10)
    assert marginalise(fisher, []) is fisher


def test_marginalising_does_not_change_the_bounds_of_what_remains(fisher):
    before, after = marginal_bounds(fisher), marginal_bounds(marginalise(fisher, ["amplitude"]))
    assert list(after) == list(NAMES[:3])
    for name, bound in after.items():
        np.testing.assert_allclose(bound, before[name], rtol=1e-10)


def test_bounds_are_those_of_the_plain_inverse(fisher):
    np.testing.assert_allclose(list(marginal_bounds(fisher).values()), np.sqrt(np.diag(inverse(fisher))))
    np.testing.assert_allclose(list(conditional_bounds(fisher).values()), np.diag(fisher.matrix) ** -0.5)
    np.testing.assert_allclose(covariance(fisher), inverse(fisher), rtol=1e-9)
    sigma = np.sqrt(np.diag(inverse(fisher)))
    correlation = inverse(fisher) / np.outer(sigma, sigma)
    np.testing.assert_allclose(correlation_matrix(fisher), correlation, rtol=1e-9)
    assert conditional_bounds(labelled(np.diag([4.0, 0.0]), NAMES[:2])) == {"T_eff": 0.5, "log_g": np.inf}


def test_priors_add_the_inverse_of_their_covariance(fisher):
    wide = add_prior(fisher, {"log_g": 0.2, "T_eff": np.inf})
    np.testing.assert_allclose(wide.matrix - fisher.matrix, np.diag([0, 25.0, 0, 0]), atol=1e-9)
    prior = np.array([[0.04, 0.01], [0.01, 0.09]])
    full = add_prior_covariance(fisher, prior, ["M_H", "log_g"])
    expected = fisher.matrix.copy()
    expected[np.ix_([2, 1], [2, 1])] += np.linalg.inv(prior)
    np.testing.assert_allclose(full.matrix, expected, rtol=1e-12)
    diagonal = add_prior_covariance(fisher, np.diag([0.04]), ["log_g"])
    np.testing.assert_allclose(diagonal.matrix, add_prior(fisher, {"log_g": 0.2}).matrix, rtol=1e-14)


def test_combined_arms_equal_one_fit_of_all_pixels_with_private_offsets():
    blue, red = X < 0.3, X >= 0.3
    arms = [
        labelled(fisher_information(DESIGN[blue], IVAR[blue]), NAMES),
        labelled(fisher_information(DESIGN[red][:, ::-1], IVAR[red]), NAMES[::-1]),
    ]
    both = combine(arms, private=["amplitude"])
    assert set(both.label_names) == {*NAMES[:3], "amplitude[0]", "amplitude[1]"}
    offsets = DESIGN[:, 3:] * np.stack([blue, red], axis=1)
    whole = labelled(
        fisher_information(np.hstack([DESIGN[:, :3], offsets]), IVAR),
        (*NAMES[:3], "amplitude[0]", "amplitude[1]"),
    )
    order = [both.label_names.index(name) for name in whole.label_names]
    np.testing.assert_allclose(both.matrix[np.ix_(order, order)], whole.matrix, rtol=1e-10, atol=1e-9)
    shared = combine(arms)
    np.testing.assert_allclose(shared.matrix, np.asarray(fisher_information(DESIGN, IVAR)), rtol=1e-10)


def test_a_label_only_one_arm_has_gets_nothing_from_the_other(fisher):
    other = labelled(np.array([[3.0, 1.0], [1.0, 2.0]]), ("C_M", "log_g"))
    both = combine([fisher, other])
    assert both.label_names == (*NAMES, "C_M")
    assert both.matrix[1, 1] == fisher.matrix[1, 1] + 2
    np.testing.assert_array_equal(both.matrix[4], [0, 1, 0, 0, 3])


def test_reparametrised_covariance_is_that_of_the_combinations(fisher):
    combinations = {
        "gravity": {"log_g": 1.0},
        "heat": {"T_eff": 1e-3, "log_g": -0.2},
        "ratio": {"M_H": 1.0, "log_g": -0.3},
        "level": {"amplitude": 2.0},
    }
    matrix = np.array([[0, 1, 0, 0], [1e-3, -0.2, 0, 0], [0, -0.3, 1, 0], [0, 0, 0, 2]])
    new = reparametrise(fisher, combinations)
    assert new.label_names == tuple(combinations)
    np.testing.assert_allclose(inverse(new), matrix @ inverse(fisher) @ matrix.T, rtol=1e-9, atol=1e-12)


def test_ellipse_holds_its_probability_of_draws(fisher):
    pair = ("log_g", "amplitude")
    shape = ellipse(fisher, pair, 0.9)
    sub = inverse(fisher)[np.ix_([1, 3], [1, 3])]
    values, vectors = np.linalg.eigh(sub)
    radius = np.sqrt(chi2.ppf(0.9, 2))
    np.testing.assert_allclose([shape.semi_minor, shape.semi_major], radius * np.sqrt(values), rtol=1e-9)
    direction = np.array([np.cos(np.radians(shape.angle_deg)), np.sin(np.radians(shape.angle_deg))])
    np.testing.assert_allclose(abs(direction @ vectors[:, 1]), 1, rtol=1e-12)
    draws = np.random.default_rng(5).multivariate_normal([0, 0], sub, 200_000)
    along, across = draws @ direction, draws @ [-direction[1], direction[0]]
    inside = (along / shape.semi_major) ** 2 + (across / shape.semi_minor) ** 2 < 1
    np.testing.assert_allclose(inside.mean(), 0.9, atol=0.003)  # 4.5 sigma of the count


def test_outline_lies_on_the_surface_of_equal_likelihood(fisher):
    points = outline(ellipse(fisher, ("T_eff", "M_H"), 0.5), 17)
    information = np.linalg.inv(inverse(fisher)[np.ix_([0, 2], [0, 2])])
    surface = np.einsum("ni,ij,nj->n", points, information, points)
    np.testing.assert_allclose(surface, chi2.ppf(0.5, 2), rtol=1e-8)
    np.testing.assert_allclose(points[0], points[-1], atol=1e-9)


def test_nothing_depends_on_units(fisher):
    """Every label in units a million times smaller or larger, and back."""
    unit = np.array([1e6, 1e-6, 1e6, 1e-6])
    other = LabelledFisher(fisher.matrix * np.outer(unit, unit), NAMES)
    np.testing.assert_allclose(
        np.array(list(marginal_bounds(other).values())) * unit,
        list(marginal_bounds(fisher).values()),
        rtol=1e-9,
    )
    keep = unit[:2]
    np.testing.assert_allclose(
        marginalise(other, NAMES[2:]).matrix / np.outer(keep, keep),
        marginalise(fisher, NAMES[2:]).matrix,
        rtol=1e-9,
    )
    np.testing.assert_allclose(correlation_matrix(other), correlation_matrix(fisher), rtol=1e-9)
    np.testing.assert_allclose(condition_number(other), condition_number(fisher), rtol=1e-9)
    combinations = {name: {name: factor} for name, factor in zip(NAMES, 1 / unit, strict=True)}
    combinations["M_H"]["log_g"] = 0.3 / unit[2]
    there = reparametrise(fisher, combinations)
    back = {name: {name: factor} for name, factor in zip(NAMES, unit, strict=True)}
    back["M_H"]["log_g"] = -0.3 * unit[1]
    np.testing.assert_allclose(reparametrise(there, back).matrix, fisher.matrix, rtol=1e-9, atol=1e-9)
    stretched = LabelledFisher(fisher.matrix * np.outer(unit**0.5, unit**0.5), NAMES)
    area = [
        shape.semi_major * shape.semi_minor
        for shape in (ellipse(fisher, NAMES[:2]), ellipse(stretched, NAMES[:2]))
    ]
    np.testing.assert_allclose(area[1] * np.sqrt(unit[0] * unit[1]), area[0], rtol=1e-9)


def test_ellipse_survives_units_far_apart():
    sub = np.array([[1e14, 6e6], [6e6, 1.0]])  # correlation 0.6
    shape = ellipse(labelled(np.linalg.inv(sub), NAMES[:2]), NAMES[:2], 0.5)
    radius = np.sqrt(chi2.ppf(0.5, 2))
    np.testing.assert_allclose([shape.semi_major, shape.semi_minor], [radius * 1e7, radius * 0.8], rtol=1e-6)


def test_condition_and_residual_of_the_scaled_matrix(fisher):
    two = labelled(np.array([[1e8, 0.9e4], [0.9e4, 1.0]]), NAMES[:2])
    np.testing.assert_allclose(condition_number(two), 19, rtol=1e-10)  # (1 + r) / (1 - r)
    assert inversion_residual(two) < 1e-14
    assert inversion_residual(fisher) < 1e-13
    assert condition_number(labelled(np.ones((2, 2)), NAMES[:2])) > 1e15


def test_degenerate_labels_are_named_by_every_operation_that_inverts():
    slope = np.stack([X, 2 * X, np.cos(X)], axis=1)
    fisher = labelled(fisher_information(slope, IVAR), NAMES[:3])
    for operation in (
        marginal_bounds,
        correlation_matrix,
        inversion_residual,
        lambda f: marginalise(f, ["M_H"]),
        lambda f: marginalise(f, ["log_g"]),
        lambda f: ellipse(f, ("T_eff", "M_H")),
    ):
        with pytest.raises(UnidentifiableError, match="T_eff, log_g cannot be told apart"):
            operation(fisher)
    with pytest.raises(UnidentifiableError, match="prior on T_eff, prior on log_g"):
        add_prior_covariance(fisher, np.ones((2, 2)), ["T_eff", "log_g"])


def test_bad_arguments_are_refused_in_words(fisher):
    with pytest.raises(UsageError, match=r"needed 4 different names, found T_eff, T_eff"):
        labelled(fisher.matrix, ["T_eff"] * 4)
    with pytest.raises(DataError, match="finite"):
        labelled(np.full((2, 2), np.nan), NAMES[:2])
    with pytest.raises(DataError, match="symmetric"):
        labelled(np.array([[1.0, 0.5], [0.4, 1.0]]), NAMES[:2])
    with pytest.raises(UsageError, match="unknown label vsini: needed one of T_eff"):
        fix(fisher, ["vsini"])
    with pytest.raises(UsageError, match="at least one label must remain"):
        marginalise(fisher, NAMES)
    with pytest.raises(UsageError, match="must be positive"):
        add_prior(fisher, {"log_g": 0.0})
    with pytest.raises(UsageError, match="no data set has C_M"):
        combine([fisher], private=["C_M"])
    with pytest.raises(UsageError, match="at least one"):
        combine([])
    with pytest.raises(UsageError, match="needed 4, one per old label, found 1"):
        reparametrise(fisher, {"a": {"log_g": 1.0}})
    with pytest.raises(UsageError, match="must not depend on each other"):
        reparametrise(fisher, {str(i): {"log_g": 1.0 + i} for i in range(4)})
    with pytest.raises(UsageError, match="between 0 and 1"):
        ellipse(fisher, NAMES[:2], 1.0)
    with pytest.raises(UsageError, match="must differ"):
        ellipse(fisher, ("log_g", "log_g"))
