"""The posterior of every star under a setting; best fits are kept for the pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from crlb.bayes.label_stars import LabelledStar, label_stars
from crlb.bayes.observed import Wanted
from crlb.bayes.prior import Prior, make_prior
from crlb.bayes.sight import Sight
from crlb.bayes.solve import Inference
from crlb.errors import DataError
from crlb.files.npz import read_npz, write_npz
from crlb.files.observed import Observed
from crlb.files.output import new_file
from crlb.grids.emulator import Emulator
from crlb.grids.grid_file import default_grid_path, load_slice
from crlb.observation.pixels import before_instrument
from crlb.observation.templates import Templates, load_templates
from experiments.observed.rows import Fitted
from experiments.observed.settings import Setting, without_telluric, without_windows
from experiments.study.literature import SETS, Star

SEED = 14  # of the quasi-random points


@dataclass(frozen=True)
class Models:
    """The grid as the settings need it, each read once.

    Args:
        grid: the grid's file; None: the embedded one.
    """

    grid: Path | None

    @cached_property
    def solar(self) -> Emulator:
        """T_eff, log g, [M/H]; [alpha/M] = [C/M] = 0."""
        return self._fine(("T_eff", "log_g", "M_H"))

    @cached_property
    def alpha(self) -> Emulator:
        """The same with [alpha/M] free."""
        return self._fine(("T_eff", "log_g", "M_H", "a_M"))

    @cached_property
    def templates(self) -> Templates:
        """For the velocity."""
        return load_templates(self.grid)

    def _fine(self, labels: tuple[str, ...]) -> Emulator:
        grid = load_slice(self.grid or default_grid_path(), labels)
        with jax.enable_x64(True):
            return before_instrument(grid)

    def sight(self, setting: Setting) -> Sight:
        """How a setting looks at spectra."""
        return Sight(self.alpha if setting.alpha else self.solar, self.templates, setting.window)

    def prior(self, setting: Setting) -> Prior:
        """Uniform over the box of the grid."""
        fine = self.sight(setting).fine
        return make_prior(fine.low, fine.high, fine.label_names)


class BestFit(NamedTuple):
    """Data and best model of a star; NaN where a pixel is not used. `wave` in vacuum Å as observed."""

    wave: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    model: np.ndarray
    rv_kms: float


def fitted(
    stars: Sequence[Star], models: Models, setting: Setting, *, target_ess: float, keep: Path | None = None
) -> Iterator[tuple[Star, LabelledStar]]:
    """Yields every star with its posterior, all pixels of the setting.

    Args:
        stars: spectra as they are to be seen: windows left out already.
        models: of the grid.
        setting: of the fit.
        target_ess: effective points per star.
        keep: folder for the best fits; None: they are not kept.
    """
    found = label_stars(
        (star.observed for star in stars), models.sight(setting), models.prior(setting),
        key=jax.random.key(SEED), inference=Inference(setting.conditions, target_ess=target_ess),
        wanted=Wanted(fit_model_error=setting.fit_error, model=keep is not None),
    )  # fmt: skip
    for star, one in zip(stars, found, strict=True):
        if keep is not None and one.posterior.model is not None:
            store(keep / f"{name_of(star)}.npz", one)
        yield star, one


def as_seen(star: Star, setting: Setting, rv_kms: float | None) -> Star:
    """A star without what a setting leaves out; windows lie at the velocity of an earlier fit."""
    seen = with_power(star) if setting.known_power else star.observed
    seen = without_telluric(seen) if setting.telluric else seen
    return star._replace(observed=without_windows(seen, setting, rv_kms or 0.0))


def with_power(star: Star) -> Observed:
    """The spectrum with the resolving power of its set, where it states none."""
    seen, power = star.observed, SETS[star.literature.set].power
    if seen.resolving_power is not None or power is None:
        return seen
    return replace(seen, resolving_power=np.full(seen.wave.shape, power))


def row_of(star: Star, one: LabelledStar, setting: str) -> Fitted:
    """The numbers of a fit."""
    posterior = one.posterior

    def by_name(values: np.ndarray) -> dict[str, float]:
        return dict(zip(posterior.label_names, np.asarray(values, float).tolist(), strict=True))

    return Fitted(
        setting=setting,
        set=star.literature.set,
        file=star.literature.file,
        mean=by_name(posterior.mean),
        sigma=by_name(posterior.sigma),
        chi2_dof=posterior.chi2 / posterior.dof if posterior.dof else None,
        p_value=_or_none(posterior.p_value),
        model_error=_or_none(posterior.model_error),
        error=_or_none(posterior.error),
        rv_kms=_or_none(posterior.rv_kms),
        resolving_power=_or_none(one.resolving_power),
        snr=_or_none(posterior.snr),
        n_pix=posterior.n_pix,
        flags=posterior.flags,
        note=one.note,
    )


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def name_of(star: Star) -> str:
    """Of the files that belong to a star."""
    return star.literature.file.replace("/", "-")


def store(path: Path, one: LabelledStar) -> None:
    """Keeps data and best model of a star, in the output folder only: the data are not the project's."""
    seen, posterior = one.observed, one.posterior
    assert seen is not None
    assert posterior.model is not None
    used = seen.usable & np.isfinite(posterior.model)
    own = 1 / np.sqrt(np.where(used, seen.ivar, np.nan)) if seen.has_errors else posterior.error * seen.flux
    error = np.hypot(own, posterior.model_error * posterior.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path, overwrite=True) as temporary, temporary.open("wb") as file:
        flux, model = (np.where(used, values, np.nan) for values in (seen.flux, posterior.model))
        kept = {"wave": seen.wave, "flux": flux, "error": np.where(used, error, np.nan), "model": model}
        write_npz(file, kept | {"rv_kms": posterior.rv_kms})


def stored(path: Path) -> BestFit:
    """What `store` kept."""
    found = read_npz(path, "best fit")
    if missing := [name for name in BestFit._fields if name not in found]:
        raise DataError(f"best fit {path} lacks {', '.join(missing)}; delete it, it is made again")
    wave, flux, error, model, rv_kms = (found[name] for name in BestFit._fields)
    return BestFit(wave, flux, error, model, float(rv_kms))
