"""The block of what the experiments found: one point each, every number from its results.json."""

from collections.abc import Callable

from experiments.tables.results import Result, Results
from experiments.tables.text import fixed, items, paragraph, percent, span

Point = Callable[[Result], str]
ARMS = {  # of `distillation`, in words
    "recipe of tiny, patch 512": "the recipe of 2026-11-25 with eight tokens has R²",
    "+ scaled by noise": "with spectra scaled by their noise",
    "+ average of weights": "with an average of weights",
    "+ teacher": "taught by a perceptron",
    "teacher, sigma": "the same with sigma",
}


def findings(results: Results) -> str:
    """One point per experiment, with the day of its run."""
    words = paragraph(
        """What the experiments found (`python -m experiments.NAME`, with the day of each run; tables and
        figures in [results](results), more in [experiments/LOG.md](experiments/LOG.md)):"""
    )
    runs = {name: results.experiment(name) for name in POINTS}
    points = items(f"`{name}` ({run.date}): {POINTS[name](run)}" for name, run in runs.items())
    return f"{words}\n\n{points}\n\n{by_stars_alone(results, 'attention')}"


def half_width(rows: list[Result]) -> float:
    """Half the width of the intervals of R², their mean."""
    return sum(row.number("r2_high") - row.number("r2_low") for row in rows) / len(rows) / 2


def by_stars_alone(results: Results, first: str) -> str:
    """How well the R² of the smaller experiments are known, which begin with one of the list."""
    rows = [row for name in ("tokenization", "capacity") for row in results.experiment(name).rows("rows")]
    reach = half_width(rows)
    return paragraph(
        f"""Those from `{first}` on: one seed, 600 steps of 128 spectra unless said otherwise, each R²
        ±{fixed(reach, 2)} by the test stars alone."""
    )


def _efficiency(run: Result) -> str:
    share, low, high = (run.number("all", f"efficiency{end}") for end in ("", "_low", "_high"))
    near, near_low, near_high = (run.number("all", f"against_mean{end}") for end in ("", "_low", "_high"))
    return (
        f"`tiny` reaches {fixed(share, 3)} ({fixed(low, 3)}-{fixed(high, 3)}) of R²_Bayes, and of the R² "
        f"that the posterior mean has on the same stars {fixed(near, 3)} ({fixed(near_low, 3)}-"
        f"{fixed(near_high, 3)})."
    )


def _survey(run: Result) -> str:
    limit, names = run.number("limit", 0, "r2_bayes"), ("survey", "tiny")
    best = run.number("limit", 0, "r2_mean")
    ours, other = (run.at("networks", name, "rows", 0) for name in names)
    share, low, high = (ours.number(f"efficiency{end}") for end in ("", "_low", "_high"))
    covers = " and ".join(percent(ours.number(f"cover_{level}"), 1) for level in (68, 95))
    return (
        f"with scale, continuum, velocity, line width, lost pixels and sky unknown the exact limit is "
        f"{fixed(limit, 3)}, that of the posterior means of these very stars {fixed(best, 3)}; `survey` "
        f"reaches {fixed(ours.number('r2'), 3)}, {fixed(share, 3)} ({fixed(low, 3)}-{fixed(high, 3)}) of the "
        f"limit, its sigma covers {covers} % where it should 68 and 95, "
        f"and `tiny`, which never saw such stars, has {fixed(other.number('r2'), 2)}."
    )


def _budgets(run: Result) -> str:
    told = []
    for n in run.at("size", "budgets").value:  # type: ignore[union-attr]
        rows = sorted(run.rows("rows", spectra=n), key=lambda row: -row.number("r2"))
        scores = ", ".join(f"{row.text('method')} {fixed(row.number('r2'), 3)}" for row in rows)
        told.append(f"from {n:,} spectra {scores}")
    reach = half_width([row for row in run.rows("rows") if row.text("method") == "SpecViT"])
    return (
        f"every method reading the same numbers, R² {'; '.join(told)} (±{fixed(reach, 3)}, stars and three "
        f"seeds; exact limit {fixed(run.number('limit'), 3)})."
    )


def _distillation(run: Result) -> str:
    steps = max(int(row.number("steps")) for row in run.rows("rows"))
    told = [
        f"{words} {fixed(run.one('rows', change=change, steps=steps).number('r2'), 3)}"
        for change, words in ARMS.items()
    ]
    teacher, limit = fixed(run.number("teacher", "r2"), 3), fixed(run.number("limit"), 3)
    return (
        f"after {steps:,} steps of 256 spectra {'; '.join(told)} (the teacher {teacher}, one seed; exact "
        f"limit {limit})."
    )


