"""Ridge regression in closed form: labels linear in the standardised flux, from one pass over the spectra.

    w = argmin mean (y - w.z)^2 + alpha |w|^2,   z = (flux - mean) / scale
    (Z^T Z / n + alpha I) w = Z^T y / n

The pass adds up Z^T Z and Z^T y, so memory does not grow with the number of spectra; alpha, in units of the
variance of a pixel, is the one with the least squared error on the validation spectra, label by label.
Source: Hoerl & Kennard 1970, Technometrics 12, 55.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import ssyrk

from crlb.errors import DataError, UsageError
from experiments.baselines.protocol import Arrays, Chunk, checked, fitted
from specvit_jax.evaluation.predict import check_flux

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-1.5, 1.6, 0.5))
BLOCK = 1000  # spectra whose products are summed in float32 before they join the float64 total


class Candidate(NamedTuple):
    """Labels linear in the flux, and the settings that gave them."""

    settings: dict[str, float]
    weights: Float[np.ndarray, "n_pix n_labels"]
    intercept: Float[np.ndarray, " n_labels"]


@dataclass
class Linear:
    """Labels linear in the flux, whatever way the weights were found; `chosen` holds settings per label."""

    chosen: dict[str, Float[np.ndarray, " n_labels"]] = field(default_factory=dict, init=False)
    weights: Float[np.ndarray, "n_pix n_labels"] | None = field(default=None, init=False)
    intercept: Float[np.ndarray, " n_labels"] | None = field(default=None, init=False)
    name = "linear"

    def choose(self, candidates: Iterable[Candidate], validation: Chunk) -> None:
        """Keeps, label by label, the candidate with the least squared error on the validation spectra."""
        flux, labels = validation
        best = np.full(labels.shape[1], np.inf)
        weights, intercept = np.zeros((flux.shape[1], len(best))), np.zeros_like(best)
        chosen: Arrays = {}
        for candidate in candidates:
            error = ((flux @ candidate.weights + candidate.intercept - labels) ** 2).mean(axis=0)
            better = error < best
            best[better] = error[better]
            weights[:, better], intercept[better] = candidate.weights[:, better], candidate.intercept[better]
            for setting, value in candidate.settings.items():
                chosen.setdefault(setting, np.zeros_like(best))[better] = value
        self.weights, self.intercept, self.chosen = weights, intercept, chosen

    def predict(
        self, flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n n_labels"]:
        """The labels of noisy spectra; the magnitude is not used."""
        weights = fitted(self.name, self.weights)
        check_flux(flux, len(weights))
        return flux @ weights + fitted(self.name, self.intercept)

    def arrays(self) -> Arrays:
        """Weights, intercept and the settings chosen for every label."""
        weights, intercept = fitted(self.name, self.weights), fitted(self.name, self.intercept)
        return {"weights": weights, "intercept": intercept} | self.chosen

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """The fitted method of `arrays`."""
        found, rest = cls(), dict(arrays)
        found.weights, found.intercept, found.chosen = rest.pop("weights"), rest.pop("intercept"), rest
        return found


@dataclass
class Ridge(Linear):
    """Ridge behind the protocol of all baselines."""

    alphas: Sequence[float] = ALPHAS
    name = "Ridge"

    def __post_init__(self) -> None:
        check_alphas(self.alphas)

    @property
    def alpha(self) -> Float[np.ndarray, " n_labels"] | None:
        """The choice for every label after `fit`."""
        return self.chosen.get("alpha")

    def fit(self, train: Iterable[Chunk], validation: Chunk) -> None:
        """Sums up the training spectra, solves for every alpha, keeps the best per label."""
        sums = add_up(train)
        self.choose(
            (Candidate({"alpha": alpha}, *sums.solve(alpha)) for alpha in self.alphas), checked(validation)
        )


def check_alphas(alphas: Sequence[float]) -> None:
    """Refuses penalties that Ridge cannot use.

    Raises:
        UsageError: none, or one that is not positive.
    """
    if not alphas or not all(alpha > 0 for alpha in alphas):
        raise UsageError(f"alphas must be positive numbers, at least one, found {tuple(alphas)}")


@dataclass(frozen=True)
class Sums:
    """Means and second moments of flux and labels, all about the means."""

    n: int
    flux: Float[np.ndarray, " n_pix"]
    labels: Float[np.ndarray, " n_labels"]
    gram: Float[np.ndarray, "n_pix n_pix"]  # lower triangle only
    cross: Float[np.ndarray, "n_pix n_labels"]

    def solve(
        self, alpha: float
    ) -> tuple[Float[np.ndarray, "n_pix n_labels"], Float[np.ndarray, " n_labels"]]:
        """Weights on the flux itself, where alpha I becomes alpha diag(scale^2), and the intercept."""
        matrix = self.gram.copy(order="F")
        matrix[np.diag_indices_from(matrix)] *= 1 + alpha
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        weights = cho_solve(factor, self.cross)
        return weights, self.labels - self.flux @ weights


def add_up(train: Iterable[Chunk]) -> Sums:
    """One pass over the training spectra; float32 products within a block, float64 between blocks.

    Everything is taken about the mean of the first block, so that no digits cancel.

    Raises:
        DataError: no spectra, values that are not finite, or a pixel that does not vary.
    """
    n, origin = 0, (np.zeros(0), np.zeros(0))
    for flux, labels in blocks(train, BLOCK):
        if n == 0:
            origin = (flux.mean(axis=0, dtype=np.float64), labels.mean(axis=0, dtype=np.float64))
            gram = np.zeros((flux.shape[1], flux.shape[1]), order="F")
            cross = np.zeros((flux.shape[1], labels.shape[1]))
            total = [np.zeros(flux.shape[1]), np.zeros(labels.shape[1])]
        z, y = (flux - origin[0]).astype(np.float32), labels - origin[1]
        gram += ssyrk(1.0, z.T, lower=1)
        cross += z.T.astype(np.float64) @ y
        total = [total[0] + z.sum(axis=0, dtype=np.float64), total[1] + y.sum(axis=0)]
        n += len(z)
    if n == 0:
        raise DataError("a linear method needs at least one training spectrum, found none")
    shift = [part / n for part in total]
    gram /= n
    gram -= np.outer(shift[0], shift[0])
    if not (gram.diagonal() > 0).all():
        raise DataError("every pixel must vary over the training spectra, but some do not")
    return Sums(n, origin[0] + shift[0], origin[1] + shift[1], gram, cross / n - np.outer(*shift))


def blocks(train: Iterable[Chunk], size: int) -> Iterator[Chunk]:
    """The same spectra in pieces of `size`, the last one shorter: a large piece multiplies faster."""
    held: list[Chunk] = []
    for chunk in train:
        held.append(checked(chunk))
        while sum(len(flux) for flux, _ in held) >= size:
            flux, labels = (np.concatenate(parts) for parts in zip(*held, strict=True))
            yield flux[:size], labels[:size]
            held = [(flux[size:], labels[size:])]
    if sum(len(flux) for flux, _ in held):
        flux, labels = (np.concatenate(parts) for parts in zip(*held, strict=True))
        yield flux, labels
