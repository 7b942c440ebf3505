"""Blocks on what can be known of log g: ceilings, the published recipe, nuisances."""

from experiments.tables.results import Result, Results
from experiments.tables.text import fixed, paragraph, span, table

PUBLISHED_BOUNDS = "0.033, 0.125, 0.426, 0.659, 1.028 and 1.613"  # dex, on BOSZ 2017, at the same magnitudes
POOLED = ("r2_pooled",)
MEDIAN = ("r2_max", "median")


def median_star(results: Results) -> str:
    """Where the Cramér-Rao median errs, on either side."""
    found = results.ceiling
    faint, middle = found.one("bins", mag=23.0), found.one("bins", mag=21.5)
    return paragraph(
        f"""It is no ceiling: at SNR {fixed(faint.number("snr_median"), 0)} an estimator that uses the prior
        passes it (its median is {fixed(faint.number(*MEDIAN), 2)}, the exact limit
        {fixed(faint.number("r2_bayes", "value"), 2)}), and at SNR {fixed(middle.number("snr_median"), 0)} it
        promises {fixed(middle.number(*MEDIAN), 2)} where nobody can have more than
        {fixed(middle.number("r2_bayes", "value"), 2)} (`crlb ceiling --bayes`, {found.date}), because the
        worst stars decide a pooled R² and the median forgets them. This is the curve published as the
        "theoretical optimum"."""
    )


def ceiling(results: Results) -> str:
    """Every curve of `crlb ceiling --bayes`, per magnitude."""
    found = results.ceiling
    bins = found.rows("bins")
    words = paragraph(
        f"""`crlb ceiling --bayes` prints every curve in one table ([docs/ceiling.json](docs/ceiling.json) of
        {found.date}; embedded grid; T_eff, log g and [M/H] unknown and uniform over its box):"""
    )
    published = paragraph(f"The published bounds, on BOSZ 2017, are {PUBLISHED_BOUNDS} dex.")
    return f"{words}\n\n{table(['magnitude', *_magnitudes(bins)], _curves(bins))}\n\n{published}"


def _curves(bins: list[Result]) -> list[list[str]]:
    """The rows of the table of ceilings."""

    def line(name: str, *keys: str, digits: int = 3) -> list[str]:
        return [name, *(fixed(row.number(*keys), digits) for row in bins)]

    exact = [f"**{fixed(row.number('r2_bayes', 'value'), 3)}**" for row in bins]
    ends = [[fixed(row.number("r2_bayes", end), 3) for end in ("low", "high")] for row in bins]
    return [
        line("SNR per pixel", "snr_median", digits=1),
        [f"**R²_Bayes, exact limit** ({bins[0].number('r2_bayes', 'n')} stars each)", *exact],
        ["95 % interval", *("-".join(pair) for pair in ends)],
        line("weighted van Trees bound", "r2_weighted_van_trees"),
        line("Ziv-Zakai bound", "r2_ziv_zakai"),
        line("Cramér-Rao R²_max, median node", *MEDIAN),
        line("pooled 1 - E[bound²]/Var", *POOLED),
        line("pooled, shrunk", "r2_shrinkage"),
        line("bound on log g, median node (dex)", "bound", "median"),
        line("Schur decay", "schur_decay", "median", digits=2),
    ]


def recipe(results: Results) -> str:
    """How much the published recipe depends on each of its choices."""
    curves = _recipe_curves(results)
    date = results.file("docs/recipe.json").date
    cells = [[name, option, *(fixed(x, 3) for x in curves[key])] for key, (name, option) in CHOICES.items()]
    words = paragraph(
        f"""How much the published recipe itself depends on its choices (median R²_max; `crlb ceiling` with
        the options shown; [docs/recipe.json](docs/recipe.json) of {date}):"""
    )
    end = paragraph(
        f"""The recipe gives the published curve to {fixed(_apart(curves["published"], curves["BOSZ"]), 2)},
        on another grid. The variance and the median matter most; the derivative moves the curve by
        {fixed(_apart(curves["exact"], curves["differences"]), 2)} at the most, what the noise level tells by
        {fixed(_apart(curves["exact"], curves["noise level known"]), 3)}. With five labels, and percentile by
        percentile: [docs/ceilings.md](docs/ceilings.md)."""
    )
    heads = ["choice", "option", *_magnitudes(results.ceiling.rows("bins"))]
    return f"{words}\n\n{table(heads, cells)}\n\n{end}"


CHOICES = {  # key of a curve -> what was chosen, and the option of `crlb ceiling` that chooses it
    "exact": ("as above: exact derivatives, uniform variance 1.333, 12 exposures", ""),
    "differences": ("differences between the nodes", "`--derivative grid`"),
    "noise level known": ("noise level tells nothing", "`--noise-level-known`"),
    "node variance": ("variance of the nine node values", "`--variance 1.6667`"),
    "published": ("**the published recipe**: these three", "all three"),
    "4 exposures": ("4 exposures instead of 12", "`--n-exp 4`"),
    "mean": ("mean of the clipped nodes instead of their median", ""),
    "pooled": ("neither clipped nor a median (pooled)", "`--bayes`"),
    "BOSZ": ("published, on BOSZ 2017", ""),
}


