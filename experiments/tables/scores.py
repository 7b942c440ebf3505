"""Blocks on how well each method of the main figure does, and on what the shipped network misses."""

from experiments.tables.results import Result, Results
from experiments.tables.text import fixed, paragraph, table

SHOWN = (2.5, 4.5, 7.0, 12.5)  # lower ends of the SNR bins in docs/results.md
NETWORKS = ("MLP", "SpecViT", "CNN")  # of equal budgets
PUBLISHED = "SpecViT 0.71, LightGBM 0.61, MLP 0.46, CNN 0.43"
TITLES = {"Template fit": "template fit"}


def scores(results: Results) -> str:
    """R² and MAE of every method, the best first, below the exact limit of the same stars."""
    found = results.figure
    methods = _methods(found)
    limits = [found.one("limit", "by_snr", snr_low=low) for low in SHOWN]
    first = fixed(found.number("limit", "overall"), 3)
    rows = [
        ["exact limit R²_Bayes of these very stars", first, *(_r2(row, "r2_bayes") for row in limits), ""]
    ]
    rows += [_line(name, method) for name, method in methods.items()]
    words = paragraph(
        f"""On the embedded grid, test spectra of mag {span_of(found.at("test"))} (`make figure`; every
        number in [docs/r2_vs_snr.json](docs/r2_vs_snr.json) of {found.date}):"""
    )
    heads = [
        "R² of log g",
        "all",
        *(f"{'' if i else 'SNR '}{bin_of(row)}" for i, row in enumerate(limits)),
        "MAE",
    ]
    return f"{words}\n\n{table(heads, rows)}\n\n{_types(methods)}"


def _types(methods: dict[str, Result]) -> str:
    """Giants and dwarfs, of a method that uses the prior and of one that does not."""
    ours, fit = methods["SpecViT, taught"], methods["Template fit"]
    shown = {
        (name, kind): (fixed(row.number("mae"), 3), fixed(row.number("bias"), 2, sign=True))
        for name, method in (("ours", ours), ("fit", fit))
        for kind in ("giants", "dwarfs")
        for row in [method.one("by_type", type=kind)]
    }
    giants, dwarfs = shown["ours", "giants"], shown["ours", "dwarfs"]
    fit_giants, fit_dwarfs = shown["fit", "giants"], shown["fit", "dwarfs"]
    return paragraph(
        f"""The table that `make figure` prints, and writes to `outputs/r2_vs_snr/table.md`, has R², MAE, RMSE
        and bias overall, MAE and bias for giants, subgiants and dwarfs (log g below 2.5, to 3.5, above):
        SpecViT {giants[0]} dex (bias {giants[1]}) for giants, {dwarfs[0]} ({dwarfs[1]}) for dwarfs, as an
        estimator that uses its prior must have; template fit {fit_giants[0]} ({fit_giants[1]}) and
        {fit_dwarfs[0]} ({fit_dwarfs[1]})."""
    )


def under_survey(results: Results) -> str:
    """R² of the networks beside the exact limit, for stars as a survey observes them."""
    found = results.experiment("survey")
    limits = [found.one("limit", snr_low=low) for low in (0.0, *SHOWN)]
    places = [found.rows("limit").index(row) for row in limits]
    best = fixed(limits[0].number("r2_mean") / limits[0].number("r2_bayes"), 3)
    rows = [
        ["exact limit R²_Bayes", *(_r2(row, "r2_bayes") for row in limits), "1"],
        ["posterior mean", *(_r2(row, "r2_mean") for row in limits), best],
    ]
    for name in found.at("networks").names():
        network = found.at("networks", name)
        cells = [_r2(network.at("rows", i)) for i in places]
        share = fixed(network.number("rows", 0, "efficiency"), 3)
        rows.append([f"`{name}`: {network.text('training')}", *cells, share])
    words = paragraph(
        f"""Under survey conditions, {limits[0].number("n"):,} test stars of mag {span_of(found.at("test"))}
        (`make figure`; [results/survey](results/survey/table.md) of {found.date}):"""
    )
    heads = [
        "R² of log g",
        "all",
        *(f"{'' if i else 'SNR '}{bin_of(row)}" for i, row in enumerate(limits[1:])),
    ]
    return f"{words}\n\n{table([*heads, 'of the limit'], rows)}"


