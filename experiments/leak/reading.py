"""What is read of flux and errors: a few dozen numbers of each, and their products for linear methods."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.leak.channels import Channels
from specvit_jax import DataConfig
from specvit_jax.network.standardise import InputScaler, fit_input_scaler
from specvit_jax.spectra.source import CHUNK

N_SCALING = 2000  # stars whose spectra the components are those of


class Scalers(NamedTuple):
    """Components of every channel that has pixels."""

    flux: InputScaler
    model: InputScaler
    observed: InputScaler


def fit_scalers(some: Channels, components: int) -> Scalers:
    """Components of flux and of the logarithm of errors, in units of their noise where there is some."""
    found = some.first(N_SCALING)
    log_model, log_observed = np.log(found.model), np.log(found.observed)
    data = DataConfig(preprocess="pca", components=components, input_scaling="noise")
    with_rest = DataConfig(
        preprocess="pca", components=components, input_scaling="noise", noise_component=True
    )
    exact = DataConfig(preprocess="pca", components=components, input_scaling="pixel")
    return Scalers(
        fit_input_scaler(found.flux, found.clean, found.model, with_rest),
        fit_input_scaler(log_model, log_model, np.zeros_like(log_model), exact),
        fit_input_scaler(log_observed, log_model, found.scatter, data),
    )


def numbers(scalers: Scalers, some: Channels) -> dict[str, Float[np.ndarray, "n k"]]:
    """What is read of every channel, by its name; of the last two the number itself."""
    return {
        "flux": _encoded(scalers.flux, some.flux),
        "model": _encoded(scalers.model, np.log(some.model)),
        "observed": _encoded(scalers.observed, np.log(some.observed)),
        "label_free": some.label_free[:, None],
        "mag": some.mag[:, None],
    }


def _encoded(scaler: InputScaler, rows: Float[np.ndarray, "n n_pix"]) -> Float[np.ndarray, "n k"]:
    starts = range(0, len(rows), CHUNK)
    return np.concatenate([np.asarray(scaler.encode(rows[i : i + CHUNK])) for i in starts])


class Products(NamedTuple):
    """Numbers brought to mean 0 and deviation 1, with all their squares and products."""

    mean: Float[np.ndarray, " k"]
    scale: Float[np.ndarray, " k"]

    def of(self, rows: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n m"]:
        """k numbers of every star, then their k (k + 1) / 2 products."""
        scaled = ((rows - self.mean[None, :]) / self.scale[None, :]).astype(np.float32)
        one, other = np.triu_indices(scaled.shape[1])
        return np.concatenate([scaled, scaled[:, one] * scaled[:, other]], axis=1)


def products(rows: Float[np.ndarray, "n k"]) -> Products:
    """Those whose means and deviations are measured on some stars."""
    return Products(rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64))
