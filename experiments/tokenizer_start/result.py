"""What `tokenizer_start` leaves: strengths of tokens and R2 along the steps, as tables and as a figure."""

from dataclasses import dataclass
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.files.records import Json, Record
from experiments.study.plotting import PAGE_WIDTH_IN, light_grid, markdown
from experiments.study.result import Result

SIGNAL = 0.5  # R2 whose first step is tabled
COLORS = ("#b2182b", "#2166ac", "#67a9cf", "#e08214", "0.4")  # of the starts, in order


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

    def plot(self) -> Figure:
        """Strength of tokens and positions of every start; R2 along the steps."""
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH_IN, 2.6), width_ratios=(1, 1.3))
        self.plot_strengths(left)
        names = list(dict.fromkeys(row.name for row in self.training))
        for row in self.training:
            style = "--" if row.same_as else "-"
            label = (
                row.name + (" (the same)" if row.same_as else "")
                if row.seed == self.training[0].seed
                else None
            )
            steps, r2 = [point.step for point in row.curve], [point.r2 for point in row.curve]
            color = COLORS[names.index(row.name) % len(COLORS)]
            right.plot(steps, r2, linestyle=style, marker="o", color=color, label=label)
        right.set_xlabel("training steps of 64 spectra")
        right.set_ylabel("$R^2$ of log $g$")
        right.legend(frameon=False)
        light_grid(right)
        return figure

    def plot_strengths(self, axes: Axes) -> None:
        """RMS of tokens and of positions, the closed form of tokens as a line."""
        places = np.arange(len(self.tokens))
        axes.barh(
            places - 0.2, [row.rms for row in self.tokens], height=0.35, color="#b2182b", label="tokens"
        )
        positions = [row.position_rms for row in self.tokens]
        axes.barh(places + 0.2, positions, height=0.35, color="0.7", label="positions")
        closed = [row.rms_closed for row in self.tokens]
        axes.plot(closed, places - 0.2, "k|", markersize=9, label="tokens, closed form")
        axes.set_yticks(places, [row.name for row in self.tokens], fontsize=5.5)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel("root mean square at the start")
        axes.legend(frameon=False, loc="best")
        light_grid(axes, "x")
