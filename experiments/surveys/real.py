"""Real spectra as networks read them: on the pixels of an instrument, at rest, at the training's level."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from experiments.study.literature import Star, chosen, data_folder, label_rows, literature, star_of
from experiments.surveys.learning import Seen, read
from experiments.surveys.rows import RealStar
from specvit_jax import Config
from specvit_jax.evaluation.prepared import Prepared, Reads, prepare
from specvit_jax.network.inference import Params

SETS = {"lamost": "lamost-lrs", "gaia_rvs": "gaia-rvs"}  # folder of the data -> instrument


def real_stars(named: Path | None, instruments: Mapping[str, Seen]) -> tuple[list[tuple[str, Star]], str]:
    """Stars of the literature with their instruments; or none, and why.

    Args:
        named: folder of the spectra; None: where they usually are.
        instruments: that are read, by name.

    Raises:
        MissingInputError: the folder was named and holds none.
    """
    folder = data_folder(named)
    if named is None and not (folder / "labels.csv").is_file():
        why = "the folder of real spectra is not there (--data, or SPECVIT_REFERENCE): none is read"
        print(f"surveys: {why}", file=sys.stderr)
        return [], why
    used, _ = chosen(literature(label_rows(folder)))
    some = [one for one in used if SETS.get(one.set) in instruments]
    return [(SETS[one.set], star_of(folder, one)) for one in some], ""


def read_star(
    star: Star, seen: Seen, lsf_fwhm: float, networks: Mapping[str, tuple[Params, Config]]
) -> RealStar | None:
    """What networks read from a real star; None: its spectrum cannot be used, which is said.

    Args:
        star: its spectrum as it came, its labels of the literature.
        seen: the instrument.
        lsf_fwhm: line-spread width of its simulated spectra, Å.
        networks: by name.
    """
    found = prepare(star.observed, Reads(seen.wave, lsf_fwhm, None))
    if not isinstance(found, Prepared):
        print(f"surveys: {star.literature.file} is left out: {found.reason}", file=sys.stderr)
        return None
    flux = at_level(found, np.asarray(seen.scalers.input.mean, np.float64))
    told = {}
    for name, (params, config) in networks.items():
        labels = read(params, seen, flux[None], config)[0]
        told[name] = dict(zip(config.model.label_names, labels.tolist(), strict=True))
    known = star.literature.labels
    return RealStar(
        instrument=seen.name,
        star=star.literature.star,
        snr=found.snr,
        literature={name: known[name] for name in config.model.label_names if name in known},
        read=told,
        notes=found.notes,
    )


def at_level(found: Prepared, mean: Float[np.ndarray, " n_pix"]) -> Float[np.ndarray, " n_pix"]:
    """The flux at the level of the training: its median that of the training's mean over the same pixels.

    Pixels that are not usable get the training's mean, which a network reads as zero.
    """
    usable = found.ivar > 0
    scale = np.median(mean[usable]) / np.median(found.flux[usable])
    return np.where(usable, found.flux * scale, mean)
