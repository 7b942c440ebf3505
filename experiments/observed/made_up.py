"""Stars made from the model itself, where no observed ones are at hand: to see that the experiment runs."""

import jax
import numpy as np

from crlb.files.observed import Observed, Origin
from crlb.grids.emulator import Emulator
from crlb.observation.pixels import on_pixels
from experiments.study.literature import LABELS, Literature, Star

POWER, SNR = 2500.0, 60.0
WAVE = np.arange(7120.0, 8840.0, 1.0)  # Å


def made_up_stars(fine: Emulator, n: int) -> list[Star]:
    """Stars of the middle half of the box with a scale, a slope and noise of their own."""
    rng = np.random.default_rng(0)
    edges = WAVE[0] - 0.5 + np.arange(len(WAVE) + 1)
    with jax.enable_x64(True):
        seen = on_pixels(fine, edges[:-1], edges[1:], fwhm=WAVE / POWER, rv_kms=20.0)
        width = fine.high - fine.low
        labels = fine.low + width * rng.uniform(0.25, 0.75, (n, len(width)))
        clean = [np.asarray(seen.emulator(one)) for one in labels]
    return [_star(i, dict(zip(fine.label_names, labels[i].tolist(), strict=True)), flux, rng)
            for i, flux in enumerate(clean)]  # fmt: skip


def _star(i: int, labels: dict[str, float], flux: np.ndarray, rng: np.random.Generator) -> Star:
    scaled = rng.uniform(1, 9) * flux * (1 + 0.1 * np.linspace(-1, 1, flux.size))
    error = np.full(flux.size, float(np.median(scaled)) / SNR)
    observed = Observed(
        WAVE,
        scaled + error * rng.standard_normal(flux.size),
        error**-2,
        Origin(f"made-up-{i}", "none"),
        resolving_power=np.full(flux.size, POWER),
    )
    known = {name: labels[name] for name in LABELS}
    none = dict.fromkeys(LABELS)
    entry = Literature(
        set="made_up",
        file=f"made_up/{i}",
        star=f"star {i}",
        sources=1,
        labels=known,
        spread=none,
        stated=none,
    )
    return Star(entry, observed)
