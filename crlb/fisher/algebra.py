"""Operations on Fisher matrices that carry the names of their labels. Host side, float64.

A Gaussian likelihood of labels x has the log -1/2 (x - x0)^T F (x - x0); so independent data and priors add,
a known label loses its row and column, an unknown nuisance its Schur complement, and x = M y turns F into
M^T F M. All solves are Cholesky after scaling to unit diagonal: no unit matters, and what cannot be known
raises UnidentifiableError, which names it. Source: Coe 2009, arXiv:0906.4123; Vallisneri, gr-qc/0703086.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import solve_triangular
from scipy.special import chdtri

from crlb.errors import DataError, UsageError
from crlb.fisher.matrix import ROUNDING_UNITS, check_square, fisher_covariance, indefinite
from crlb.suggest import meant

ASYMMETRY = 1e-6  # of sqrt(F_aa F_bb): a Fisher matrix computed in float32 is symmetric to this
# Beyond this the inverse of a set of combinations, in scaled units, is rounding.
LARGEST_CONDITION = 1 / (ROUNDING_UNITS * np.finfo(np.float64).eps)


class LabelledFisher(NamedTuple):
    """A Fisher matrix in 1/(unit of a * unit of b), and what its rows and columns stand for."""

    matrix: Float[np.ndarray, "n n"]
    label_names: tuple[str, ...]

    def bound(self, label: str) -> float:
        """Returns the 1-sigma bound of one label with all others unknown, in its unit.

        Raises:
            UsageError: no such label. UnidentifiableError: the labels cannot be told apart.
        """
        _indices(self, [label])
        return marginal_bounds(self)[label]


class Ellipse(NamedTuple):
    """A confidence ellipse of two labels, centred on their values.

    The first label is drawn to the right, in its unit, the second upwards; `angle_deg` is that of the major
    axis, from the right, counterclockwise, -90 to 90 (it depends on the units, as any picture does).
    """

    label_names: tuple[str, str]
    probability: float
    semi_major: float
    semi_minor: float
    angle_deg: float


def labelled(
    matrix: Float[Array | np.ndarray, "n_labels n_labels"], label_names: Sequence[str]
) -> LabelledFisher:
    """Returns a Fisher matrix with its names, checked.

    Raises:
        UsageError: names are repeated, or not one per row.
        DataError: the matrix is not square, not finite, not symmetric, or has negative eigenvalues.
    """
    values, names = np.array(matrix, np.float64), tuple(label_names)
    check_square(values)
    if len(names) != len(values) or len(set(names)) != len(names):
        raise UsageError(f"label_names: needed {len(values)} different names, found {', '.join(names)}")
    if not np.isfinite(values).all():
        raise DataError("fisher must be finite, found NaN or infinity; are the labels inside the grid?")
    scale = np.sqrt(np.abs(np.diag(values)))
    if (np.abs(values - values.T) > ASYMMETRY * np.outer(scale, scale)).any():
        raise DataError("fisher must be symmetric; pass the matrix of second derivatives, not a Jacobian")
    if wrong := indefinite(values):
        raise wrong
    return LabelledFisher((values + values.T) / 2, names)


def fix(fisher: LabelledFisher, labels: Sequence[str]) -> LabelledFisher:
    """Returns the Fisher matrix of the other labels where these are known exactly: their rows fall away."""
    rest = _others(fisher, labels)
    return LabelledFisher(fisher.matrix[np.ix_(rest, rest)], tuple(fisher.label_names[i] for i in rest))


def marginalise(fisher: LabelledFisher, labels: Sequence[str]) -> LabelledFisher:
    """Returns the Fisher matrix of the other labels where these are unknown: F_AA - F_AB F_BB^-1 F_BA.

    Raises:
        UnidentifiableError: the whole matrix is singular, so that rounding would pass for information;
            combine it with the other data, or add priors, before marginalising.
    """
    if not labels:
        return fisher
    rest, out = _others(fisher, labels), _indices(fisher, labels)
    scale, scaled = _scaled(fisher)
    covariance(fisher)
    root = np.linalg.cholesky(scaled[np.ix_(out, out)])
    shared = solve_triangular(root, scaled[np.ix_(out, rest)], lower=True)
    reduced = (scaled[np.ix_(rest, rest)] - shared.T @ shared) * np.outer(scale[rest], scale[rest])
    return LabelledFisher(reduced, tuple(fisher.label_names[i] for i in rest))


def add_prior(fisher: LabelledFisher, sigma: Mapping[str, float]) -> LabelledFisher:
    """Returns the Fisher matrix with independent Gaussian priors of these 1-sigma widths, in label units.

    Raises:
        UsageError: an unknown label, or a width that is not positive (inf for no prior).
    """
    widths = np.array(list(sigma.values()), np.float64)
    if not (widths > 0).all():
        raise UsageError(f"prior_sigma must be positive (inf for no prior), found {dict(sigma)}")
    matrix, chosen = fisher.matrix.copy(), _indices(fisher, list(sigma))
    matrix[chosen, chosen] += 1 / widths**2
    return LabelledFisher(matrix, fisher.label_names)


def add_prior_covariance(
    fisher: LabelledFisher, covariance: Float[np.ndarray, "m m"], labels: Sequence[str]
) -> LabelledFisher:
    """Returns the Fisher matrix with one Gaussian prior of this covariance on these labels.

    Raises:
        UsageError: an unknown label.
        DataError: the covariance is not symmetric.
        UnidentifiableError: the covariance is not positive definite.
    """
    _indices(fisher, labels)
    prior = labelled(covariance, labels)  # the inverse of either matrix is the other
    with jax.enable_x64(True):
        information = np.asarray(fisher_covariance(prior.matrix, [f"prior on {name}" for name in labels]))
    return combine([fisher, LabelledFisher(information, tuple(labels))])


def combine(fishers: Sequence[LabelledFisher], private: Sequence[str] = ()) -> LabelledFisher:
    """Returns the Fisher matrix of independent data sets together: exposures, arms, priors.

    Labels of the same name are the same unknown and add; one that a data set does not have gets nothing
    from it. Names come in the order of their first appearance.

    Args:
        fishers: one Fisher matrix per data set, over any labels.
        private: labels that every data set has its own of (a continuum, a velocity zero point): "name" of
            the i-th set, from 0, becomes "name[i]".

    Raises:
        UsageError: there is nothing to combine, or no data set has a private label.
    """
    if not fishers:
        raise UsageError("combine: needed at least one Fisher matrix, found none")
    unknown = set(private) - {name for fisher in fishers for name in fisher.label_names}
    if unknown:
        raise UsageError(f"private: no data set has {', '.join(sorted(unknown))}")
    renamed = [
        [f"{name}[{i}]" if name in private else name for name in fisher.label_names]
        for i, fisher in enumerate(fishers)
    ]
    names = list(dict.fromkeys(name for own in renamed for name in own))
    total = np.zeros((len(names), len(names)))
    for fisher, own in zip(fishers, renamed, strict=True):
        index = [names.index(name) for name in own]
        total[np.ix_(index, index)] += fisher.matrix
    return LabelledFisher(total, tuple(names))


def reparametrise(fisher: LabelledFisher, combinations: Mapping[str, Mapping[str, float]]) -> LabelledFisher:
    """Returns the Fisher matrix of new labels, each a combination of the old: new = T old, T^-T F T^-1.

    Args:
        fisher: over the old labels.
        combinations: new name -> {old name: coefficient}, as many as there are old labels, for example
            {"log_g": {"log_g": 1}, "ratio": {"M_H": 1, "log_g": -0.3}}.

    Raises:
        UsageError: too few or too many combinations, or they depend on each other, or an unknown label.
    """
    names, n = tuple(combinations), len(fisher.label_names)
    if len(names) != n:
        raise UsageError(f"combinations: needed {n}, one per old label, found {len(names)}")
    transform = np.zeros((n, n))
    for row, parts in zip(transform, combinations.values(), strict=True):
        row[_indices(fisher, list(parts))] = list(parts.values())
    scale = np.sqrt(np.where(np.diag(fisher.matrix) > 0, np.diag(fisher.matrix), 1.0))
    scaled = transform / scale
    size = np.linalg.norm(scaled, axis=1)
    if not (size > 0).all() or np.linalg.cond(scaled / size[:, None]) > LARGEST_CONDITION:
        raise UsageError(f"combinations {', '.join(names)} must not depend on each other")
    inverse = np.linalg.inv(scaled / size[:, None])  # both sides in units of order one
    matrix = inverse.T @ (fisher.matrix / np.outer(scale, scale)) @ inverse / np.outer(size, size)
    return LabelledFisher((matrix + matrix.T) / 2, names)


def covariance(fisher: LabelledFisher) -> Float[np.ndarray, "n n"]:
    """Returns F^-1: the smallest covariance of unbiased estimates, unit of a * unit of b."""
    with jax.enable_x64(True):
        return np.asarray(fisher_covariance(fisher.matrix, fisher.label_names))


def conditional_bounds(fisher: LabelledFisher) -> dict[str, float]:
    """Returns the 1-sigma bound of every label where all others are known: 1/sqrt(F_ii), inf at no effect."""
    return {
        name: 1 / math.sqrt(value) if value > 0 else math.inf
        for name, value in zip(fisher.label_names, np.diag(fisher.matrix).tolist(), strict=True)
    }


def marginal_bounds(fisher: LabelledFisher) -> dict[str, float]:
    """Returns the 1-sigma bound of every label where all others are unknown: sqrt((F^-1)_ii)."""
    return dict(zip(fisher.label_names, np.sqrt(np.diag(covariance(fisher))).tolist(), strict=True))


def correlation_matrix(fisher: LabelledFisher) -> Float[np.ndarray, "n n"]:
    """Returns C_ab / sqrt(C_aa C_bb) of the bound's covariance C = F^-1, -1 to 1."""
    matrix = covariance(fisher)
    sigma = np.sqrt(np.diag(matrix))
    return np.asarray(matrix / np.outer(sigma, sigma))


