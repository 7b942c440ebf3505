"""Whether what is installed computes what it should: a network read, derivatives compared, in seconds."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from crlb.files.checksum import said_of
from crlb.files.hdf5 import open_input
from crlb.files.hdf5_checksum import check_seal
from crlb.fisher.matrix import fisher_information, flux_jacobian
from crlb.grids.grid_file import default_grid_path
from crlb.observation.forward_model import ForwardModel
from specvit_jax import metrics
from specvit_jax.evaluation.limits import in_float64
from specvit_jax.evaluation.predict import predict
from specvit_jax.network.find import shipped_weights
from specvit_jax.network.weights import load_weights
from specvit_jax.spectra.source import Simulator

SEED, N_STARS, MAG = 7, 512, 21.5  # of the stars that are read; AB magnitude of the star of the Fisher matrix
STEPS = {"T_eff": 1.0, "log_g": 1e-3, "M_H": 1e-3}  # of finite differences, K and dex


def network_r2(simulator: Simulator) -> float:
    """R2 of log g that the shipped network reads from stars drawn now; 0.73 +- 0.03 for 20.5 <= mag <= 22.5.

    Raises:
        MissingInputError, DataError: the weights are not there, or damaged.
    """
    stars = simulator.sample(jax.random.key(SEED), np.arange(N_STARS))
    found = predict(load_weights(shipped_weights("tiny")), np.asarray(stars.flux))
    truth = np.asarray(stars.labels)[:, simulator.label_names.index("log_g")]
    return float(metrics.r2(truth, found.of("log_g")))


def fisher_error(simulator: Simulator) -> float:
    """Largest difference of a star's Fisher matrix from that of finite differences, on a unit diagonal."""
    low, high = np.asarray(simulator.prior.low), np.asarray(simulator.prior.high)  # type: ignore[union-attr]
    with jax.enable_x64(True):
        model = in_float64(simulator)
        labels = 0.45 * low.astype(float) + 0.55 * high
        ivar = 1 / model.variance(labels, MAG)
        exact = np.asarray(fisher_information(flux_jacobian(model.flux, labels), ivar))
        found = np.asarray(fisher_information(differences(model, labels), ivar))
    root = np.sqrt(np.diag(exact))
    return float(np.abs((found - exact) / (root[:, None] * root)).max())


def differences(model: ForwardModel, labels: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n_pix n"]:
    """Central differences of the flux with respect to each label, 1/label."""
    columns = []
    for i, name in enumerate(model.label_names):
        step = np.zeros(len(labels))
        step[i] = STEPS[name]
        columns.append((model.flux(labels + step) - model.flux(labels - step)) / (2 * STEPS[name]))
    return np.asarray(jnp.stack(columns, axis=1))


def check_grid() -> str:
    """Compares the embedded grid with its checksum; returns what is said of it.

    Raises:
        MissingInputError, DataError: it is not there, or damaged.
    """
    with open_input(default_grid_path(), "grid") as file:
        return said_of(check_seal(file))