def _residuals(run: Result) -> str:
    ours, best = (run.number("pulls", name, "posterior", "std") for name in ("SpecViT", "posterior mean"))
    return (
        "its bias is that of the posterior mean, cell by cell; its errors scatter by "
        f"{fixed(ours, 2)} posterior sigma, those of the posterior mean by {fixed(best, 2)}."
    )


def _uncertainty(run: Result) -> str:
    network, exact = run.at("bins", 0, "network"), run.at("bins", 0, "moments")
    wider = network.number("sharpness") / exact.number("sharpness") - 1
    head, plain = (run.one("rows", arm=arm) for arm in ("NLL head", "squared error, no sigma"))
    return (
        f"a likelihood head covers {percent(network.number('cover_68'), 1)} % and "
        f"{percent(network.number('cover_95'), 1)} % where it should cover 68 and 95, but its sigma is "
        f"{percent(wider)} % wider than that of the exact posterior and costs "
        f"{fixed(plain.number('r2') - head.number('r2'), 2)} in R²."
    )


def _observed(run: Result) -> str:
    main, known, nearest, network = (run.text(name) for name in ("main", "known", "nearest", "network"))
    red = "8400-8800, a_M = 0, R of the set"

    def score(group: str, setting: str, label: str = "log_g") -> Result:
        return run.one("scores", setting=setting, group=group, label=label)

    def r2(setting: str) -> str:
        return fixed(score("library", setting).number("r2"), 2)

    giants, dwarfs = (
        fixed(score(f"library {group}", red).number("bias"), 2, sign=True) for group in ("giants", "dwarfs")
    )
    return (
        f"log g of {fixed(score('library', red).number('n'), 0)} real spectra of stars with known labels: R² "
        f"{r2(red)} by the posterior from 8400 to 8800 Å, no better than the nearest node of the grid "
        f"({r2(nearest + ', R of the set')}), as both share the model's error: giants {giants}, dwarfs "
        f"{dwarfs} dex. A resolving power fitted where the file states none spoils it ({r2(red[:18])}); "
        f"so does the whole arm under a cubic continuum ({r2(known)}; both: {r2(main)}). The median error is "
        f"{fixed(score('library', red).number('median_pull'), 1)} sigma: errors of the model are no noise of "
        f"single pixels. `tiny`, not made for these, has {r2(network)}."
    )


def _leak(run: Result) -> str:
    def of(reading: str, method: str = "quadratic Ridge") -> Result:
        return run.one("rows", reading=reading, method=method)

    def gained(reading: str) -> str:
        ends = (of(reading).number(f"gain{end}") for end in ("", "_low", "_high"))
        value, low, high = (fixed(end, 4, sign=True) for end in ends)
        return f"{value} ({low} to {high})"

    def r2(reading: str, method: str = "quadratic Ridge") -> str:
        return fixed(of(reading, method).number("r2"), 3)

    scatter = fixed(run.number("label_free", "without_mag"), 3)
    return (
        "errors computed from the noiseless model, as the original's files store them, are the model without "
        f"noise: from them alone log g has R² {r2('model error')}, with the flux {r2('flux, model error')}, "
        f"where the exact limit of any reader of flux is {fixed(run.number('limit'), 3)} (Ridge on their "
        f"pixels {r2('model error', 'Ridge on pixels')}). Errors from the observed flux tell what the flux "
        f"tells, {r2('observed error')} and {r2('flux')} by the same method. Sky, dark and read noise alone "
        f"tell nothing of log g ({r2('label-free error')}): in scaled flux they are one number, the "
        f"magnitude but for {scatter} in its logarithm. Beside the flux it gains "
        f"{gained('flux, label-free error')} in R², the magnitude {gained('flux, magnitude')}; both together "
        f"tell the mean of the noiseless flux and so leak again, "
        f"{gained('flux, label-free error, magnitude')}."
    )


