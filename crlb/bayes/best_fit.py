"""The best fit of observed spectra: labels, scale, continuum, velocity; errors that the file lacks.

Each pass makes the sums of a star anew, optimises the labels, and looks at the pixels: where the velocity
has moved further than its linearisation bears, the model is put on the pixels there; where errors are to be
found, they follow from the residuals. Until the velocity is near, passes are coarse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.optimize import brentq

from crlb.bayes.importance import sobol
from crlb.bayes.optimise import UNIFORM_INFORMATION, far_apart, in_batches
from crlb.bayes.reduced import RANKS, Cut, Pixels, Reduced, ReducedLikelihood, make_cut, reduce, stacked
from crlb.bayes.refine import BATCH, MODES, find_modes
from crlb.grids.emulator import Emulator
from crlb.observation.conditions import Conditions, polynomials

MAX_PASSES = 10
FAR_KMS = 15.0  # a velocity that has moved by more is followed with few directions, from fresh starts
FIRST_ERROR = 0.05  # relative, where the file has no errors
SETTLED = 0.03  # relative change of an estimated error that no longer matters
LEAST_ERROR = 1e-6  # relative: a spectrum without noise is one of the model itself
STARTS = 1024  # points of the prior among which the first best fit is looked for
LEAST_LEVEL = 0.1  # of the median flux: where a polynomial swings below
LEVEL_ORDER = 3  # of the polynomial that is the flux level, where the continuum's is lower
# Labels that a fit is prepared for: so many sigma around the modes whose ln L is within this of the best.
REACH, LEAST_MODE = 7.0, 40.0
BEARS_SIGMA = 0.2  # of its standard deviation: so far off the velocity may always be
# Å over which a model errs alike: a strong line with its wings. Of 36 stars with known labels the spectra
# scatter by 1 % around their models, but sigma of log g was honest only with 5 % in pixels of 0.3 to 1 Å.
ERROR_LENGTH = 10.0
MAD = 1.4826  # sigma of a Gaussian / its median absolute deviation


@runtime_checkable
class Seen(Protocol):
    """The model on a star's pixels at one velocity, as `crlb.observation.pixels.on_pixels` gives it."""

    @property
    def emulator(self) -> Emulator:
        """The emulator on the pixels."""

    @property
    def d_rv_kms(self) -> Float[Array | np.ndarray, "k n_pix"]:
        """Derivative of its basis by the velocity, per km/s."""

    @property
    def covered(self) -> Bool[np.ndarray, " n_pix"]:
        """Whether the grid reaches a pixel."""


@dataclass(frozen=True, eq=False)
class Target:
    """One observed spectrum and how its pixels see the model.

    Args:
        wave: pixel centres, vacuum Å, in any order.
        flux: observed flux, in any unit if the scale is free, else in that of the model.
        ivar: inverse variance; 0 = unusable. Without errors, 1 stands for usable.
        place: the model on these pixels at a radial velocity in km/s.
        rv_kms: radial velocity to begin with, relative to the wavelengths.
        bears_kms: by how much the velocity may move before the model is put on the pixels anew; at 2 % of the
            FWHM a line of the linearised model is 0.1 % too shallow.
        has_errors: whether `ivar` is known.
    """

    wave: Float[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, " n_pix"]
    ivar: Float[np.ndarray, " n_pix"]
    place: Callable[[float], Seen]
    rv_kms: float = 0.0
    bears_kms: float = 1.0
    has_errors: bool = True


