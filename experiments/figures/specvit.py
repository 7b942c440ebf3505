"""The diagram of SpecViT: a spectrum becomes patches, tokens, labels. Its numbers are those of a preset."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from crlb.fisher.features import FEATURES
from crlb.palette import BACKGROUND, DATA, METHODS, symbol
from experiments.study.plotting import PAGE, Sheet, sentences
from specvit_jax import Config
from specvit_jax.settings.config import ModelConfig

POOLED = {
    "cls": "the class token",
    "mean": "the mean of the tokens",
    "attention": "a weighted mean of the tokens",
    "flat": "all tokens, by their place",
}
SHOWN = 8  # patches drawn; dots stand for the rest


@dataclass(frozen=True)
class Diagram:
    """The network of a preset, beside the numbers of another."""

    config: Config
    other: Config

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Spectrum and patches beside the boxes of the network, or above them in a column."""
        model = self.config.model
        if sheet.narrow:
            figure, (above, below) = sheet.panels(2, 3.0, height_ratios=(1, 2.6))
        else:
            figure, (above, below) = sheet.panels(2, 3.6, widths=(1.05, 1))
        draw_spectrum(above, model)
        draw_boxes(below, boxes(model), model.depth)
        return figure

    def caption(self) -> str:
        """What the diagram shows."""
        model = self.config.model
        return sentences(
            f"SpecViT as published (preset {self.config.preset}): a spectrum of {model.input_size:,} "
            f"pixels is cut into {model.num_patches} patches of {model.patch_size} pixels; each becomes a "
            f"token of {model.embed_dim} numbers; {model.depth} Transformer blocks mix the tokens, and the "
            f"head reads {POOLED[model.pool]}",
            "Layer norm: brought to mean 0 and deviation 1 over the numbers of a token. Dashed: a second "
            "output for each label, the logarithm of its standard deviation sigma, where asked for",
            f"{self.other.preset}, the small network: {told(self.other.model)}",
        )


def told(model: ModelConfig) -> str:
    """The sizes of a network in words."""
    return (
        f"{model.num_patches} patches of {model.patch_size} pixels, {model.depth} blocks of width "
        f"{model.embed_dim} with {model.num_heads} heads, labels from {POOLED[model.pool]}"
    )


def boxes(model: ModelConfig) -> list[str]:
    """What the boxes say, in the order of the data."""
    first = "class token; " if model.pool == "cls" else ""
    return [
        f"tokens: a {TOKENIZERS[model.tokenizer]} makes\n{model.embed_dim} numbers of each patch",
        f"{first}{model.pos_embed} position\nadded to {model.num_patches} tokens",
        f"layer norm, attention with {model.num_heads} heads",
        f"layer norm, perceptron of {int(model.mlp_ratio * model.embed_dim):,} units",
        f"head: linear, from {POOLED[model.pool]}",
        ", ".join(symbol(name) for name in model.label_names),
    ]


TOKENIZERS = {"conv": "convolution", "linear": "matrix"}


def draw_spectrum(axes: Axes, model: ModelConfig) -> None:
    """A made-up spectrum with the lines of the arm, and its first patches below, as steps."""
    low, high = model.wave_range
    wave = np.linspace(low, high, 1200)
    depth = sum(0.5 * np.exp(-0.5 * ((wave - one.wave) / 4) ** 2) for one in FEATURES[::3])
    flux = 0.62 + 0.34 * np.exp(-3.0 * np.asarray(depth))
    axes.plot(wave, flux, color=DATA, linewidth=0.7)
    axes.text(low, 1.0, f"spectrum: {model.input_size:,} pixels", va="bottom")
    width = (high - low) / (SHOWN + 1.6)
    places = [low + i * 1.0 * width for i in (*range(SHOWN - 1), SHOWN + 0.6)]
    for i, start in enumerate(places):
        axes.add_patch(
            Rectangle((start, 0.2), 0.85 * width, 0.2, facecolor=BACKGROUND, edgecolor="0.3", linewidth=0.7)
        )
        piece = slice(i * len(wave) // SHOWN, (i + 1) * len(wave) // SHOWN)
        inner = start + 0.85 * width * np.linspace(0.05, 0.95, len(wave[piece]))
        axes.plot(inner, 0.2 + 0.19 * (flux[piece] - 0.6) / 0.38, color=DATA, linewidth=0.7)
        arrow(axes, (wave[piece].mean(), 0.58), (start + 0.42 * width, 0.42))
    axes.text(low + (SHOWN - 0.3) * width, 0.3, "…", ha="center", va="center")
    axes.text(low, 0.13, f"{model.num_patches} patches of {model.patch_size} pixels", va="top")
    axes.set(xlim=(low - 10, high + 10), ylim=(0.02, 1.12))
    axes.axis("off")


def draw_boxes(axes: Axes, texts: Sequence[str], depth: int) -> None:
    """Boxes from above to below, arrows between them, the block framed, the second output dashed."""
    *inner, last = texts
    places = np.linspace(0.92, 0.2, len(inner))
    for place, text in zip(places, inner, strict=True):
        box(axes, (0.06, place - 0.045), 0.68, 0.09, text)
    for upper, lower in pairwise(places):
        arrow(axes, (0.4, upper - 0.045), (0.4, lower + 0.045))
    frame = FancyBboxPatch(
        (0.03, places[3] - 0.08), 0.82, places[2] - places[3] + 0.16,
        boxstyle="round,pad=0,rounding_size=0.02", facecolor="none",
        edgecolor=METHODS["SpecViT"], linewidth=1.2,
    )  # fmt: skip
    axes.add_patch(frame)
    middle = (places[2] + places[3]) / 2
    axes.text(0.87, middle, f"{depth} Transformer\nblocks", va="center", ha="left", rotation=90)
    for place in places[2:4]:
        skip(axes, place)
    for x, text, dashes in ((0.2, last, "-"), (0.6, "ln $\\sigma$", "--")):
        box(axes, (x - 0.13, 0.0), 0.26, 0.09, text, linestyle=dashes, edgecolor=METHODS["SpecViT"])
        arrow(axes, (0.4, places[-1] - 0.045), (x, 0.095))
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.0))
    axes.axis("off")


def box(
    axes: Axes, corner: tuple[float, float], width: float, height: float, text: str, **style: str
) -> None:
    """A box with its text in the middle."""
    look = {"edgecolor": "0.3", "facecolor": BACKGROUND if not style else "white"} | style
    axes.add_patch(Rectangle(corner, width, height, linewidth=0.8, **look))  # type: ignore[arg-type]
    axes.text(corner[0] + width / 2, corner[1] + height / 2, text, ha="center", va="center")


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A thin arrow."""
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=6, color="0.3", linewidth=0.7)
    )


def skip(axes: Axes, place: float) -> None:
    """The way past a part of the block, added to what comes out of it."""
    above, below = place + 0.065, place - 0.065
    axes.plot([0.4, 0.795, 0.795, 0.45], [above, above, below, below], color="0.3", linewidth=0.7)
    arrow(axes, (0.46, below), (0.41, below))
    axes.text(0.81, place, "+", ha="left", va="center")
