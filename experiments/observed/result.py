"""What `observed` leaves, its tables and its figure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.observed import figure
from experiments.observed.rows import Fitted, Moved, Score, Stack
from experiments.study.literature import LABELS, SETS, Excluded, Literature
from experiments.study.plotting import PAGE, Sheet, markdown, sentences
from experiments.study.result import Result

UNITS = {"T_eff": "K", "log_g": "dex", "M_H": "dex"}
DIGITS = {"T_eff": 0, "log_g": 2, "M_H": 2}


@dataclass(frozen=True, kw_only=True)
class ObservedResult(Result):
    """Labels of real stars from the literature and under every setting.

    Args:
        stars: their literature.
        excluded: files that are not used.
        label_noise: pooled standard deviation between the sources of a label.
        fits: a row for every setting and star.
        scores: of every setting, group and label.
        moved: how log g moves when lines are left out.
        stacks: mean residuals.
        main: name of the main setting.
        known: that with the resolving power of the set, which lines are left out of and residuals are of.
        nearest: that of the nearest node.
        network: that of the network.
    """

    stars: tuple[Literature, ...]
    excluded: tuple[Excluded, ...]
    label_noise: dict[str, float]
    fits: tuple[Fitted, ...]
    scores: tuple[Score, ...]
    moved: tuple[Moved, ...]
    stacks: tuple[Stack, ...]
    main: str
    known: str
    nearest: str
    network: str

    def table(self) -> str:
        """Scores by setting; sets and groups under the main one; lines; stars."""
        parts = [
            "Scores over the library stars, then over all.",
            *(score_table(self.scores, "setting", group=group) for group in ("library", "all")),
            f"Groups, {self.main}.",
            score_table(self.scores, "group", setting=self.main),
            f"Groups, {self.known}.",
            score_table(self.scores, "group", setting=self.known),
            f"log g when lines are left out, less that of {self.known}, dex.",
            moved_table(self.moved),
            f"Largest mean residuals, data/model - 1, {self.known}.",
            line_table(self.stacks),
            "Spread of the literature between sources: "
            + ", ".join(f"{name} {self.label_noise[name]:.{DIGITS[name]}f} {UNITS[name]}" for name in LABELS),
            f"Stars, {self.main}.",
            star_table(self.stars, self.of(self.main)),
            f"Stars, {self.known}.",
            star_table(self.stars, self.of(self.known)),
            "Not used.",
            markdown(["file", "star", "why"], [[one.file, one.star, one.why] for one in self.excluded]),
        ]
        return "\n\n".join(parts)

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """Literature against posterior, and mean residuals."""
        shown = {name: self.of(name) for name in (self.main, self.known)}
        return figure.plot(self.stars, shown, self.stacks, sheet)

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        flags = {flag for name in (self.main, self.known) for fit in self.of(name) for flag in fit.flags}
        told = ", ".join(flag.lower().replace("_", " ") for flag in sorted(figure.SERIOUS & flags)) or "none"
        return sentences(
            "Labels of real stars: mean and standard deviation of the posterior over the literature, with "
            "the spread between its sources; each row of panels is a setting, its name on top: the whole "
            "arm with [α/M] free, and with the resolving power that is given for the set. Open symbols: "
            f"spectra with a flag ({told})",
            "Below: residual of giants and dwarfs from the best model, mean and error of the mean, at rest; "
            "grey: absorption of the Earth's atmosphere; strong lines named",
        )

    def of(self, setting: str) -> list[Fitted]:
        """The rows of a setting."""
        return [fit for fit in self.fits if fit.setting == setting]


def score_table(scores: Iterable[Score], head: str, **where: str) -> str:
    """The scores with these attributes, a line for each label."""
    heads = [head, "label", "n", "R2 (95 %)", "bias (95 %)", "scatter", "median abs(error)/sigma"]
    heads += ["with literature", "within 1, 2 sigma"]
    some = [one for one in scores if all(getattr(one, key) == value for key, value in where.items())]
    return markdown(heads, [score_line(getattr(one, head), one) for one in some if one.n])


def score_line(name: str, one: Score) -> list[str]:
    """A line of `score_table`."""
    digits = DIGITS[one.label]
    shares = "-" if one.within_1 is None else f"{one.within_1:.2f}, {one.within_2:.2f}"
    return [
        name, one.label, str(one.n), ends_of(one, "r2", 2), ends_of(one, "bias", digits, "+"),
        _number(one.scatter, digits), _number(one.median_pull, 2), _number(one.pull_with_noise, 2), shares,
    ]  # fmt: skip


def ends_of(row: Score | Moved, key: str, digits: int, sign: str = "") -> str:
    """A statistic with its interval, a dash where there is none."""
    value = getattr(row, key)
    if value is None:
        return "-"
    return "{} ({} to {})".format(
        *(f"{getattr(row, key + end):{sign}.{digits}f}" for end in ("", "_low", "_high"))
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def moved_table(moved: Iterable[Moved]) -> str:
    """How log g moves."""
    rows = [[one.setting, one.group, str(one.n), ends_of(one, "shift", 2, "+")] for one in moved]
    return markdown(["left out", "stars", "n", "mean (95 %)"], rows)


def line_table(stacks: Iterable[Stack]) -> str:
    """The largest mean residuals of every group."""
    rows = [
        [one.group, str(one.n), f"{line.wave:.0f}", f"{line.mean:+.3f}", line.features]
        for one in stacks
        for line in one.lines
    ]
    return markdown(["stars", "n", "wave, Å", "mean", "features within 3 Å"], rows)


def star_table(stars: Sequence[Literature], fits: Iterable[Fitted]) -> str:
    """A line for every star."""
    by_file = {fit.file: fit for fit in fits}
    heads = ["set", "star", "T_eff", "log g", "[M/H]", "posterior T_eff", "log g", "[M/H]", "[alpha/M]"]
    heads += ["chi2/dof", "error or model error", "v, km/s", "R", "flags"]
    return markdown(heads, [star_line(one, by_file[one.file]) for one in stars if one.file in by_file])


def star_line(one: Literature, fit: Fitted) -> list[str]:
    """A line of `star_table`."""
    known = [_with(one.labels[name], one.spread[name], DIGITS[name]) for name in LABELS]
    sigma = fit.sigma or {}
    read = [
        _with(fit.mean[name], sigma.get(name), DIGITS.get(name, 2))
        for name in (*LABELS, "a_M")
        if name in fit.mean
    ]
    added = fit.error if fit.error is not None else fit.model_error
    return [
        SETS[one.set].title, one.star, *known, *read, _number(fit.chi2_dof, 2), _number(added, 3),
        _number(fit.rv_kms, 1), _number(fit.resolving_power, 0), ", ".join(fit.flags) or "-",
    ]  # fmt: skip


def _with(value: float, error: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")
