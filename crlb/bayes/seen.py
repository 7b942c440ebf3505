"""A likelihood whose emulator has only the directions that the noise of some magnitude lets see.

The basis of an emulator is right to 1e-5 of the flux, for any star; a faint star does not need that. With
fewer directions all spectra cost less, those of many labels most: their coefficients are read from memory.
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from crlb.bayes.likelihood import Likelihood, variances
from crlb.bayes.reduced import make_cut

# chi2 that the spectrum of any node may lose. ln L errs by the noise along the directions left out, whose
# variance is the change of this within a posterior: 0.004 (mag 21.5) and 0.012 (mag 23) rms were measured.
LOST = 1e-2


def with_seen_directions(like: Likelihood, mag: float) -> Likelihood:
    """Returns the likelihood for stars of this AB magnitude or fainter; itself where all count."""
    emulator = like.emulator
    var = variances(like, like.reference[None], jnp.asarray(mag, jnp.float32))[0]
    basis, ivar = np.asarray(emulator.basis, float), 1 / np.asarray(var, float)
    table = np.asarray(emulator.coefficients, float)
    cut = make_cut(basis, ivar, table.reshape(-1, len(basis)), lost=LOST)
    if cut.down.shape[1] == len(basis):
        return like
    shorter = replace(
        emulator,
        coefficients=jnp.asarray(table @ cut.down, jnp.float32),
        basis=jnp.asarray(cut.up @ basis, jnp.float32),
    )
    return like._replace(emulator=shorter)
