"""What every baseline can do: learn labels from noisy spectra that arrive in chunks, and predict them."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from jaxtyping import Float

Chunk = tuple[Float[np.ndarray, "n n_pix"], Float[np.ndarray, "n n_labels"]]


class Baseline(Protocol):
    """A method to compare SpecViT with. Flux is noisy, as SpecViT sees it; labels are in their own units."""

    @property
    def name(self) -> str:
        """As it appears in figures and tables."""
        ...

    def fit(self, train: Iterable[Chunk], validation: Chunk) -> None:
        """Learns from chunks of any size, taken once; settles its own settings on the validation spectra.

        Raises:
            DataError: no spectra, or values that are not finite.
        """
        ...

    def predict(self, flux: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, "n n_labels"]:
        """The labels of noisy spectra, in the order and units of `fit`.

        Raises:
            UsageError: not fitted yet.
        """
        ...
