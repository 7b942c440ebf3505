"""The block of what the experiments found: one point each, every number from its results.json."""

from collections.abc import Callable

from crlb.files.records import Json
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
    reach = _reach([row for name in ("tokenization", "capacity") for row in runs[name].rows("rows")])
    end = paragraph(
        f"""Those from `scaling` on: one seed, 600 steps of 128 spectra unless said otherwise, each R²
        ±{fixed(reach, 2)} by the test stars alone."""
    )
    return f"{words}\n\n{points}\n\n{end}"


def _reach(rows: list[Result]) -> float:
    """Half the width of the intervals of R², their mean."""
    return sum(row.number("r2_high") - row.number("r2_low") for row in rows) / len(rows) / 2


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
    reach = _reach([row for row in run.rows("rows") if row.text("method") == "SpecViT"])
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


def _scaling(run: Result) -> str:
    steps = [row.number("r2") for row in run.rows("rows", method="SpecViT", mode="steps")]
    epochs = run.rows("rows", method="SpecViT", mode="epochs")
    few, many = epochs[0], epochs[-1]
    return (
        f"after the same 600 steps R² is {span(steps, 2)} from 1,000 spectra, seen with fresh noise, as from "
        f"endless ones; after one epoch it rises from {fixed(few.number('r2'), 2)} to "
        f"{fixed(many.number('r2'), 2)} between {few.number('n'):,} and {many.number('n'):,}. That is the "
        "recipe of `tiny`; the original's own is in `original_recipe`."
    )


def _original_recipe(run: Result) -> str:
    def r2(n: Json, mode: str | None = "recipe", method: str = "SpecViT", whitened: bool = False) -> str:
        row = run.one("best", method=method, whitened=whitened, mode=mode, n=n)
        return fixed(row.number("r2"), 2)

    sizes, few = (run.at("size", key).value for key in ("n", "compared"))
    assert isinstance(sizes, list)
    pairs = [(pair.at(0).value, pair.at(1).value) for pair in run.rows("size", "same_steps")]
    same = [f"{n:,} {r2(n, f'steps of {most:,}')} with those of {most:,}" for n, most in pairs]
    modes = {"SpecViT": "recipe", "MLP": "recipe", "Ridge": None}
    read = [f"{name} {r2(few, mode, name)} and {r2(few, mode, name, True)}" for name, mode in modes.items()]
    return (
        "the original's own recipe, but a network a quarter as wide and a twentieth of its epochs: R² "
        f"{', '.join(map(r2, sizes))} from {', '.join(f'{n:,}' for n in sizes)} spectra. With as many steps "
        f"as more spectra get: {', '.join(same)}. At this size the rise is one of steps. Of {few:,} spectra, "
        f"as they are and whitened: {', '.join(read)}."
    )


def _tokenization(run: Result) -> str:
    arm = {row.text("arm"): row for row in run.rows("rows")}
    sizes = [arm[f"patch {size}"] for size in (64, 32, 16, 8)]
    cost = [row.number("step_s") / sizes[0].number("step_s") for row in sizes]
    *few, last = ("1", fixed(cost[1], 1), fixed(cost[2], 1), fixed(cost[3], 0))
    return (
        f"after 200 steps patches of 64, 32, 16, 8 pixels reach "
        f"{', '.join(fixed(row.number('r2'), 3) for row in sizes)} (each ±{fixed(_reach(sizes), 3)}) at "
        f"{', '.join(few)} and {last} times the cost; overlap gains nothing, chunk normalisation loses "
        f"{span(_lost(arm, 'chunk-normalised'), 3)}, the original's start "
        f"{span(_lost(arm, 'published start'), 2)}."
    )


def _lost(arms: dict[str, Result], word: str) -> list[float]:
    """How much less R² the arms of that word have than those cut into the same patches without it."""
    return [
        arms[name.split(", conv")[0].split(", linear")[0].removesuffix(f", {word}")].number("r2")
        - row.number("r2")
        for name, row in arms.items()
        if name.endswith(word)
    ]


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


