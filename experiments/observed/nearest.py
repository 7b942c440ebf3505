"""The node of the grid that fits best: what the first look at these spectra did."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from crlb.bayes.sight import Sight, aim
from crlb.errors import DataError
from crlb.files.observed import Observed
from crlb.observation.conditions import polynomials
from experiments.observed.settings import CONTINUUM

STEPS_KMS = (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0)  # around the velocity of the best template


def nearest_node(observed: Observed, sight: Sight) -> dict[str, float]:
    """Labels of the node of smallest chi2, a cubic continuum and the velocity fitted; NaN: no pixels."""
    names = sight.fine.label_names
    try:
        with jax.enable_x64(True):  # the emulator is in float64
            target = aim(observed, sight).target
            seen = target.place(target.rv_kms)
            weights = np.asarray(jax.vmap(sight.fine.weights)(jnp.asarray(sight.fine.nodes)))
    except DataError:
        return dict.fromkeys(names, float("nan"))
    some = np.asarray(seen.covered) & (target.ivar > 0)
    basis, moving = (np.asarray(rows, np.float64)[:, some] for rows in (seen.emulator.basis, seen.d_rv_kms))
    wave, root = target.wave[some], np.sqrt(target.ivar[some])
    curves = polynomials(wave, wave.min(), wave.max(), CONTINUUM)
    chi2 = [misfits(weights @ (basis + step * moving), curves, target.flux[some], root) for step in STEPS_KMS]
    best = sight.fine.nodes[np.min(chi2, axis=0).argmin()]
    return dict(zip(names, best.tolist(), strict=True))


def misfits(
    models: Float[np.ndarray, "n n_pix"],
    curves: Float[np.ndarray, "q n_pix"],
    flux: Float[np.ndarray, " n_pix"],
    root: Float[np.ndarray, " n_pix"],
) -> Float[np.ndarray, " n"]:
    """chi2 of models times the polynomial that fits best: |y|^2 - b^T A^-1 b.

    Args:
        models: flux of every model.
        curves: polynomials.
        flux: observed.
        root: square root of the inverse variance.
    """
    data = flux * root
    matrix = np.einsum("np,ip,jp,p->nij", models**2, curves, curves, root**2, optimize=True)
    vector = np.einsum("np,ip,p->ni", models, curves, data * root, optimize=True)
    best = np.linalg.solve(matrix, vector[..., None])[..., 0]
    found: Float[np.ndarray, " n"] = (data**2).sum() - (vector * best).sum(axis=1)
    return found
