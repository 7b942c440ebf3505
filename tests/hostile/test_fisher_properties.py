"""Fisher algebra for any labels: against exact fractions, in any unit, ever so nearly degenerate."""

from fractions import Fraction

import jax
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crlb.ceilings.ceiling import NodeBounds, summary_of
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
    fix,
    labelled,
    marginal_bounds,
    marginalise,
    reparametrise,
)
from crlb.fisher.matrix import UnidentifiableError, bounds, cramer_rao_bound, fisher_information

NAMES = ("T_eff", "log_g", "M_H", "a_M", "C_M")
EPS = float(np.finfo(float).eps)
# What checks annotations looks at one name of a list by chance; no matrix depends on that.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")
seeds = st.integers(0, 2**32 - 1)


@st.composite
def fishers(draw, least: int = 1, most_condition: float = 10.0, most_unit: float = 30.0) -> LabelledFisher:
    """Fisher matrices of 1 to 5 labels: condition up to 10^10, units from 1e-30 to 1e30 of another."""
    n, share = draw(st.integers(least, 5)), st.floats(0, 1)
    turn, _ = np.linalg.qr(
        np.reshape(draw(st.lists(share, min_size=n * n, max_size=n * n)), (n, n)) + np.eye(n)
    )
    values = 10.0 ** (
        -draw(st.floats(0, most_condition)) * np.array([*draw(st.lists(share, min_size=n, max_size=n))])
    )
    unit = 10.0 ** np.array(draw(st.lists(st.floats(-most_unit, most_unit), min_size=n, max_size=n)))
    matrix = (turn * values) @ turn.T * np.outer(unit, unit)
    return labelled((matrix + matrix.T) / 2, NAMES[:n])


