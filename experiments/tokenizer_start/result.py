"""What `tokenizer_start` leaves: strengths of tokens and R2 along the steps, as tables and as a figure."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.files.records import Json, Record
from crlb.palette import looks
from experiments.study.plotting import PAGE, R2, Sheet, legend_below, light_grid, markdown, sentences
from experiments.study.result import Result

SIGNAL = 0.5  # R2 whose first step is tabled


@dataclass(frozen=True, kw_only=True)
class Start(Record):
    """A tokenizer and how the network begins."""

    tokenizer: Literal["conv", "linear"]
    init: Literal["published", "scaled"]
    token_std: float

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.tokenizer}, {self.init} maps, tokens {self.token_std:g}"


@dataclass(frozen=True, kw_only=True)
class Strength(Start):
    """RMS of pixels, of tokens, of positions; the tokens' share of the squares; closed forms beside them."""

    pixel_rms: float
    rms: float
    rms_closed: float
    position_rms: float
    share: float
    share_closed: float


@dataclass(frozen=True, kw_only=True)
class Point(Record):
    """Mean training loss since the last point, and R2 on the held-out spectra after some steps."""

    step: int
    loss: float
    r2: float


@dataclass(frozen=True, kw_only=True)
class Training(Record):
    """A training from a start; `same_as`: the start that begins with the very same parameters."""

    tokenizer: Literal["conv", "linear"]
    init: Literal["published", "scaled"]
    token_std: float
    name: str
    seed: int
    same_as: str | None
    curve: tuple[Point, ...]

    @property
    def first_step(self) -> str:
        """The first step at which R2 was found above `SIGNAL`, or 'never'."""
        return next((f"by step {point.step}" for point in self.curve if point.r2 > SIGNAL), "never")


@dataclass(frozen=True, kw_only=True)
class StartResult(Result):
    """Token strengths of every start, R2 along the steps of every training."""

    network: dict[str, Json]  # the settings of the first
    tokens: tuple[Strength, ...]
    training: tuple[Training, ...]

    def table(self) -> str:
        """Token strengths, then R2 along the steps, and how they were made."""
        heads = ["start", "token RMS", "closed form", "position RMS", "share of signal", "closed form"]
        marks = [f"R2 at {point.step}" for point in self.training[0].curve]
        strengths = [
            [row.name]
            + [f"{value:.3f}" for value in (row.rms, row.rms_closed, row.position_rms)]
            + [f"{value:.2%}" for value in (row.share, row.share_closed)]
            for row in self.tokens
        ]
        rows = [
            [row.name, str(row.seed), *(f"{point.r2:.3f}" for point in row.curve), row.first_step]
            for row in self.training
        ]
        last = markdown(["start", "seed", *marks, f"R2 > {SIGNAL:g}"], rows)
        made = f"`{self.provenance.command}`, {self.provenance.date}, {self.provenance.device}."
        return f"{markdown(heads, strengths)}\n\n{last}\n\n{made}"

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Strength of tokens and positions of every start; R2 along the steps."""
        figure, (left, right) = sheet.panels(2, 2.4 if sheet.narrow else 2.8, widths=(1, 1.3))
        self.plot_strengths(left, sheet)
        names = list(dict.fromkeys(row.name for row in self.training if not row.same_as))
        styles = dict(zip(names, looks(len(names)), strict=True))
        for row in self.training:
            if not row.same_as:
                x, r2 = [point.step for point in row.curve], [point.r2 for point in row.curve]
                label = row.name if row.seed == self.training[0].seed else None
                right.plot(x, r2, label=label, **styles[row.name])
        right.set_xlabel("training steps of 64 spectra")
        right.set_ylabel("$R^2$ of log $g$")
        light_grid(right)
        legend_below(figure, left, right, columns=2)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        same = [f"{row.name} is the same training as {row.same_as}" for row in self.training if row.same_as]
        return sentences(
            "Starts of the tokenizer, the map from the pixels of a patch to a token (conv: a convolution; "
            "linear: a matrix), with the published starting weights or with weights scaled so that tokens "
            "have unit strength, and tokens of the class and position of standard deviation 1 or 0.02. "
            "Left or above: strength (root mean square) of tokens and of positions before training, and "
            "of tokens by the closed form. Right or below: R² on held-out spectra along the training",
            *dict.fromkeys(same), R2,
        )  # fmt: skip

    def plot_strengths(self, axes: Axes, sheet: Sheet) -> None:
        """RMS of tokens and of positions, the closed form of tokens as a line."""
        places = np.arange(len(self.tokens))
        tokens = [row.rms for row in self.tokens]
        axes.plot(tokens, places - 0.15, "o", color="0.15", label="tokens")
        positions = [row.position_rms for row in self.tokens]
        axes.plot(positions, places + 0.15, "s", color="0.65", label="positions")
        closed = [row.rms_closed for row in self.tokens]
        axes.plot(closed, places - 0.15, "|", color="0.4", markersize=9, label="tokens, closed form")
        axes.set_yticks(places, sheet.wrapped([row.name for row in self.tokens]))
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel("strength at the start")
        light_grid(axes, "x")