def whitening(results: Results) -> str:
    """What a method is against what it reads, and from how many spectra."""
    found, trees = results.experiment("budgets"), results.experiment("scaling")
    small, large = (int(found.number("size", "budgets", i)) for i in range(2))
    told = {
        (name, n): fixed(found.one("rows", method=name, spectra=n).number("r2"), 3)
        for name in NETWORKS
        for n in (small, large)
    }
    few, many = (", ".join(f"{name} {told[name, n]}" for name in NETWORKS) for n in (small, large))
    read, raw = (fixed(row.number("r2"), 2) for row in (
        found.one("rows", method="LightGBM", spectra=20000), trees.one("rows", method="LightGBM", n=20000)
    ))  # fmt: skip
    return paragraph(
        f"""**On one instrument a perceptron does what the transformer does, from fewer spectra.** After
        {small:,} fresh spectra, the same numbers read of each, a learning rate of its own and three seeds, R²
        of log g is {few}; after {large:,} {many} (`budgets`, {found.date}). (Published: {PUBLISHED}.) `tiny`
        learnt from such a perceptron, which had seen six million. Much depends on what a method is given to
        read: from 20,000 spectra boosted trees have {read} on whitened components and {raw} on principal and
        PLS components (`scaling`, {trees.date}). What attention could be good for, several samplings or
        instruments at once, is tried in `position` and `surveys`. The template fit reaches the Cramér-Rao
        bound, and therefore falls behind every method that knows the prior where that bound is wider than the
        prior."""
    )


def missing(results: Results) -> str:
    """What the shipped network misses to the exact limit."""
    found = results.experiment("accuracy")
    rows = [row for row in found.rows("rows") if isinstance(row.value, dict) and row.value.get("r2_bayes")]
    lost = [row.number("r2_bayes") - row.number("methods", "tiny", "r2") for row in rows]
    faint = rows[1]
    best = fixed(faint.number("methods", "posterior mean", "r2"), 2)
    return paragraph(
        f"""The exact limit is that of the same {found.number("test", "n"):,} stars, from the posterior of
        each (`python -m experiments.accuracy`, {found.date}; [results/accuracy](results/accuracy/table.md)):
        {fixed(lost[0], 3)} is missing overall, {fixed(max(lost[2:]), 3)} at the most in every bin but the
        faintest, where the posterior mean itself reaches {best} on these {faint.number("n"):,} stars.
        {by_chance(results)}"""
    )


def by_chance(results: Results) -> str:
    """How far the posterior mean misses its limit on faint stars of the test set, and on independent ones."""
    found = results.experiment("chance")
    faint = [found.one("rows", stars=name, what="mag", low=22.25) for name in ("test set", "fresh")]
    snr = found.one("rows", stars="test set", what="SNR", low=SHOWN[0])
    wide = found.one("rows", stars="fresh", what="SNR", low=SHOWN[0])
    all_fresh = found.one("rows", stars="fresh", what="all")
    missed = [row.number("r2_bayes") - row.number("r2_mean") for row in faint]
    reach = 2 * faint[1].number("excess_error") / faint[1].number("variance")
    n, p = all_fresh.number("n"), fixed(all_fresh.number("rank_p"), 2)
    others = results.ceiling.one("bins", mag=22.5).at("r2_bayes")
    limit, best = fixed(others.number("value"), 3), fixed(others.number("r2_of_posterior_mean", "value"), 3)
    return (
        f"That is {_errors_of(snr)} standard errors below the limit of the same stars, "
        f"{_errors_of(faint[0])} at mag 22.25-22.5, and mostly chance: on {n:,} stars of another seed, mag "
        "22-22.5, it is "
        f"{_errors_of(wide)} and {_errors_of(faint[1])} there ({fixed(missed[1], 3)} in R² at mag 22.25-22.5 "
        f"instead of {fixed(missed[0], 3)}, ±{fixed(reach, 2)} at two standard errors, so that a small "
        f"deficit is not excluded), and ranks of the truth are uniform (p = {p}; `chance`, {found.date}). On "
        f"the {others.number('n'):,} stars of mag 22.5 in docs/ceiling.json it has {best}, their limit is "
        f"{limit}."
    )


def _errors_of(row: Result) -> str:
    """The excess of the squared error over the posterior variance, in its standard errors."""
    return fixed(row.number("excess") / row.number("excess_error"), 1)


def _methods(found: Result) -> dict[str, Result]:
    """The estimators, the best first."""
    methods = {name: found.at("estimators", name) for name in found.at("estimators").names()}
    return dict(sorted(methods.items(), key=lambda pair: -pair[1].number("overall", "r2")))


def _line(name: str, method: Result) -> list[str]:
    """Name and training of a method, its R² overall and at the SNR shown, its MAE."""
    cells = [_r2(method.one("by_snr", snr_low=low)) for low in SHOWN]
    total = method.at("overall")
    words = f"{TITLES.get(name, name)}: {method.text('training')}"
    return [words, fixed(total.number("r2"), 3), *cells, f"{fixed(total.number('mae'), 3)} dex"]


def _r2(row: Result, key: str = "r2") -> str:
    return fixed(row.number(key), 2)


def bin_of(row: Result) -> str:
    """A bin in SNR."""
    return f"{row.number('snr_low'):g}-{row.number('snr_high'):g}"


def span_of(test: Result) -> str:
    """The magnitudes of a test set."""
    return f"{test.number('mag', 0):g}-{test.number('mag', 1):g}"