def exact_inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse of the very numbers of a matrix, by elimination with fractions."""
    n = len(matrix)
    rows = [
        [Fraction(x) for x in row] + [Fraction(int(i == j)) for j in range(n)] for i, row in enumerate(matrix)
    ]
    for i in range(n):
        assume(rows[i][i] != 0)
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for j in range(n):
            if j != i:
                rows[j] = [x - rows[j][i] * y for x, y in zip(rows[j], rows[i], strict=True)]
    return np.array([[float(x) for x in row[n:]] for row in rows])


def rounding(fisher: LabelledFisher) -> float:
    """What an inverse may be off by, relative to its diagonal, after a backward stable solution."""
    return 30 * len(fisher.matrix) * EPS * condition_number(fisher)


@given(fishers())
def test_bounds_are_those_of_the_exact_inverse(fisher):
    expected = exact_inverse(fisher.matrix)
    sigma = np.sqrt(np.diag(expected))
    assume(rounding(fisher) < 0.1)
    np.testing.assert_allclose(list(marginal_bounds(fisher).values()), sigma, rtol=rounding(fisher))
    off = (covariance(fisher) - expected) / np.outer(sigma, sigma)
    assert np.abs(off).max() < rounding(fisher)
    assert np.abs(correlation_matrix(fisher)).max() < 1 + rounding(fisher)


@given(fishers(least=2), st.data())
def test_the_schur_complement_is_the_inverse_of_the_inverses_block(fisher, data):
    n = len(fisher.matrix)
    out = data.draw(st.lists(st.sampled_from(range(n)), min_size=1, max_size=n - 1, unique=True))
    rest = [i for i in range(n) if i not in out]
    assume(rounding(fisher) < 0.1)
    found = marginalise(fisher, [NAMES[i] for i in out])
    expected = exact_inverse(exact_inverse(fisher.matrix)[np.ix_(rest, rest)])
    scale = np.sqrt(np.diag(fisher.matrix)[rest])
    assert found.label_names == tuple(NAMES[i] for i in rest)
    np.testing.assert_allclose(
        found.matrix / np.outer(scale, scale), expected / np.outer(scale, scale), atol=rounding(fisher)
    )


@given(fishers(most_condition=20.0))
def test_what_is_nearly_degenerate_is_right_or_refused(fisher):
    try:
        found = marginal_bounds(fisher)
    except UnidentifiableError:
        assert condition_number(fisher) > 1e10  # there are reasons
        return
    sigma = np.sqrt(np.diag(exact_inverse(fisher.matrix)))
    np.testing.assert_allclose(list(found.values()), sigma, rtol=0.05)


@given(fishers(least=2))
def test_to_know_more_never_widens_a_bound(fisher):
    marginal, conditional = marginal_bounds(fisher), conditional_bounds(fisher)
    known = marginal_bounds(fix(fisher, [NAMES[0]]))
    with_prior = marginal_bounds(add_prior(fisher, {NAMES[0]: marginal[NAMES[0]] / 3}))
    slack = 1 + rounding(fisher)
    for name, bound in marginal.items():
        assert conditional[name] <= bound * slack
        assert known.get(name, 0) <= bound * slack
        assert with_prior[name] <= bound * slack
    np.testing.assert_allclose(with_prior[NAMES[0]], marginal[NAMES[0]] / np.sqrt(10), rtol=rounding(fisher))


@given(fishers(), st.data())
def test_nothing_depends_on_units(fisher, data):
    n = len(fisher.matrix)
    unit = 10.0 ** np.array(data.draw(st.lists(st.floats(-30, 30), min_size=n, max_size=n)))
    other = LabelledFisher(fisher.matrix * np.outer(unit, unit), fisher.label_names)
    found, expected = (np.array(list(marginal_bounds(one).values())) for one in (other, fisher))
    np.testing.assert_allclose(found * unit, expected, rtol=rounding(fisher))
    if n > 1:
        less = marginalise(other, NAMES[:1]).matrix / np.outer(unit[1:], unit[1:])
        scale = np.sqrt(np.diag(fisher.matrix)[1:])
        difference = (less - marginalise(fisher, NAMES[:1]).matrix) / np.outer(scale, scale)
        assert np.abs(difference).max() < rounding(fisher)
    renamed = reparametrise(
        fisher, {name: {name: 1 / u} for name, u in zip(fisher.label_names, unit, strict=True)}
    )
    np.testing.assert_allclose(renamed.matrix, other.matrix, rtol=1e-9)


@given(st.lists(fishers(most_condition=3.0, most_unit=3.0), min_size=1, max_size=4), st.randoms())
def test_information_of_independent_spectra_adds_in_any_order(parts, chance):
    total = combine(parts)
    for a in total.label_names:
        for b in total.label_names:
            each = [
                one.matrix[one.label_names.index(a), one.label_names.index(b)]
                for one in parts
                if {a, b} <= set(one.label_names)
            ]
            at = total.label_names.index(a), total.label_names.index(b)
            np.testing.assert_allclose(total.matrix[at], sum(each), rtol=1e-12, atol=0)
    chance.shuffle(parts)
    again = marginal_bounds(combine(parts))
    for name, bound in marginal_bounds(total).items():
        np.testing.assert_allclose(again[name], bound, rtol=1e-7)


@given(fishers(most_condition=4.0, most_unit=6.0), seeds)
def test_a_prior_adds_the_inverse_of_its_covariance(fisher, seed):
    n, chance = len(fisher.matrix), np.random.default_rng(seed)
    root = chance.normal(size=(n, n)) + 3 * np.eye(n)
    prior = root @ root.T / np.outer(*[np.sqrt(np.diag(fisher.matrix))] * 2)
    found = add_prior_covariance(fisher, (prior + prior.T) / 2, fisher.label_names)
    np.testing.assert_allclose(found.matrix, fisher.matrix + exact_inverse(prior), rtol=1e-7)
    none = add_prior(fisher, dict.fromkeys(fisher.label_names, np.inf))
    np.testing.assert_array_equal(none.matrix, fisher.matrix)


@given(seeds, st.sampled_from([1, 3]), st.floats(1e-6, 1e6), st.floats(1.0, 1e3))
def test_more_light_never_widens_a_bound_and_scales_it_as_one_over_snr(seed, n, level, more):
    chance = np.random.default_rng(seed)
    jac, ivar = chance.normal(size=(30, n)), level * chance.random(30)
    with jax.enable_x64(True):
        before = np.asarray(cramer_rao_bound(fisher_information(jac, ivar)))
        brighter = np.asarray(cramer_rao_bound(fisher_information(jac, more**2 * ivar)))
        halves = [np.asarray(fisher_information(jac[part], ivar[part])) for part in (slice(7), slice(7, 30))]
        whole = np.asarray(fisher_information(jac, ivar))
        ivar[chance.integers(30)] *= more
        one_pixel = np.asarray(cramer_rao_bound(fisher_information(jac, ivar)))
    np.testing.assert_allclose(brighter * more, before, rtol=1e-9)
    np.testing.assert_allclose(halves[0] + halves[1], whole, rtol=1e-9, atol=1e-9 * level)
    assert (one_pixel <= before * (1 + 1e-9)).all()


@given(seeds, st.floats(1e-30, 1e30), st.floats(1e-3, 1e3))
def test_the_ceiling_has_no_unit_and_grows_with_information(seed, unit, width):
    chance = np.random.default_rng(seed)
    bound, snr = chance.gamma(1.0, width, (9, 1)), chance.gamma(2.0, 5.0, (9, 1))
    nodes = NodeBounds(bound, snr, chance.random((9, 1)), [])
    one = summary_of(nodes, 1.0, 0, 20.0)
    other = summary_of(nodes._replace(bound=bound * unit), unit**2, 0, 20.0)
    better = summary_of(nodes._replace(bound=bound / 2), 1.0, 0, 20.0)
    for name in ("p10", "median", "p90", "mean"):
        found = getattr(one.r2_max, name)
        assert 0 <= found <= 1
        np.testing.assert_allclose(getattr(other.r2_max, name), found, atol=1e-9)
        assert getattr(better.r2_max, name) >= found


WRONG = {
    "nan": (np.full((2, 2), np.nan), "must be finite"),
    "infinite": (np.diag([1.0, np.inf]), "must be finite"),
    "wide": (np.ones((2, 3)), r"must be a square matrix, found shape \(2, 3\)"),
    "vector": (np.ones(2), r"must be a square matrix, found shape \(2,\)"),
    "empty": (np.ones((0, 0)), "at least one label"),
    "lopsided": (np.array([[1.0, 0.5], [0.4, 1.0]]), "must be symmetric"),
    "indefinite": (
        np.array([[1.0, 2.0], [2.0, 1.0]]),
        r"must be positive semidefinite.* found eigenvalue -1",
    ),
    "negative": (np.diag([1.0, -1.0]), r"must be positive semidefinite"),
}


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(("matrix", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_fisher_matrix_is_refused(matrix, words):
    with pytest.raises(DataError, match=f"fisher (needs )?{words}"):
        labelled(matrix, NAMES[: len(matrix)])
    if "symmetric" not in words:  # that bound takes the mean of the two halves
        with pytest.raises(DataError, match=f"fisher (needs )?{words}"):
            cramer_rao_bound(matrix)


@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=3, max_size=3), st.booleans())
def test_any_numbers_give_finite_bounds_or_a_documented_error(rows, mirrored):
    matrix = np.array(rows)
    matrix = np.tril(matrix) + np.tril(matrix, -1).T if mirrored else matrix
    try:
        found = marginal_bounds(labelled(matrix, NAMES[:3]))
    except (DataError, UsageError):
        return
    assert np.isfinite(list(found.values())).all()


@given(seeds, st.integers(0, 2))
def test_a_batch_says_of_each_star_what_it_would_say_alone(seed, lost):
    chance = np.random.default_rng(seed)
    jac = chance.normal(size=(3, 12, 2))
    jac[lost, :, 1] = [jac[lost, :, 0], 0.0, np.nan][seed % 3]
    with jax.enable_x64(True):
        matrices = np.einsum("npa,npb->nab", jac, jac)
        found = bounds(matrices, NAMES[:2])
        for i, matrix in enumerate(matrices):
            if i == lost:
                with pytest.raises((DataError, UsageError)) as refused:
                    cramer_rao_bound(matrix, label_names=NAMES[:2])
                assert found.reason[i] == str(refused.value)
                assert np.isnan(found.sigma[i]).all()
            else:
                np.testing.assert_allclose(found.sigma[i], cramer_rao_bound(matrix), rtol=1e-12)
                assert found.reason[i] == ""
