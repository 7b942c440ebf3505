"""Weights and flux in, labels out."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from crlb.errors import DataError, UsageError
from crlb.files.records import Record
from crlb.suggest import meant
from specvit_jax.network.inference import Scalers, predict_with_sigma
from specvit_jax.network.weights import Weights

BATCH = 256  # spectra in one call of the network


@dataclass(frozen=True, eq=False)
class Predictions(Record):
    """Labels of spectra, in their own units.

    Args:
        label_names: in the order of the columns; of a network that tells two classes apart, that of the
            probability: P_log_g_above_2.5, say.
        labels: a row for every spectrum.
        sigma: their 1-sigma errors, where the method predicts these; else None.
    """

    label_names: tuple[str, ...]
    labels: Float[np.ndarray, "n n_labels"]
    sigma: Float[np.ndarray, "n n_labels"] | None = None

    def of(self, label: str) -> Float[np.ndarray, " n"]:
        """The predicted values of one label.

        Raises:
            UsageError: it was not predicted.
        """
        if label not in self.label_names:
            known = self.label_names
            raise UsageError(f"label must be one of {', '.join(known)}, found {label}{meant(label, known)}")
        return self.labels[:, self.label_names.index(label)]


def predict(
    weights: Weights,
    flux: Float[np.ndarray, "n n_pix"],
    usable: Float[np.ndarray, "n n_pix"] | None = None,
    batch: int = BATCH,
) -> Predictions:
    """The labels of noisy spectra.

    Args:
        weights: a trained network with its scalers.
        flux: as observed, median about 0.5 over the arm; of any scale for a network that was trained under
            conditions in which it is free.
        usable: 0 for lost pixels, whose flux is not read, else 1; None: none is lost.
        batch: spectra in one call of the network.

    Raises:
        DataError: no spectra, another number of pixels than the network reads, or flux that is not finite.
    """
    if usable is not None:
        flux = np.where(usable > 0, flux, 0.0)
    check_flux(flux, len(weights.input_scaler.mean))
    scalers = Scalers(weights.label_scaler, weights.input_scaler)
    pieces = []
    for start in range(0, len(flux), batch):
        piece = flux[start : start + batch]
        # The last piece is filled up, so that one compiled program serves all.
        rows = np.minimum(np.arange(batch), len(piece) - 1)
        mask = None if usable is None else jnp.asarray(usable[start : start + batch][rows], jnp.float32)
        found = predict_with_sigma(
            weights.params, jnp.asarray(piece[rows], jnp.float32), scalers, weights.config, mask
        )
        pieces.append(jax.tree.map(np.asarray, found))
    labels, sigma = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(flux)], *pieces)
    return Predictions(weights.config.model.output_names, labels, sigma)


def check_flux(flux: Float[np.ndarray, "n n_pix"], n_pix: int) -> None:
    """Refuses spectra a network of so many pixels cannot read.

    Raises:
        DataError: no spectra, another number of pixels, or flux that is not finite.
    """
    if flux.shape[1] != n_pix or not len(flux):
        raise DataError(f"flux must be spectra of {n_pix} pixels, at least one, found shape {flux.shape}")
    if not np.isfinite(flux).all():
        star, pixel = np.argwhere(~np.isfinite(flux))[0]
        raise DataError(f"flux must be finite, found {flux[star, pixel]} in spectrum {star}, pixel {pixel}")
