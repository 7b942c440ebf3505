"""A trained network as one object: `specvit_jax.load("tiny").predict(flux)`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from specvit_jax.evaluation.predict import Predictions, predict
from specvit_jax.network.find import find_weights
from specvit_jax.network.weights import Weights, load_weights


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network that reads labels from noisy spectra.

    Args:
        weights: its parameters, configuration and scalers.
    """

    weights: Weights

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels it returns, in the order of the columns."""
        return self.weights.config.model.label_names

    @property
    def n_pix(self) -> int:
        """Number of pixels of the spectra it reads."""
        return len(self.weights.input_scaler.mean)

    def predict(self, flux: Float[np.ndarray, "*n n_pix"]) -> Predictions:
        """Returns the labels of one spectrum or of many, and their 1-sigma errors where it predicts these.

        Args:
            flux: as observed, median about 0.5 over the arm, on the pixels it was trained on.

        Raises:
            DataError: another number of pixels, or flux that is not finite.
        """
        return predict(self.weights, np.atleast_2d(np.asarray(flux)))


def load(network: str | Path) -> TrainedNetwork:
    """Returns a trained network: shipped (by the name of its preset), of a run directory, or a weights file.

    Raises:
        MissingInputError: there is none of that name.
        DataError: the file is damaged or not one of this project.
    """
    return TrainedNetwork(load_weights(find_weights(network)))