def ellipse(fisher: LabelledFisher, pair: tuple[str, str], probability: float = 0.6827) -> Ellipse:
    """Returns where two labels lie with this probability, all others unknown: d^T C^-1 d = chi2 quantile.

    Raises:
        UsageError: an unknown label, or a probability not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise UsageError(f"probability must lie between 0 and 1, found {probability}")
    chosen = _indices(fisher, pair)
    if len(chosen) != 2:
        raise UsageError(f"pair: needed two labels, found {', '.join(pair)}")
    (xx, xy), (_, yy) = covariance(fisher)[np.ix_(chosen, chosen)]
    largest = (xx + yy + math.hypot(xx - yy, 2 * xy)) / 2
    # Determinant over largest, not a difference: the units may be far apart.
    smallest = xx * yy * (1 - xy * xy / (xx * yy)) / largest
    radius = math.sqrt(chdtri(2.0, 1 - probability))
    angle = math.degrees(0.5 * math.atan2(2 * xy, xx - yy))
    axes = radius * math.sqrt(largest), radius * math.sqrt(smallest)
    return Ellipse((pair[0], pair[1]), probability, *axes, angle)


def outline(shape: Ellipse, n: int = 181) -> Float[np.ndarray, "n 2"]:
    """Returns `n` points of the ellipse relative to its centre, the last equal to the first, label units."""
    turn, tilt = np.linspace(0, 2 * np.pi, n), math.radians(shape.angle_deg)
    major, minor = shape.semi_major * np.cos(turn), shape.semi_minor * np.sin(turn)
    cos, sin = math.cos(tilt), math.sin(tilt)
    return np.stack([cos * major - sin * minor, sin * major + cos * minor], axis=1)


def condition_number(fisher: LabelledFisher) -> float:
    """Returns largest over smallest eigenvalue of the matrix scaled to unit diagonal; inf if singular."""
    values = np.linalg.eigvalsh(_scaled(fisher)[1])
    return float(values[-1] / values[0]) if values[0] > 0 else math.inf


def inversion_residual(fisher: LabelledFisher) -> float:
    """Returns max |F C - 1| with both scaled to the unit diagonal of F: the rounding in the covariance."""
    scale, scaled = _scaled(fisher)
    product = scaled @ (covariance(fisher) * np.outer(scale, scale))
    return float(np.abs(product - np.eye(len(scaled))).max())


def _scaled(fisher: LabelledFisher) -> tuple[np.ndarray, np.ndarray]:
    """sqrt(F_ii), and the matrix with unit diagonal; a label without effect keeps its zeros."""
    diagonal = np.diag(fisher.matrix)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return scale, fisher.matrix / np.outer(scale, scale)


def _indices(fisher: LabelledFisher, labels: Sequence[str]) -> list[int]:
    for name in labels:
        if name not in fisher.label_names:
            known = fisher.label_names
            raise UsageError(f"unknown label {name}: needed one of {', '.join(known)}{meant(name, known)}")
    if len(set(labels)) != len(labels):
        raise UsageError(f"labels must differ, found {', '.join(labels)}")
    return [fisher.label_names.index(name) for name in labels]


def _others(fisher: LabelledFisher, labels: Sequence[str]) -> list[int]:
    chosen = set(_indices(fisher, labels))
    rest = [i for i in range(len(fisher.label_names)) if i not in chosen]
    if not rest:
        raise UsageError(f"at least one label must remain, found all of {', '.join(labels)}")
    return rest