def _recipe_curves(results: Results) -> dict[str, list[float]]:
    """R²_max per magnitude of every choice."""
    bins, made = results.ceiling.rows("bins"), results.file("docs/recipe.json")
    published = results.figure.at("published", "curves", "Cramer-Rao", "r2")
    parts = {name: made.rows(name, "bins") for name in made.names() if name != "provenance"}
    return {
        "exact": [row.number(*MEDIAN) for row in bins],
        **{name: [row.number(*MEDIAN) for row in part] for name, part in parts.items()},
        "mean": [row.number("r2_max", "mean") for row in bins],
        "pooled": [row.number(*POOLED) for row in bins],
        "BOSZ": [published.number(i) for i in range(len(bins))],
    }


NUISANCES = {
    "none": "nothing",
    "amplitude": "flux scale",
    "continuum 1": "linear continuum and flux scale",
    "continuum 3": "cubic continuum and flux scale",
    "rv": "radial velocity",
    "lsf": "width of the line-spread function",
    "all": "all of these",
}


PRICED = {  # row of the Cramér-Rao prices -> row of the prices under the priors of a survey
    "none": "none",
    "amplitude": "scale",
    "continuum 3": "continuum",
    "rv": "velocity",
    "lsf": "width",
    "all": "all",
}
UNKNOWNS = {name: NUISANCES[other] for other, name in PRICED.items()} | {
    "lost pixels": "lost pixels",
    "sky": "what is left of the sky's lines",
}


def nuisances(results: Results) -> str:
    """What unknowns besides the labels cost unbiased estimators, and those that know the priors."""
    found, bayes = results.file("docs/nuisances.json"), results.file("docs/prices.json")
    rows = found.rows("nuisances", "rows")
    price = {row.text("unknown"): row for row in bayes.rows("prices", "prices")}
    words = paragraph(
        f"""What unknowns besides T_eff, log g and [M/H] cost (`crlb nuisances`, {found.date}; bound on log g
        of the median node at mag {span((row.number("mag") for row in rows), 1)}, SNR
        {fixed(rows[0].number("snr"), 0)}, without what the noise level tells), and what they cost an
        estimator that knows their priors under `survey` ({_command(bayes)}, {bayes.date}; exact limit of the
        same {price["none"].number("n")} stars in every row, and by how much it is below the first):"""
    )
    heads = ["unknown besides the labels", "bound (dex)", "Schur decay", "R²_Bayes", "lost (95 %)"]
    cells = [
        [*_bound_cells(row), *_price_cells(price.get(PRICED.get(row.text("nuisance"), "")))] for row in rows
    ]
    end = paragraph(
        """The last R²_Bayes has lost pixels and what is left of the sky unknown as well; these alone and the
        priors: [docs/conditions.md](docs/conditions.md)."""
    )
    return f"{words}\n\n{table(heads, cells)}\n\n{end}"


def prices(results: Results) -> str:
    """What each unknown of a survey costs the exact limit."""
    found = results.file("docs/prices.json")
    rows = found.rows("prices", "prices")
    words = paragraph(
        f"""What each of them costs at mag {span((row.number("mag") for row in rows), 1)}, SNR
        {fixed(rows[0].number("snr_median"), 0)} ({_command(found)}, {found.date}; the same
        {rows[0].number("n")} stars in every row, so that what is lost is known better than the limits
        themselves; with 95 % intervals over stars):"""
    )
    cells = [
        [UNKNOWNS[row.text("unknown")], _interval(row.at("r2_bayes")), *_price_cells(row)[1:], _sigma(row)]
        for row in rows
    ]
    heads = ["unknown besides the labels", "R²_Bayes", "lost", "sigma of log g (dex)"]
    return f"{words}\n\n{table(heads, cells)}"


def _command(found: Result) -> str:
    """The command that made the prices, without its file."""
    return f"`{found.text('provenance', 'commands', 'prices').split(' --json')[0]}`"


def _bound_cells(row: Result) -> list[str]:
    """Name, bound and Schur decay of a row of the Cramér-Rao prices."""
    numbers = fixed(row.number("bound"), 3), fixed(row.number("schur_decay"), 2)
    return [NUISANCES[row.text("nuisance")], *numbers]


def _price_cells(row: Result | None) -> list[str]:
    """Exact limit, and what is lost of it; dashes where the unknown is none of the survey's."""
    if row is None:
        return ["-", "-"]
    lost = "" if row.text("unknown") == "none" else _interval(row.at("lost"))
    return [fixed(row.number("r2_bayes", "value"), 3), lost]


def _interval(found: Result) -> str:
    value, low, high = (fixed(found.number(end), 3) for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _sigma(row: Result) -> str:
    """Median over stars of the posterior's sigma."""
    return fixed(row.number("sigma", "median"), 3)


def _magnitudes(bins: list[Result]) -> list[str]:
    return [f"{row.number('mag'):g}" for row in bins]


def _apart(curve: list[float], other: list[float]) -> float:
    """The largest distance between two curves."""
    return max(abs(a - b) for a, b in zip(curve, other, strict=True))
