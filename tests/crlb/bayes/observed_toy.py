"""A star of a few Gaussian lines, linear in two labels, that can be put on any pixels at any velocity."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from crlb.bayes.best_fit import Target
from crlb.bayes.prior import make_prior
from crlb.grids.emulator import Emulator

C_KMS = 299792.458
WAVE = np.arange(8400.0, 8520.0, 0.8)  # Å, 150 pixels
CENTRES = np.arange(8396.0, 8530.0, 11.0)
FWHM = 2.6  # Å
DEPTHS = np.random.default_rng(0).uniform(0.2, 1.0, (3, CENTRES.size)) * np.array([[0.2], [0.25], [0.25]])


def rows(wave, rv_kms=0.0):
    """Continuum with lines, and what each label adds to them: (3, n_pix), flux 0.5 in the continuum."""
    rest = wave / (1 + rv_kms / C_KMS)
    lines = np.exp(-0.5 * ((rest[:, None] - CENTRES) / (FWHM / 2.355)) ** 2)
    base = 0.5 * (1 - lines @ DEPTHS[0])
    return np.stack(
        [base, -0.5 * lines @ DEPTHS[1], -0.5 * lines @ (DEPTHS[2] * np.resize([1, -1], CENTRES.size))]
    )


class Seen(NamedTuple):
    emulator: Emulator
    d_rv_kms: np.ndarray
    covered: np.ndarray


def emulator(wave=WAVE, rv_kms=0.0):
    corners = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], indexing="ij"), axis=-1)
    coefficients = np.concatenate([np.ones((2, 2, 1)), corners], axis=-1)
    with jax.enable_x64(True):
        return Emulator(
            jnp.asarray(coefficients), jnp.asarray(rows(wave, rv_kms)), wave, ((0.0, 1.0),) * 2,
            ("label_0", "label_1"), 5000.0, "toy",
        )  # fmt: skip


def place(wave, rv_kms):
    derivative = (rows(wave, rv_kms + 0.5) - rows(wave, rv_kms - 0.5)) / 1.0
    return Seen(emulator(wave, rv_kms), derivative, np.ones(wave.size, bool))


def clean(labels, wave=WAVE, rv_kms=0.0):
    return np.array([1.0, *labels]) @ rows(wave, rv_kms)


def target(labels, error, rng, *, rv_kms=0.0, shape=1.0, unit=1.0, wave=WAVE, **changes):
    """A noisy star of these labels and relative error."""
    flux = clean(labels, wave, rv_kms) * shape
    noisy = flux + 0.5 * error * rng.normal(size=wave.size)
    ivar = np.full(wave.size, (0.5 * error) ** -2.0)
    return Target(
        **{"wave": wave, "flux": noisy * unit, "ivar": ivar / unit**2, "place": partial(place, wave)}
        | changes
    )


def prior():
    return make_prior(np.zeros(2), np.ones(2), ("label_0", "label_1"))