@dataclass(frozen=True, eq=False)
class Fit:
    """A star under way: usable pixels only (`some` of all), flux in units of `unit`.

    `sums` are valid within `boxes` of labels, or everywhere if there is none; `cut.dropped` tells.
    `level` is the continuum of the observed flux, `shape` that of the last fit; `unit_labels` the best fit in
    unit coordinates. There `weights` are those of the basis, `unknowns` all coefficients, `last_sigma` the
    standard deviation of the last one, the velocity if that is free, and `mean` the flux; `ok` tells whether
    they are finite. `found` is True once the velocity is near and passes are fine, `settled` once another
    pass would change nothing.
    """

    target: Target
    some: Bool[np.ndarray, " n_all"]
    unit: float
    flux: Float[np.ndarray, " n_pix"]
    ivar: Float[np.ndarray, " n_pix"]
    level: Float[np.ndarray, " n_pix"]
    curves: Float[np.ndarray, "n_curves n_pix"]
    seen: Seen
    rv_kms: float
    model_error: float
    error: float
    shape: Float[np.ndarray, " n_pix"]
    sums: Reduced | None = None
    cut: Cut | None = None
    boxes: tuple[Float[np.ndarray, "2 n_labels"], ...] = ()
    unit_labels: Float[np.ndarray, " n_labels"] | None = None
    weights: Float[np.ndarray, " k"] | None = None
    unknowns: Float[np.ndarray, " q"] | None = None
    last_sigma: float = 0.0
    mean: Float[np.ndarray, " n_pix"] | None = None
    found: bool = False
    settled: bool = False
    ok: bool = True

    @property
    def variance(self) -> Float[np.ndarray, " n_pix"]:
        """Variance of every pixel: of the file and of the model; or what was estimated, which is of both."""
        if not self.target.has_errors:
            both: Float[np.ndarray, " n_pix"] = (max(self.error, self.model_error) * self.level) ** 2
            return both
        found: Float[np.ndarray, " n_pix"] = 1 / self.ivar + (self.model_error * self.level) ** 2
        return found

    @property
    def weight(self) -> Float[np.ndarray, " n_pix"]:
        """What a pixel counts for in the labels: 1/variance, the model erring alike over `ERROR_LENGTH`.

        For n pixels with one common error of variance v, mean and sigma are those of independent errors of
        variance n v.
        """
        together = max(ERROR_LENGTH / spacing_of(self.target.wave[self.some]), 1.0)
        shared = (together - 1) * (self.model_error * self.level) ** 2
        found: Float[np.ndarray, " n_pix"] = 1 / (self.variance + shared)
        return found

    @property
    def basis(self) -> Float[np.ndarray, "k n_pix"]:
        """The emulator's basis on the usable pixels."""
        return np.asarray(self.seen.emulator.basis, np.float64)[:, self.some]

    @property
    def moving(self) -> Float[np.ndarray, "k n_pix"]:
        """Change of the basis per km/s, under the continuum of the last fit."""
        rest = np.asarray(self.seen.d_rv_kms, np.float64)[:, self.some]
        found: Float[np.ndarray, "k n_pix"] = rest * self.shape
        return found


def begin(target: Target, some: Bool[np.ndarray, " n_pix"], seen: Seen, conditions: Conditions) -> Fit:
    """Returns a star with its flux scaled to a median of 0.5 where the scale is free and flat.

    Args:
        target: the spectrum, of positive median.
        some: the pixels to use.
        seen: the model on its pixels at `target.rv_kms`.
        conditions: what is unknown.
    """
    wave, flux, ivar = target.wave[some], target.flux[some].astype(np.float64), target.ivar[some]
    unit = 2 * float(np.median(flux)) if conditions.scale == np.inf else 1.0
    curves = polynomials(wave, wave.min(), wave.max(), 2 * max(conditions.continuum, 1))
    ivar = ivar.astype(np.float64) * unit**2
    level = _level(flux / unit, ivar, polynomials(wave, wave.min(), wave.max(), LEVEL_ORDER))
    return Fit(
        target, some, unit, flux / unit, ivar, level, curves[: 2 * conditions.continuum + 1], seen,
        target.rv_kms, conditions.model_error, FIRST_ERROR, np.ones_like(level),
    )  # fmt: skip


def spacing_of(wave: Float[np.ndarray, " n_pix"]) -> float:
    """Returns how much spectrum there is for each pixel, Å; gaps do not count, exposures share a range."""
    steps = np.diff(np.sort(wave))
    usual = np.median(steps[steps > 0]) if (steps > 0).any() else 1.0
    return float(np.minimum(steps, 3 * usual).sum()) / wave.size


