"""A page of some spectra: data, best model, residuals. The data are drawn, not kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from crlb.palette import DATA, MODEL, PAGE_WIDTH_IN, styled
from experiments.observed.fits import BestFit
from experiments.observed.rows import Fitted
from experiments.study.literature import SETS, Star
from experiments.study.plotting import save_png

AT_MOST = 12  # spectra of a page


def draw(stars: Sequence[Star], fits: Sequence[Fitted], best: Mapping[str, BestFit], folder: Path) -> None:
    """Writes spectra.png: of every set the stars of lowest and highest log g, as many as fit.

    Args:
        stars: all.
        fits: their labels under the setting of the best fits.
        best: best fits, by file.
        folder: of the results.
    """
    by_file = {fit.file: fit for fit in fits}
    some = [star for star in representative(stars) if star.literature.file in best]
    if not some:
        return
    with styled():
        figure, panels = plt.subplots(
            2 * len(some), 1, figsize=(PAGE_WIDTH_IN, 1.25 * len(some)), squeeze=False,
            height_ratios=[3, 1] * len(some),
        )  # fmt: skip
        for i, star in enumerate(some):
            fit = best[star.literature.file]
            plot_one(
                panels[2 * i, 0], panels[2 * i + 1, 0], fit, title_of(star, by_file[star.literature.file])
            )
        panels[-1, 0].set_xlabel("vacuum wavelength (Å)")
        save_png(figure, folder / "spectra.png")
        plt.close(figure)


def representative(stars: Sequence[Star]) -> list[Star]:
    """The stars of lowest and highest log g of every set, in the order of the sets."""
    found: list[Star] = []
    for name in dict.fromkeys(star.literature.set for star in stars):
        some = [star for star in stars if star.literature.set == name]
        some.sort(key=lambda star: star.literature.labels["log_g"])
        found += [some[0], *some[-1:]] if len(some) > 1 else some
    return found[:AT_MOST]


def title_of(star: Star, fit: Fitted) -> str:
    """Name, labels of the literature and of the posterior."""
    known, read = star.literature.labels, fit.mean
    return (
        f"{SETS[star.literature.set].title} {star.literature.star}: literature {known['T_eff']:.0f} K, "
        f"log g {known['log_g']:.2f}, [M/H] {known['M_H']:+.2f}; posterior {read['T_eff']:.0f}, "
        f"{read['log_g']:.2f}, {read['M_H']:+.2f}"
    )


def plot_one(above: Axes, below: Axes, fit: BestFit, title: str) -> None:
    """Data and model over a median of 1, residual in percent below."""
    order = np.argsort(fit.wave, kind="stable")
    wave, flux, model = fit.wave[order], fit.flux[order], fit.model[order]
    used = np.isfinite(flux)
    scale = float(np.median(flux[used]))
    above.plot(wave, flux / scale, color=DATA, linewidth=0.5)
    above.plot(wave, model / scale, color=MODEL, linewidth=0.5)
    above.set_title(title, pad=2)
    above.tick_params(labelbottom=False)
    below.plot(wave, 100 * (flux / model - 1), color=DATA, linewidth=0.4)
    below.axhline(0, color=MODEL, linewidth=0.5)
    below.set(ylim=(-8, 8), ylabel="%")
    for axes in (above, below):
        axes.set_xlim(wave[used].min(), wave[used].max())