def _snapping(run: Result) -> str:
    plain, snapped = (run.one("rows", trained="continuous", test=test) for test in ("continuous", "snapped"))
    variance = run.number("variance", "snapped") / run.number("variance", "continuous")
    return (
        f"stars with labels on the grid's nodes add {fixed(snapped.number('r2') - plain.number('r2'), 2)} to "
        f"R², though their errors are larger (RMSE {fixed(snapped.number('rmse'), 3)} against "
        f"{fixed(plain.number('rmse'), 3)} dex): the variance of log g, {fixed(variance, 2)} times as large, "
        "outweighs that."
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


def _multitask(run: Result) -> str:
    def row(kind: str, arm: str, label: str = "log_g") -> Result:
        return run.one(
            "rows", kind=f"stars of {kind}" if kind == "free ratios" else kind, arm=arm, label=label
        )

    alone, together = (row("solar-scaled stars", arm).number("r2") for arm in ("alone", "3 together"))
    free, five = (row("free ratios", arm).number("r2") for arm in ("alone", "5 together"))
    others = [row("free ratios", "5 together", label) for label in ("a_M", "C_M")]
    reached, limits = (" and ".join(fixed(x.number(key), 2) for x in others) for key in ("r2", "limit"))
    solar = fixed(alone, 3)
    beside = " and" if fixed(together, 3) == solar else f", {fixed(together, 3)}"
    return (
        f"log g has R² {solar} alone{beside} beside T_eff and [M/H]; where [α/M] and [C/M] vary as well, "
        f"{fixed(free, 3)} alone and {fixed(five, 3)} with all five, of which these two reach {reached} "
        f"(limits {limits})."
    )


def _loss_and_scaling(run: Result) -> str:
    def row(loss: str, scaling: str = "zscore") -> Result:
        return run.one("rows", arm=f"{loss}, {scaling}, rate 0.005")

    squared, huber, absolute, likely = (row(loss).number("r2") for loss in ("mse", "huber", "l1", "nll"))
    covered = [row("nll").number("coverage", f"{n}_sigma") for n in (1, 2)]
    costs = [row(loss).number("r2") - row(loss, "minmax").number("r2") for loss in ("l1", "mse", "huber")]
    return (
        f"MSE and Huber reach {span((squared, huber), 3)}, L1 {fixed(absolute, 3)}, a likelihood "
        f"{fixed(likely, 3)} with {percent(covered[0])} and {percent(covered[1])} % of the stars within one "
        f"and two of its sigma; min-max instead of z-scores costs the first three {span(costs, 3)}, the "
        "learning rate matters more than both."
    )


def _position(run: Result) -> str:
    flat = [row.number("r2") for row in run.rows("rows") if row.text("arm").endswith(", flat")]
    none, rotary, learned, known = (
        fixed(run.one("rows", arm=f"{name}, mean").number("r2"), 3)
        for name in ("none", "rotary", "learned", "wavelength")
    )
    told = run.one("moved", sampling="64 pixels", how="told").number("r2")
    moved = max(row.number("r2") for row in run.rows("moved", sampling="16 pixels"))
    return (
        "where the head reads every token by its place, the kind of position makes no difference "
        f"({span(flat, 3)} after 800 steps, not whitened); under mean pooling none has {none}, rotary "
        f"{rotary}, learned {learned}, wavelength {known}. Told the wavelengths, the last keeps "
        f"{fixed(told, 3)} on a grid moved by a whole patch; moved by 16 pixels no network has more than "
        f"{fixed(moved, 2)}."
    )


def _capacity(run: Result) -> str:
    small, large = run.one("rows", depth=1, width=32), run.one("rows", depth=6, width=128)
    cost = large.number("step_s") / small.number("step_s")
    thousands = fixed(small.number("parameters") / 1e3, 0)
    return (
        f"from {thousands},000 parameters (1 block of width 32) to "
        f"{fixed(large.number('parameters') / 1e6, 1)} million (6 of 128) R² rises from "
        f"{fixed(small.number('r2'), 3)} to {fixed(large.number('r2'), 3)}, at {fixed(cost, 0)} times the "
        "time of a step."
    )


POINTS: dict[str, Point] = {
    "efficiency": _efficiency,
    "survey": _survey,
    "budgets": _budgets,
    "distillation": _distillation,
    "residuals": _residuals,
    "uncertainty": _uncertainty,
    "observed": _observed,
    "original_recipe": _original_recipe,
    "scaling": _scaling,
    "tokenization": _tokenization,
    "attention": _attention,
    "snapping": _snapping,
    "transfer_learning": _transfer_learning,
    "robustness": _robustness,
    "multitask": _multitask,
    "loss_and_scaling": _loss_and_scaling,
    "position": _position,
    "capacity": _capacity,
}