def _level(flux: np.ndarray, ivar: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The polynomial through the flux; its median where that is lower, so that it is positive."""
    matrix = (curves * ivar) @ curves.T
    level = np.linalg.lstsq(matrix, (curves * ivar) @ flux, rcond=None)[0] @ curves
    found: np.ndarray = np.maximum(level, LEAST_LEVEL * np.median(flux))
    return found


def best_fits(
    like: ReducedLikelihood,
    fits: Sequence[Fit],
    conditions: Conditions,
    *,
    coarse: Cut,
    fit_model_error: bool,
    seed: int,
) -> list[Fit]:
    """Returns the stars at their best fits, with the sums of the last pass; in float64.

    Args:
        like: the likelihood.
        fits: the stars as `begin` gives them.
        conditions: what is unknown besides the labels.
        coarse: of the basis in the first pass, the same for all stars.
        fit_model_error: whether the model's error grows until chi2 is the number of degrees of freedom.
        seed: of the points from which the optimisation starts.
    """
    done, n_fitted = list(fits), free_numbers(like, conditions)
    unit = like.prior.unit_quantile(sobol(seed, STARTS, len(like.prior.label_names)))
    for number in range(MAX_PASSES):
        left = [i for i, fit in enumerate(done) if fit.ok and not fit.settled]
        for i in left:
            done[i] = with_sums(like, done[i], conditions, None if done[i].found else coarse)
        for rows in by_rank([done[i] for i in left]):
            group = [left[row] for row in rows]
            found = _optimised(like, [done[i] for i in group], unit)
            for i, one in zip(group, found, strict=True):
                done[i] = _next(n_fitted, one, conditions, fit_model_error, number) if one.ok else one
    # A velocity that never came to rest has had the coarse sums only.
    return [with_sums(like, fit, conditions) if fit.ok and fit.cut is None else fit for fit in done]


def by_rank(fits: Sequence[Fit]) -> list[list[int]]:
    """Returns the row numbers of stars whose sums have one shape, shape by shape."""
    ranks = [0 if fit.sums is None else fit.sums.cut.shape[1] for fit in fits]
    return [[i for i, rank in enumerate(ranks) if rank == one] for one in sorted(set(ranks)) if one]


def sums_of(fits: Sequence[Fit]) -> Reduced:
    """Returns the sums of stars of one rank."""
    return stacked([fit.sums for fit in fits if fit.sums is not None])


def with_sums(
    like: ReducedLikelihood, fit: Fit, conditions: Conditions, cut: Cut | None = None, *, whole: bool = False
) -> Fit:
    """Returns a star with its sums.

    Args:
        like: the likelihood.
        fit: the star.
        conditions: what is unknown besides the labels.
        cut: of the basis; None: what spectra around the last fit need, found once per star.
        whole: what all spectra of the grid need.
    """
    basis, ivar = fit.basis, fit.weight
    if cut is None and (whole or fit.cut is None):
        nodes = _nodes(like.emulator, () if whole else fit.boxes)
        fit = replace(fit, cut=make_cut(basis, ivar, nodes))
    chosen = cut or fit.cut
    assert chosen is not None
    moving = fit.moving if conditions.rv_sigma_kms else None
    return replace(fit, sums=reduce(Pixels(fit.flux, ivar, basis, moving, fit.curves), chosen))


def make_coarse(emulator: Emulator) -> Cut:
    """Returns the cut of a basis that serves to find stars, on the emulator's own samples."""
    basis = np.asarray(emulator.basis, np.float64)
    return make_cut(basis, np.ones(basis.shape[1]), _nodes(emulator, ()), min(RANKS[0], len(basis)))


def _nodes(emulator: Emulator, boxes: Sequence[np.ndarray]) -> Float[np.ndarray, "n k"]:
    """The emulator's coefficients between which all spectra of some boxes of labels lie; of none: all."""
    table, parts = np.asarray(emulator.coefficients), []
    for low, high in boxes:
        rows = []
        for axis, first, last in zip(emulator.axes, low, high, strict=True):
            start, stop = np.searchsorted(axis, [first, last])
            rows.append(slice(max(start - emulator.degree - 1, 0), stop + emulator.degree + 1))
        parts.append(table[tuple(rows)].reshape(-1, table.shape[-1]))
    return np.concatenate(parts) if parts else table.reshape(-1, table.shape[-1])


def _optimised(like: ReducedLikelihood, fits: Sequence[Fit], unit: np.ndarray) -> list[Fit]:
    """The stars at the maxima of their likelihoods, from the best starts or from the last best fit."""
    stars = sums_of(fits)
    starts = np.zeros((len(fits), MODES, unit.shape[1]))
    if new := [i for i, fit in enumerate(fits) if fit.unit_labels is None]:
        log_like = like.at_templates(unit, sums_of([fits[i] for i in new]))
        starts[new] = unit[far_apart(unit, log_like, MODES)]
    for i in set(range(len(fits))) - set(new):
        starts[i] = np.asarray(fits[i].unit_labels)
    ends = in_batches(lambda a: find_modes(like, jnp.asarray(a[0]), a[1]), (starts, stars), BATCH)
    modes, value = np.asarray(ends[0]), np.asarray(ends[1])
    chosen = modes[np.arange(len(fits)), np.where(np.isnan(value), -np.inf, value).argmax(axis=1)]
    solved = in_batches(lambda a: like.unknowns_at(jnp.asarray(a[0]), a[1]), (chosen[:, None], stars), BATCH)
    weights = in_batches(like.weights, jnp.asarray(chosen), BATCH)
    unknowns, boxes = np.asarray(solved.best)[:, 0], _boxes(like, modes, value, np.asarray(ends[2]))
    own = np.asarray(jnp.diagonal(solved.covariance, axis1=-2, axis2=-1))[:, 0]
    ok = np.isfinite(value).any(axis=1) & np.isfinite(unknowns).all(axis=1)
    return [
        replace(
            fit,
            unit_labels=chosen[i],
            unknowns=unknowns[i],
            weights=np.asarray(weights)[i],
            last_sigma=float(own[i, -1] ** 0.5) if own.shape[1] else 0.0,
            boxes=boxes[i],
            ok=bool(ok[i]),
        )
        for i, fit in enumerate(fits)
    ]


def _boxes(
    like: ReducedLikelihood, modes: np.ndarray, value: np.ndarray, fisher: np.ndarray
) -> list[tuple[np.ndarray, ...]]:
    """For every star the labels around its modes: lower and upper edges, one box for each that counts."""
    n_labels = modes.shape[2]
    sigma = np.sqrt(np.linalg.inv(fisher + UNIFORM_INFORMATION * np.eye(n_labels)).diagonal(axis1=2, axis2=3))
    prior, emulator, found = like.prior, like.emulator, []
    low, width = np.asarray(prior.low), np.asarray(prior.high - prior.low)
    for mode, its_value, its_sigma in zip(modes, value, sigma, strict=True):
        counts = its_value > np.nanmax(its_value) - LEAST_MODE
        edges = [low + width * np.clip(mode + s * REACH * its_sigma, 0, 1) for s in (-1, 1)]
        edges = [np.clip(edge, emulator.low, emulator.high) for edge in edges]
        found.append(tuple(np.stack([a, b]) for a, b in zip(*(e[counts] for e in edges), strict=True)))
    return found


def _next(n_fitted: int, fit: Fit, conditions: Conditions, fit_model_error: bool, number: int) -> Fit:
    """The star with the flux of its best fit; settled, or ready for the next pass."""
    fit, moved = _with_mean(fit, conditions)
    assert fit.mean is not None
    residual, dof = fit.flux - fit.mean, max(fit.flux.size - n_fitted, 1)
    error, model_error = fit.error, fit.model_error
    if not fit.target.has_errors:
        error = float(MAD * np.median(np.abs(residual / fit.level)) * np.sqrt(fit.flux.size / dof))
    elif fit_model_error:
        model_error = _model_error(residual, 1 / fit.ivar, fit.level, dof, conditions.model_error)
    same = fit.found and abs(error - fit.error) <= SETTLED * fit.error
    same &= abs(model_error - fit.model_error) <= SETTLED * fit.model_error + 1e-5
    near = abs(moved) <= max(fit.target.bears_kms, BEARS_SIGMA * fit.last_sigma)
    settled = same and near
    if settled or number == MAX_PASSES - 1:
        return replace(fit, settled=settled)
    shape = np.asarray(fit.unknowns)[: conditions.continuum + 1] @ fit.curves[: conditions.continuum + 1]
    if error < (1 - SETTLED) * fit.error or model_error < (1 - SETTLED) * fit.model_error:
        fit = replace(fit, cut=None)  # smaller errors let see more
    found = fit.found or abs(moved) < FAR_KMS
    fit = replace(fit, shape=shape, error=max(error, LEAST_ERROR), model_error=model_error, found=found)
    return fit if near else _moved_to(fit, fit.rv_kms + moved, conditions)


def _moved_to(fit: Fit, rv_kms: float, conditions: Conditions) -> Fit:
    """The star with the model put on its pixels at another velocity, without those that the grid leaves."""
    seen = fit.target.place(rv_kms)
    some = fit.some & np.asarray(seen.covered)
    new = begin(fit.target, some, seen, conditions)
    return replace(
        new, rv_kms=rv_kms, model_error=fit.model_error, error=fit.error, shape=fit.shape[some[fit.some]],
        unit_labels=fit.unit_labels if fit.found else None, boxes=fit.boxes, cut=fit.cut, found=fit.found,
    )  # fmt: skip


def _with_mean(fit: Fit, conditions: Conditions) -> tuple[Fit, float]:
    """The star with the flux of its best fit, and the velocity relative to where the model was put."""
    assert fit.unknowns is not None
    assert fit.weights is not None
    q = conditions.continuum + 1
    mean = (fit.unknowns[:q] @ fit.curves[:q]) * (fit.weights @ fit.basis)
    moved = float(fit.unknowns[-1]) if conditions.rv_sigma_kms else 0.0
    if moved:
        mean = mean + moved * (fit.weights @ fit.moving)
    return replace(fit, mean=mean), moved


def free_numbers(like: ReducedLikelihood, conditions: Conditions) -> int:
    """Returns how many numbers are fitted: labels and unknowns."""
    return len(like.prior.label_names) + len(conditions.unknowns)


def _model_error(
    residual: np.ndarray, variance: np.ndarray, level: np.ndarray, dof: int, floor: float
) -> float:
    """The relative error of the model at which chi2 is `dof`, not below `floor`."""

    def excess(error: float) -> float:
        return float((residual**2 / (variance + (error * level) ** 2)).sum()) - dof

    if excess(floor) <= 0:
        return floor
    return 1.0 if excess(1.0) > 0 else float(brentq(excess, floor, 1.0, xtol=1e-6))
