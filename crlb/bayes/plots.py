"""Pictures of the posterior of one star: its samples, and data, model and residuals."""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from crlb.labels import unit_of
from crlb.palette import DATA, MODEL, PAGE_WIDTH_IN, settled, styled, symbol_with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS = tuple(1 - np.exp(-0.5 * np.array([1.0, 2.0]) ** 2))  # mass within 1 and 2 sigma of a 2-D Gaussian


def plot_corner(
    samples: Float[np.ndarray, "n n_labels"],
    label_names: Sequence[str],
    truth: Mapping[str, float] | None = None,
    title: str = "",
) -> "Figure":
    """Returns the corner plot of equally weighted samples, with 16, 50 and 84 % quantiles.

    Args:
        samples: of the posterior, in the units of the labels.
        label_names: of the columns.
        truth: labels known from elsewhere, drawn as lines.
        title: of the figure.

    Source: Foreman-Mackey 2016, JOSS 1, 24 (corner.py).
    """
    import corner
    from matplotlib.figure import Figure

    names = [symbol_with_unit(name, unit_of(name)) for name in label_names]
    known = None if not truth else [truth.get(name) for name in label_names]
    figure = Figure(figsize=(2.2 * len(names) + 0.6,) * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # corner says so where too few points lie within a contour
        corner.corner(
            samples, fig=figure, labels=names, truths=known, quantiles=(0.16, 0.5, 0.84), show_titles=True,
            title_fmt=".4g", title_kwargs={"fontsize": 9}, levels=LEVELS, truth_color=MODEL,
            range=_ranges(samples),
        )  # fmt: skip
    figure.suptitle(title, fontsize="medium", x=0.98, ha="right")
    return figure


def _ranges(samples: np.ndarray) -> list[tuple[float, float]]:
    """Lowest and highest sample of every label; a little around a label that does not vary."""
    pairs = zip(samples.min(axis=0), samples.max(axis=0), strict=True)
    return [(low, high) if high > low else (low - 1e-3, high + 1e-3) for low, high in pairs]


def plot_fit(
    wave: Float[np.ndarray, " n_pix"],
    flux: Float[np.ndarray, " n_pix"],
    error: Float[np.ndarray, " n_pix"],
    model: Float[np.ndarray, " n_pix"],
    title: str = "",
) -> "Figure":
    """Returns data and model above, residuals in units of the error below.

    Args:
        wave: pixel centres, vacuum Å.
        flux: as observed, in its own scale; NaN where the pixel is not used.
        error: 1 sigma, NaN likewise.
        model: best model with all that is unknown fitted, in the scale of the flux.
        title: of the figure.
    """
    from matplotlib.figure import Figure

    order = np.argsort(wave, kind="stable")
    wave, flux, error, model = wave[order], flux[order], error[order], model[order]
    with styled():
        figure = Figure(figsize=(PAGE_WIDTH_IN, 3.8))
        _plot_data(figure, title, wave, flux, error, model)
        return settled(figure)


def _plot_data(
    figure: "Figure", title: str, wave: np.ndarray, flux: np.ndarray, error: np.ndarray, model: np.ndarray
) -> None:
    """Both panels, from pixels in order."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.fill_between(wave, flux - error, flux + error, color=DATA, alpha=0.25, linewidth=0)
    above.plot(wave, flux, color=DATA, linewidth=0.6, label="data and 1 sigma")
    above.plot(wave, model, color=MODEL, linewidth=0.7, label="best model")
    above.set_ylabel("flux")
    above.set_title("\n".join(textwrap.wrap(title, 100)))
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    _plot_residuals(below, wave, (flux - model) / error)


def _plot_residuals(axes: "Axes", wave: np.ndarray, residual: np.ndarray) -> None:
    """Residuals over error; the scale shows all but the worst percent."""
    axes.axhline(0.0, color=MODEL, linewidth=0.7)
    axes.plot(wave, residual, color=DATA, linewidth=0.5)
    finite = np.abs(residual[np.isfinite(residual)])
    reach = max(4.0, 1.2 * float(np.percentile(finite, 99.0))) if finite.size else 4.0
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("residual / sigma")
    axes.set_xlabel("vacuum wavelength (Å)")
