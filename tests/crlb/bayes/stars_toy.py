"""Stars of seventy lines in the red end of the arm, and what is no such star, or is not as it says."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np

from crlb.bayes.prior import make_prior
from crlb.bayes.sight import Sight
from crlb.detector import DETECTOR_WAVE
from crlb.files.observed import MODEL_UNIT, NORMALISED, Observed, Origin
from crlb.grids.grid_file import SpectralGrid, make_grid, save_grid
from crlb.observation.pixels import before_instrument
from crlb.observation.templates import load_templates

C_KMS = 299792.458
NAMES = ("T_eff", "log_g", "M_H")
AXES = (np.array([4000.0, 4800, 5600]), np.array([1.0, 2.5, 4.5]), np.array([-2.0, -0.5, 0.1]))
TRUTH = np.array([4800.0, 2.5, -0.5])  # a node: the emulator is exact there
POWER = 5000.0
WAVE = DETECTOR_WAVE[DETECTOR_WAVE > 8200][:1500]
_RNG = np.random.default_rng(12)
CENTRES = np.sort(_RNG.uniform(8100, 8950, 70))
STRENGTH = _RNG.uniform(0.1, 0.9, CENTRES.size)
POWERS = _RNG.normal(0, 1, (3, CENTRES.size)) * np.array([[0.9], [0.5], [0.2]]) + np.array(
    [[-0.5], [0.0], [1.2]]
)


def clean(labels, wave, power=POWER):
    """Flux of lines as strong as temperature, gravity and metallicity make them, on a slope; 1 about."""
    x = (np.asarray(labels) - np.array([5000.0, 3.0, -0.5])) / np.array([1000.0, 2.0, 1.0])
    depth = 0.8 * (1 - np.exp(-STRENGTH * np.exp(x @ POWERS)))  # strong lines saturate
    sigma = CENTRES / power / 2.3548
    lines = np.exp(-0.5 * ((wave[:, None] - CENTRES) / sigma) ** 2) * power / POWER
    return (1 - 0.1 * x[0] * (wave - 8500) / 400) * np.exp(-(lines @ depth))


def grid() -> SpectralGrid:
    wave = np.arange(8120.0, 8920.0, 0.4)
    nodes = np.stack(np.meshgrid(*AXES, indexing="ij"), axis=-1).reshape(-1, 3)
    flux = np.stack([clean(labels, wave) for labels in nodes]).reshape(3, 3, 3, -1)
    return make_grid(
        wave=wave, axes=AXES, flux=flux, label_names=NAMES, resolving_power=POWER,
        flux_unit="relative", source="toy",
    )  # fmt: skip


@cache
def sight_and_prior(folder):
    path = folder / "stars.h5"
    save_grid(grid(), path)
    with jax.enable_x64(True):
        fine = before_instrument(grid())
    return Sight(fine, load_templates(path)), make_prior(fine.low, fine.high, fine.label_names)


def star(snr, labels=TRUTH, rng=None):
    """A good star: its own errors, resolving power and scale."""
    rng = np.random.default_rng(3) if rng is None else rng
    flux = 0.5 * clean(labels, WAVE) / np.median(clean(labels, WAVE))
    error = np.full(WAVE.size, 0.5 / snr)
    return Observed(
        WAVE, flux + error * rng.normal(size=WAVE.size), error**-2, Origin("toy", "toy"), unit=MODEL_UNIT,
        resolving_power=np.full(WAVE.size, POWER),
    )  # fmt: skip


def variants(good):
    """Name -> (spectrum, whether the labels of the good star should be found in it)."""
    wave, flux, ivar = good.wave, good.flux, good.ivar
    rng, middle, n = np.random.default_rng(7), float(np.median(flux)), wave.size
    error = ivar**-0.5

    def noisy(shape):
        return replace(good, flux=middle * shape + error * rng.normal(size=n))

    def scaled(factor):
        factor = np.broadcast_to(factor, flux.shape)
        return replace(good, flux=flux * factor, ivar=ivar / factor**2)

    def added(rows, height):
        more = flux.copy()
        more[rows] += height
        return replace(good, flux=more)

    def without(bad):
        return replace(good, flux=np.where(bad, 0.0, flux), ivar=np.where(bad, 0.0, ivar))

    def line(centre, height, width):
        return height * np.exp(-0.5 * ((wave - centre) / width) ** 2)

    truth = clean(TRUTH, wave) / np.median(clean(TRUTH, wave))
    blurred = clean(TRUTH, wave, 1500.0)
    x = (wave - 8500) / 400
    smooth = np.polyval(np.polyfit(x, flux, 4), x)
    paschen = sum(line(c, 0.4, 10.0) for c in (8359, 8413, 8467, 8502, 8545, 8598, 8665, 8750))
    broad = np.convolve(np.pad(truth, 60, mode="edge"), np.hanning(121) / np.hanning(121).sum(), "valid")
    return {
        "good": (good, True),
        "x 0.9": (scaled(0.9), True),
        "x 2": (scaled(2.0), True),
        "x 1e-17": (scaled(1e-17), True),
        "x 0.9, errors as they were": (replace(good, flux=0.9 * flux), True),
        "x 2, errors as they were": (replace(good, flux=2 * flux), False),
        "x 1e-17, errors as they were": (replace(good, flux=1e-17 * flux), False),
        "f_nu": (scaled((wave / 8500) ** 2), True),
        "normalised": (replace(scaled(1 / smooth), unit=NORMALISED), True),
        "zero": (replace(good, flux=0 * flux), False),
        "negative": (replace(good, flux=-flux), False),
        "constant": (replace(good, flux=0 * flux + middle), False),
        "constant with noise": (noisy(1.0), False),
        "noise": (noisy(0.0), False),
        "reversed": (replace(good, flux=flux[::-1], ivar=ivar[::-1]), False),
        "shuffled": (replace(good, flux=rng.permutation(flux)), False),
        "air as vacuum": (replace(good, wave=wave * (1 - 82.5 / C_KMS)), False),
        "+50 km/s": (replace(good, wave=wave * (1 + 50 / C_KMS)), True),
        "+150 km/s": (replace(good, wave=wave * (1 + 150 / C_KMS)), True),
        "2000 km/s": (replace(good, wave=wave * (1 + 2000 / C_KMS)), False),
        "errors x 10": (replace(good, ivar=ivar / 100), True),
        "errors / 10": (replace(good, ivar=ivar * 100), False),
        "a seventh of the pixels without errors": (without(np.arange(n) % 7 == 0), True),
        "pixels not finite": (without(rng.random(n) < 0.05), True),
        "90 % missing": (without(rng.random(n) < 0.9), True),
        "40 pixels": (without(np.arange(n) >= 40), False),
        "cosmic ray": (added(700, 30 * middle), True),
        "eight cosmic rays": (added(rng.choice(n, 8, False), 40 * error[0]), True),
        "residual of the sky": (added(slice(500, 520), 100 * middle), True),
        "small residual of the sky": (added(slice(500, 520), 10 * error[0]), True),
        "R 1500": (noisy(blurred / np.median(blurred)), False),
        "white dwarf": (noisy((wave / 8500) ** -3), False),
        "A star": (noisy((wave / 8500) ** -3 * (1 - paschen)), False),
        "galaxy": (noisy(broad), False),
        "emission lines": (noisy(1 + sum(line(c, 2.0, 4.0) for c in (8300, 8498, 8542, 8662))), False),
        "lines of no star": (noisy(1 + 0.3 * np.sin(wave / 3)), False),
    }  # fmt: skip
