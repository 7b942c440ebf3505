"""The block of what was published for the original system, point by point, with what was found here."""

from crlb.files.records import Json
from experiments.tables.findings import Point, by_stars_alone, half_width
from experiments.tables.results import Result, Results
from experiments.tables.text import fixed, items, percent, span


def claims(results: Results) -> str:
    """One point per published comparison: what was asked of it, and what the experiment found."""
    runs = {name: results.experiment(name) for name in POINTS}
    points = items(
        f"**{_sentence(run.text('claim'))}** `{name}` ({run.date}) found: {POINTS[name](run)}"
        for name, run in runs.items()
    )
    return f"{points}\n\n{by_stars_alone(results, 'scaling')}"


def _sentence(words: str) -> str:
    """Words that begin with a capital letter; R² as it is written on pages."""
    return (words[0].upper() + words[1:]).replace("R2", "R²")


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


def _tokenization(run: Result) -> str:
    arm = {row.text("arm"): row for row in run.rows("rows")}
    sizes = [arm[f"patch {size}"] for size in (64, 32, 16, 8)]
    cost = [row.number("step_s") / sizes[0].number("step_s") for row in sizes]
    *few, last = ("1", fixed(cost[1], 1), fixed(cost[2], 1), fixed(cost[3], 0))
    return (
        f"after 200 steps patches of 64, 32, 16, 8 pixels reach "
        f"{', '.join(fixed(row.number('r2'), 3) for row in sizes)} (each ±{fixed(half_width(sizes), 3)}) at "
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


def _snapping(run: Result) -> str:
    plain, snapped = (run.one("rows", trained="continuous", test=test) for test in ("continuous", "snapped"))
    variance = run.number("variance", "snapped") / run.number("variance", "continuous")
    return (
        f"stars with labels on the grid's nodes add {fixed(snapped.number('r2') - plain.number('r2'), 2)} to "
        f"R², though their errors are larger (RMSE {fixed(snapped.number('rmse'), 3)} against "
        f"{fixed(plain.number('rmse'), 3)} dex): the variance of log g, {fixed(variance, 2)} times as large, "
        "outweighs that."
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


def _surveys(run: Result) -> str:
    learned, unseen = (
        [row.text("name") for row in run.rows("instruments", learned=seen)] for seen in (True, False)
    )

    def r2(network: str, name: str) -> str:
        return fixed(run.one("rows", network=network, instrument=name, label="log_g").number("r2"), 2)

    def told(names: list[str]) -> str:
        return "; ".join(
            f"{name} {r2('joint', name)}, {r2('joint, moved', name)}, {r2(name, name)} of "
            f"{fixed(run.one('limits', instrument=name, label='log_g').number('bayes'), 2)}"
            for name in names
        )

    steps, batch = (int(run.number("size", key)) for key in ("steps", "batch"))
    snr = run.number("instruments", 0, "snr")
    return (
        "R² of log g of one network that learned from several instruments in turn, of one whose tokens also "
        "began at another pixel in every step, of the instrument's own, and of the exact limit ("
        f"{steps} steps of {batch} spectra of each instrument, one seed; SNR of the median star "
        f"{fixed(snr, 0)} per pixel): {told(learned)}. At instruments that the joint ones never saw: "
        f"{told(unseen)}.{_real_of_surveys(run)}"
    )


def _real_of_surveys(run: Result) -> str:
    """A sentence on real spectra; empty where there were none."""
    rows = [row for row in run.rows("real_scores", label="log_g") if row.at("r2").value is not None]
    if not rows:
        return ""
    said = [
        f"{row.text('network')} {fixed(row.number('r2'), 2)} ({fixed(row.number('r2_low'), 1)} to "
        f"{fixed(row.number('r2_high'), 1)})"
        for row in rows
    ]
    named, n = rows[0].text("instrument"), fixed(rows[0].number("n"), 0)
    return f" Of {n} real spectra of {named}, under conditions that differ: {', '.join(said)}."


POINTS: dict[str, Point] = {
    "original_recipe": _original_recipe,
    "scaling": _scaling,
    "tokenization": _tokenization,
    "snapping": _snapping,
    "multitask": _multitask,
    "loss_and_scaling": _loss_and_scaling,
    "position": _position,
    "capacity": _capacity,
    "surveys": _surveys,
}
