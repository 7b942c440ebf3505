"""What every baseline can do: learn labels from noisy spectra, predict them, be stored."""

from collections.abc import Iterable
from typing import Protocol, Self, TypeVar

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError, UsageError

Chunk = tuple[Float[np.ndarray, "n n_pix"], Float[np.ndarray, "n n_labels"]]
Arrays = dict[str, np.ndarray]
State = TypeVar("State")


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

    def predict(
        self, flux: Float[np.ndarray, "n n_pix"], mag: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n n_labels"]:
        """The labels of noisy spectra, in the order and units of `fit`.

        Args:
            flux: as observed, median about 0.5 over the arm.
            mag: AB magnitude in i, which says how strong the noise is; regressions ignore it.

        Raises:
            UsageError: not fitted yet.
            DataError: no spectra, another number of pixels than in `fit`, or flux that is not finite.
        """
        ...

    def arrays(self) -> Arrays:
        """All that `restore` needs to build it again.

        Raises:
            UsageError: not fitted yet.
        """
        ...

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """The fitted baseline of `arrays`.

        Raises:
            KeyError: an array is missing.
        """
        ...


def fitted(name: str, state: State | None) -> State:
    """What a baseline learnt.

    Raises:
        UsageError: nothing yet.
    """
    if state is None:
        raise UsageError(f"{name} must be fitted before it predicts or is stored; call fit first")
    return state


def checked(chunk: Chunk) -> Chunk:
    """The chunk, its labels in float64.

    Raises:
        DataError: values that are not finite.
    """
    flux, labels = chunk
    if not (np.isfinite(flux).all() and np.isfinite(labels).all()):
        raise DataError("flux and labels must be finite to fit a baseline, found values that are not")
    return flux, labels.astype(np.float64)


def collected(name: str, train: Iterable[Chunk]) -> Chunk:
    """All chunks as one, for a method that needs every spectrum at once.

    Raises:
        DataError: no spectra, or values that are not finite.
    """
    held = [checked(chunk) for chunk in train]
    if not sum(len(flux) for flux, _ in held):
        raise DataError(f"{name} needs at least one spectrum, found none")
    flux, labels = (np.concatenate(parts) for parts in zip(*held, strict=True))
    return flux, labels