def _classification(run: Result) -> str:
    exact, classes, values = (
        run.one("rows", arm=arm, snr_high=None)
        for arm in ("exact posterior", "learns the class", "learns log g")
    )
    right, told, read = (percent(row.number("accuracy"), 1) for row in (exact, classes, values))

    def points(row: Result) -> str:
        value, low, high = (percent(row.number(f"lost{end}"), 1) for end in ("", "_low", "_high"))
        return f"{value} ({low}-{high})"

    above = exact.number("share_above")
    return (
        f"whether log g lies above {run.number('threshold'):g} is told rightly of {right} % of the first "
        f"{exact.number('n'):,.0f} test stars by the likelier class of the exact posterior, of {told} % by a "
        f"network that learns the class and of {read} % by one that learns log g; "
        f"{percent(max(above, 1 - above), 1)} % are of the larger class. To be expected of these spectra, "
        f"whatever the stars are, the networks lose {points(classes)} and {points(values)} points."
    )


def _attention(run: Result) -> str:
    cosine = run.one("cosines", network="trained", filter="prior").number("median")
    gradient, rollout = (
        run.one("correlations", network="trained", measure=measure, label="log_g")
        for measure in ("sensitivity", "rollout")
    )
    return (
        f"the gradient of log g follows the optimal filter (cosine {fixed(cosine, 2)}) and the information "
        f"of the patches (rank correlation {fixed(gradient.number('rho'), 2)}); attention rollout does not "
        f"({fixed(rollout.number('rho'), 2)}, where patches moved round reach "
        f"{fixed(rollout.number('chance_high'), 2)})."
    )


def _transfer_learning(run: Result) -> str:
    tuned, scratch = (
        run.one("rows", method=method, n=1000).number("r2") for method in ("fine-tuned", "from scratch")
    )
    return (
        f"`tiny` reads a SYNSPEC grid with R² {fixed(run.number('zero_shot', 'r2'), 3)} (limit "
        f"{fixed(run.number('limit'), 3)}); fine-tuned on 1,000 spectra it has {fixed(tuned, 3)}, a network "
        f"trained on these alone {fixed(scratch, 3)}."
    )


def _robustness(run: Result) -> str:
    plain = _under(run, "SpecViT", 0, "none")[0]
    tilt, velocity, lost, width = (
        _under(run, "SpecViT", *case)
        for case in ((0.1, "tilt"), (50, "velocity"), (0.2, "masked", "masked in blocks"), (0.2, "width"))
    )
    return (
        f"a continuum tilted by 10 % from end to end leaves {span(tilt, 2)} of {fixed(plain, 3)}, 50 km/s "
        f"{span(velocity, 2)}; 20 % of the pixels lost {span(lost, 2)}; a line width wrong by 20 % costs "
        f"{fixed(plain - min(width), 2)} at most.{_wrong_scale(run)}{_of_survey(run)}"
    )


def _under(run: Result, reader: str, amount: float, *kinds: str) -> list[float]:
    """R² of a reader under distortions of these kinds and this size, whatever their sign."""
    rows = [row for kind in kinds for row in run.rows("rows", reader=reader, kind=kind)]
    return [row.number("r2") for row in rows if abs(row.number("amount")) == amount]


def _wrong_scale(run: Result) -> str:
    """A sentence on a wrong scale; empty where the run had none."""
    rows = run.rows("rows", reader="SpecViT", kind="scale")
    if not rows:
        return ""
    sizes, left = (", ".join(x) for x in zip(*(_percent_and_r2(row) for row in rows), strict=True))
    return f" A scale wrong by {sizes} % rms leaves {left}."


def _percent_and_r2(row: Result) -> tuple[str, str]:
    return f"{100 * row.number('amount'):g}", fixed(row.number("r2"), 2)


def _of_survey(run: Result) -> str:
    """A sentence on the network `survey`; empty where it was not shipped when the experiment ran."""
    if not run.rows("rows", reader="survey"):
        return ""
    plain, tilt, velocity = (
        span(_under(run, "survey", *case), 2) for case in ((0, "none"), (0.1, "tilt"), (50, "velocity"))
    )
    return (
        f" `survey`, trained with all of these unknown, has {plain} undistorted, {tilt} under that tilt and "
        f"{velocity} at 50 km/s, whatever the scale."
    )


POINTS: dict[str, Point] = {
    "efficiency": _efficiency,
    "survey": _survey,
    "budgets": _budgets,
    "distillation": _distillation,
    "residuals": _residuals,
    "uncertainty": _uncertainty,
    "observed": _observed,
    "leak": _leak,
    "classification": _classification,
    "attention": _attention,
    "transfer_learning": _transfer_learning,
    "robustness": _robustness,
}
