"""Regression on components of the flux, from the same sums over the spectra as Ridge: PCA and PLS.

Both standardise every pixel first, take their components from one pass over the training spectra, and choose
how many to keep on the validation spectra, label by label.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from crlb.errors import UsageError
from experiments.baselines.protocol import Chunk, checked
from experiments.baselines.ridge import Candidate, Linear, Sums, add_up, check_alphas

COUNTS = (8, 16, 24, 32, 64, 128, 256, 512, 1024)  # principal components tried
ALPHAS = (1e-3, 0.1, 0.3, 1.0, 3.0)  # tried, in units of the variance of a pixel
MOST_PLS = 20  # PLS components tried: from 1 to this


@dataclass
class PCARidge(Linear):
    """Ridge on the leading principal components of the standardised flux.

        Z^T Z / n = V diag(variance) V^T,   weight of component i = v_i^T Z^T y / n / (variance_i + alpha)

    Source: Jolliffe 1982, J. R. Stat. Soc. C 31, 300 (principal components in regression).
    """

    counts: Sequence[int] = COUNTS
    alphas: Sequence[float] = ALPHAS
    name = "PCA + Ridge"

    def __post_init__(self) -> None:
        check_alphas(self.alphas)
        check_counts(self.counts)

    def fit(self, train: Iterable[Chunk], validation: Chunk) -> None:
        """Sums up the training spectra; keeps the best number of components and alpha per label."""
        self.choose(self.candidates(add_up(train)), checked(validation))

    def candidates(self, sums: Sums) -> Iterator[Candidate]:
        """The solution for every number of components, at most one per pixel, and every alpha."""
        counts = [min(count, len(sums.flux)) for count in self.counts]
        scale, vectors, variance = principal(sums, max(counts))
        cross = vectors.T @ (sums.cross / scale[:, None])
        for count in sorted(set(counts)):
            for alpha in self.alphas:
                inner = cross[:count] / (variance[:count, None] + alpha)
                weights = vectors[:, :count] @ inner / scale[:, None]
                settings = {"n_components": count, "alpha": alpha}
                yield Candidate(settings, weights, sums.labels - sums.flux @ weights)


@dataclass
class PLS(Linear):
    """Partial least squares, each label by itself (PLS1)."""

    most: int = MOST_PLS
    name = "PLS"

    def __post_init__(self) -> None:
        check_counts((self.most,))

    def fit(self, train: Iterable[Chunk], validation: Chunk) -> None:
        """Sums up the training spectra; keeps the best number of components per label."""
        self.choose(self.candidates(add_up(train)), checked(validation))

    def candidates(self, sums: Sums) -> Iterator[Candidate]:
        """The solution for every number of components, at most one per pixel."""
        scale, gram = standardised(sums)
        most = min(self.most, len(scale))
        each = [pls(gram, column / scale, most) for column in sums.cross.T]
        for i in range(most):
            weights = np.stack([steps[i] for steps in each], axis=1) / scale[:, None]
            yield Candidate({"n_components": i + 1}, weights, sums.labels - sums.flux @ weights)


def check_counts(counts: Sequence[int]) -> None:
    """Refuses numbers of components that cannot be.

    Raises:
        UsageError: none, or one below 1.
    """
    if not counts or min(counts) < 1:
        raise UsageError(f"numbers of components must be at least 1, found {tuple(counts)}")


def standardised(sums: Sums) -> tuple[Float[np.ndarray, " n_pix"], Float[np.ndarray, "n_pix n_pix"]]:
    """Standard deviation of every pixel, and the correlation matrix Z^T Z / n, both triangles."""
    scale = np.sqrt(sums.gram.diagonal())
    gram = np.tril(sums.gram)
    gram += np.tril(gram, -1).T
    gram /= scale[:, None]
    gram /= scale[None, :]
    return scale, gram


def principal(
    sums: Sums, count: int
) -> tuple[Float[np.ndarray, " n_pix"], Float[np.ndarray, "n_pix k"], Float[np.ndarray, " k"]]:
    """Standard deviation of every pixel; leading principal directions of the standardised flux, the largest
    first; the variance along each."""
    scale, gram = standardised(sums)
    n_pix = len(scale)
    variance, vectors = eigh(gram, subset_by_index=[n_pix - count, n_pix - 1], overwrite_a=True)
    return scale, vectors[:, ::-1], variance[::-1]


def directions(sums: Sums, n_principal: int, n_pls: int) -> Float[np.ndarray, "n_pix k"]:
    """Directions in flux that say most: principal ones, then what every PLS component of every label adds."""
    scale, vectors, _ = principal(sums, min(n_principal, len(sums.flux)))
    _, gram = standardised(sums)
    steps = [np.stack(pls(gram, column / scale, n_pls), axis=1) for column in sums.cross.T]
    added = [np.diff(each, axis=1, prepend=0.0) for each in steps]
    return np.concatenate([vectors, *added], axis=1) / scale[:, None]


def pls(
    gram: Float[np.ndarray, "n_pix n_pix"], cross: Float[np.ndarray, " n_pix"], most: int
) -> list[Float[np.ndarray, " n_pix"]]:
    """Weights on the standardised flux with 1, 2, ... `most` components; fewer differ where no more exist.

    w = X^T y, deflated; r = w - sum_j (p_j.w) r_j; p = X^T X r / (r.X^T X r); q = r.X^T y / (r.X^T X r);
    weights = sum r q. The spectra enter through X^T X and X^T y alone.

    Source: Dayal & MacGregor 1997, J. Chemometrics 11, 73 (improved kernel algorithm 2).
    """
    weights, found = np.zeros_like(cross), []
    rotations: list[np.ndarray] = []
    loadings: list[np.ndarray] = []
    residual, floor = cross.copy(), 1e-10 * np.linalg.norm(cross)
    for _ in range(most):
        length = np.linalg.norm(residual)
        if length > floor:
            w = residual / length
            r = w - sum((p @ w * r for p, r in zip(loadings, rotations, strict=True)), np.zeros_like(w))
            image = gram @ r
            size = r @ image
            q = r @ cross / size
            rotations.append(r)
            loadings.append(image / size)
            residual = residual - image * q
            weights = weights + r * q
        found.append(weights)
    return found
