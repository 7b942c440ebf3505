"""Scaling of labels and spectra: what the network sees and what it predicts are of order one."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from crlb.errors import DataError, UsageError


class LabelScaler(NamedTuple):
    """z-score of labels: scaled = (labels - mean) / scale. A pytree."""

    mean: Float[Array | np.ndarray, " n_labels"]
    scale: Float[Array | np.ndarray, " n_labels"]

    def encode(
        self, labels: Float[Array | np.ndarray, "n n_labels"]
    ) -> Float[Array | np.ndarray, "n n_labels"]:
        """Labels in their units -> scaled."""
        return (labels - self.mean[None, :]) / self.scale[None, :]

    def decode(
        self, scaled: Float[Array | np.ndarray, "n n_labels"]
    ) -> Float[Array | np.ndarray, "n n_labels"]:
        """Scaled -> labels in their units."""
        return scaled * self.scale[None, :] + self.mean[None, :]


class InputScaler(NamedTuple):
    """What a network sees of a noisy spectrum: scaled = (flux - mean) / scale, then whitened. A pytree.

    Args:
        mean: of every pixel.
        scale: of every pixel.
        analysis: spectrum -> components of unit variance; None: no whitening.
        synthesis: components -> whitened spectrum (ZCA); None: the components themselves (PCA).
    """

    mean: Float[Array | np.ndarray, " n_pix"]
    scale: Float[Array | np.ndarray, " n_pix"]
    analysis: Float[Array | np.ndarray, "n_pix k"] | None = None
    synthesis: Float[Array | np.ndarray, "k n_pix"] | None = None

    def encode(self, flux: Float[Array | np.ndarray, "n n_pix"]) -> Float[Array | np.ndarray, "n n_in"]:
        """Noisy flux -> network input."""
        x = (flux - self.mean[None, :]) / self.scale[None, :]
        x = x if self.analysis is None else x @ self.analysis
        return x if self.synthesis is None else x @ self.synthesis


def measured_scaler(labels: Float[np.ndarray, "n n_labels"]) -> LabelScaler:
    """z-score of the labels at hand.

    Raises:
        UsageError: a label does not vary.
    """
    mean, scale = labels.mean(axis=0, dtype=np.float64), labels.std(axis=0, dtype=np.float64)
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise UsageError(f"every label to be predicted must vary, found standard deviations {scale.tolist()}")
    return LabelScaler(mean.astype(np.float32), scale.astype(np.float32))


class Moments:
    """Running mean and variance per pixel over chunks of spectra, accumulated in float64."""

    def __init__(self) -> None:
        self.n = 0
        self.mean: np.ndarray | float = 0.0
        self.squares: np.ndarray | float = 0.0

    def add(self, flux: Float[np.ndarray, "n n_pix"]) -> None:
        """Takes in a chunk (Chan, Golub & LeVeque 1983, Am. Stat. 37, 242: update of paired samples)."""
        values = flux.astype(np.float64)
        mean = values.mean(axis=0)
        n, shift = self.n + len(values), mean - self.mean
        self.squares = self.squares + ((values - mean) ** 2).sum(axis=0)
        self.squares = self.squares + shift**2 * (self.n * len(values) / n)
        self.mean, self.n = self.mean + shift * (len(values) / n), n

    def scaler(self, overall: bool = False) -> InputScaler:
        """Standardisation per pixel, or with one mean and one scale for all pixels (`overall`).

        Raises:
            DataError: a pixel does not vary, or is not finite.
        """
        mean, variance = np.asarray(self.mean), np.asarray(self.squares) / self.n
        if overall:
            variance = np.full_like(mean, variance.mean() + mean.var())
            mean = np.full_like(mean, mean.mean())
        if not (np.isfinite(variance) & (variance > 0)).all():
            worst = int(np.argmin(np.isfinite(variance) & (variance > 0)))
            raise DataError(f"every pixel must vary from spectrum to spectrum, but pixel {worst} does not")
        return InputScaler(mean.astype(np.float32), np.sqrt(variance).astype(np.float32))
