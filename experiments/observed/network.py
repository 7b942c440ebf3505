"""The shipped network on spectra that cover its arm, at rest by the posterior's velocity."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from crlb.detector import DETECTOR_WAVE, SPEED_OF_LIGHT_KMS
from crlb.files.observed import Observed
from experiments.observed.rows import Fitted
from experiments.study.literature import Star
from specvit_jax import load

NETWORK = "tiny"
LEAST_COVERED = 0.9  # of the arm


def at_rest(observed: Observed, rv_kms: float) -> Observed:
    """A spectrum with its velocity removed."""
    wave, own = observed.wave / (1 + rv_kms / SPEED_OF_LIGHT_KMS), observed.rv_kms or 0.0
    return replace(observed, wave=wave, rv_kms=own + rv_kms)


def covers_arm(observed: Observed) -> bool:
    """Whether usable pixels lie over nine tenths of the network's pixels."""
    wave = observed.wave[observed.usable]
    if wave.size < 2:
        return False
    inside = np.interp(DETECTOR_WAVE, observed.wave, observed.usable.astype(float), left=0.0, right=0.0)
    return bool((inside > 0).mean() >= LEAST_COVERED)


def read_by_network(stars: Sequence[Star], rv_kms: Mapping[str, float | None]) -> list[Fitted]:
    """What the network says of the stars whose velocity is known and whose spectrum covers its arm.

    Nothing is left out of the spectra: lost pixels would be others than those it was taught.

    Args:
        stars: with their spectra as they came.
        rv_kms: velocity of every star, by its file.
    """
    some = [
        star for star in stars if covers_arm(star.observed) and rv_kms.get(star.literature.file) is not None
    ]
    if not some:
        return []
    moved = [at_rest(star.observed, rv_kms[star.literature.file] or 0.0) for star in some]
    table = load(NETWORK).predict(moved)
    return [
        Fitted(
            setting=NETWORK,
            set=star.literature.set,
            file=star.literature.file,
            mean=dict(zip(table.label_names, table.labels[i].tolist(), strict=True)),
            snr=float(table.snr[i]) if np.isfinite(table.snr[i]) else None,
            flags=tuple(flag for flag in table.flags[i].split(",") if flag != "-"),
            note=table.notes[i],
        )
        for i, star in enumerate(some)
    ]
