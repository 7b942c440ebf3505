"""Rows of `observed`: stars with their labels, what each setting says of them, scores, residuals."""

from dataclasses import dataclass

from crlb.files.records import Record


@dataclass(frozen=True, kw_only=True)
class Fitted(Record):
    """What a setting says of a star; None where it says nothing of that kind.

    `model_error`: relative, added to the errors; `error`: relative, estimated where the file has none.
    """

    setting: str
    set: str
    file: str
    mean: dict[str, float]
    sigma: dict[str, float] | None = None
    chi2_dof: float | None = None
    p_value: float | None = None
    model_error: float | None = None
    error: float | None = None
    rv_kms: float | None = None
    resolving_power: float | None = None
    snr: float | None = None
    n_pix: int | None = None
    flags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Score(Record):
    """How far a setting is from the literature, n stars of a group, one label; 95 % intervals over stars.

    `bias` is the mean error, `scatter` the standard deviation of the errors, `median_pull` the median of
    |error|/sigma (0.67 where sigma is honest and the literature exact), `pull_with_noise` the same with the
    scatter of the literature added to sigma in quadrature, `within_1`, `within_2` the share of stars within
    one and two sigma.
    """

    setting: str
    group: str
    label: str
    n: int
    r2: float | None = None
    r2_low: float | None = None
    r2_high: float | None = None
    bias: float | None = None
    bias_low: float | None = None
    bias_high: float | None = None
    scatter: float | None = None
    scatter_low: float | None = None
    scatter_high: float | None = None
    median_pull: float | None = None
    pull_with_noise: float | None = None
    within_1: float | None = None
    within_2: float | None = None


@dataclass(frozen=True, kw_only=True)
class Moved(Record):
    """How log g moves when a window is left out: mean over n stars of a group, with its interval, dex."""

    setting: str
    group: str
    n: int
    shift: float | None = None
    shift_low: float | None = None
    shift_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line(Record):
    """A large mean residual and the features of the project's table that lie there, vacuum Å."""

    wave: float
    mean: float
    features: str


@dataclass(frozen=True, kw_only=True)
class Stack(Record):
    """Mean over stars of data/model - 1 in bins at rest, with standard deviation; None where few stars are.

    Args:
        group: of stars.
        n: stars in it.
        wave: middles of the bins, vacuum Å.
        mean: mean residual of every bin.
        scatter: standard deviation over stars.
        lines: where the mean is largest.
    """

    group: str
    n: int
    wave: tuple[float, ...]
    mean: tuple[float | None, ...]
    scatter: tuple[float | None, ...]
    lines: tuple[Line, ...]
