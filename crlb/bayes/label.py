"""The labels of observed stars in one call, for the common case."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import jax

from crlb.bayes.label_stars import LabelledStar, label_stars
from crlb.bayes.prior import Prior, make_prior
from crlb.bayes.sight import Sight
from crlb.bayes.solve import Inference
from crlb.files.observed import Observed
from crlb.grids.grid_file import default_grid_path, load_slice
from crlb.observation.conditions import Conditions
from crlb.observation.pixels import before_instrument
from crlb.observation.templates import load_templates
from crlb.readers.many import Spoilt

# What is unknown of a real star: any scale, a cubic continuum, any velocity; models are wrong by a percent.
REAL_STAR = Conditions(scale=math.inf, continuum=3, rv_sigma_kms=math.inf, model_error=0.01)


def make_sight(
    grid: str | Path | None = None,
    *,
    labels: Sequence[str] | None = None,
    fixed: Mapping[str, float] | None = None,
    wave_range: tuple[float, float] | None = None,
) -> Sight:
    """Returns how observed spectra are looked at: the model before any instrument, and templates.

    Takes seconds; make it once for many stars.

    Args:
        grid: model spectra, vacuum Å; None: the embedded grid.
        labels: the unknown ones; None: all of the grid's but a_M and C_M.
        fixed: values of known labels, at nodes of the grid; a_M and C_M are held at 0 otherwise.
        wave_range: first and last wavelength to use, vacuum Å; None: all that the grid reaches.

    Raises:
        MissingInputError, DataError, UsageError: as `load_slice`.
    """
    path = grid or default_grid_path()
    with jax.enable_x64(True):
        fine = before_instrument(load_slice(path, labels, fixed))
    return Sight(fine, load_templates(path), wave_range)


def label(
    spectra: Observed | Iterable[Observed | Spoilt],
    sight: Sight | None = None,
    *,
    prior: Prior | None = None,
    conditions: Conditions = REAL_STAR,
    seed: int = 0,
    first: int = 0,
) -> Iterator[LabelledStar]:
    """Yields what observed spectra say of their stars, under their own errors, in their order.

    Args:
        spectra: one, or many.
        sight: how they are looked at; None: with the embedded grid.
        prior: of the labels; None: uniform over the grid.
        conditions: what is unknown besides the labels.
        seed: of the quasi-random points.
        first: number of the first spectrum, where others went before in another run.

    Raises:
        UsageError: prior of other labels or wider than the grid.
    """
    sight = sight or make_sight()
    fine = sight.fine
    prior = prior or make_prior(fine.low, fine.high, fine.label_names)
    stars = [spectra] if isinstance(spectra, Observed) else spectra
    return label_stars(
        stars, sight, prior, key=jax.random.key(seed), inference=Inference(conditions), first=first
    )
