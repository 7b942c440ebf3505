"""The embedded grid beside spectra of other codes, as `benchmarks/synthesis_realism.py` has kept them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from crlb.files.records import Record
from crlb.palette import steps, symbol
from experiments.study.plotting import PAGE, Sheet, Style, legend_below, light_grid, sentences

LOOKS: dict[str, Style] = {
    "BOSZ 2017": {"color": steps(3)[2], "linewidth": 2.2},
    "peer-made (SYNSPEC)": {"color": steps(3)[1], "linewidth": 1.0, "linestyle": (0, (4, 1))},
    "embedded": {"color": steps(3)[0], "linewidth": 0.8},
}


@dataclass(frozen=True, eq=False)
class Spectrum(Record):
    """Flux over its 95 % quantile on a stretch of wavelengths, vacuum Å."""

    wave: Float[np.ndarray, " n_pix"]
    flux: Float[np.ndarray, " n_pix"]


@dataclass(frozen=True)
class Node(Record):
    """Spectra of one set of labels, by the name of their grid."""

    labels: dict[str, float]
    spectra: dict[str, Spectrum]

    def title(self) -> str:
        """The labels in words."""
        found = self.labels
        return f"{symbol('T_eff')} {found['T_eff']:.0f} K, {symbol('log_g')} {found['log_g']:.1f}, " + (
            f"{symbol('M_H')} {found['M_H']:+.1f}"
        )


@dataclass(frozen=True)
class Realism(Record):
    """Spectra of some nodes around the Ca II triplet, at the same resolving power."""

    nodes: tuple[Node, ...]
    date: str

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """A panel for every node, one above the other."""
        figure, panels = sheet.grid(len(self.nodes), 1, 2.4 if sheet.narrow else 2.6, sharex=True)
        for axes, node in zip(panels, self.nodes, strict=True):
            for name, look in LOOKS.items():
                one = node.spectra[name]
                axes.plot(one.wave, one.flux, label=name, **look)
            axes.set_ylabel("flux / 95 % quantile")
            axes.set_title(node.title())
            light_grid(axes)
        panels[-1].set_xlabel("vacuum wavelength (Å)")
        legend_below(figure, panels[0], columns=3)
        return figure

    def caption(self) -> str:
        """What the figure shows."""
        return sentences(
            "Model spectra around the Ca II triplet at a resolving power of 5000: the embedded grid of this "
            "project, a grid that others computed with SYNSPEC, and BOSZ 2017, each over the 95 % quantile "
            "of its flux in this stretch",
            "Lines that only one of them has differ most",
        )
