"""Blocks of the model cards: how well the shipped networks do, beside the exact limit of the same stars."""

from experiments.tables.results import Result, Results
from experiments.tables.scores import SHOWN, bin_of, by_chance, span_of
from experiments.tables.text import fixed, paragraph, percent, table

LABELS = ("log_g", "T_eff", "M_H")  # of the shipped networks, as the cards show them


def card(results: Results) -> str:
    """The scores of the shipped network, label by label, beside the exact limit."""
    found, limits = results.file("docs/tiny.json"), results.experiment("accuracy")
    rows = _card_rows(found.at("evaluate", "labels"), limits)
    faint = limits.one("rows", snr_low=SHOWN[0])
    best = fixed(faint.number("methods", "posterior mean", "r2"), 3)
    words = paragraph(
        f"""In the faintest bin the posterior mean itself reaches {best} on these {faint.number("n")}
        stars. {by_chance(results)} Scores of {found.date}, limits of {limits.date}."""
    )
    head = f"R² on {found.number('evaluate', 'n'):,} test spectra, mag {span_of(limits.at('test'))}"
    return f"{table([head, 'log g', 'exact limit, log g', 'T_eff', '[M/H]'], rows)}\n\n{words}"


def _card_rows(labels: Result, limits: Result) -> list[list[str]]:
    """R² of the three labels overall and by SNR, then their errors."""
    total = {name: labels.at(name, "overall") for name in LABELS}
    log_g, temperature, metals = (
        f"{fixed(row.number('r2'), 3)} ({fixed(row.number('r2_low'), 3)}-{fixed(row.number('r2_high'), 3)})"
        for row in total.values()
    )
    rows = [["all", log_g, fixed(limits.number("rows", 0, "r2_bayes"), 3), temperature, metals]]
    for row in (row for row in labels.rows("log_g", "by_snr") if row.number("n")):
        low = row.number("snr_low")
        ours, *others = (labels.one(name, "by_snr", snr_low=low).number("r2") for name in LABELS)
        limit = limits.one("rows", snr_low=low).number("r2_bayes")
        cells = [fixed(value, 3) for value in (ours, limit, *others)]
        rows.append([f"SNR {bin_of(row)} ({row.number('n')})", *cells])
    return [*rows, *_errors(total)]


def _errors(total: dict[str, Result]) -> list[list[str]]:
    """Mean absolute error and bias of the three labels, in their units."""
    rows = []
    for name, key, sign in (("MAE", "mae", False), ("bias", "bias", True)):
        log_g, temperature, metals = (row.number(key) for row in total.values())
        kelvin = fixed(temperature, 1 if sign else 0, sign)
        rows.append(
            [name, f"{fixed(log_g, 3, sign)} dex", "", f"{kelvin} K", f"{fixed(metals, 3, sign)} dex"]
        )
    return rows


def survey(results: Results) -> str:
    """The scores of `survey` beside the limit, how honest its sigma is, and what each unknown does to it."""
    found, told = results.experiment("survey"), results.file("docs/survey.json")
    labels = told.at("evaluate", "labels")
    total = {name: labels.at(name, "overall") for name in LABELS}
    heads = [
        "SNR (stars)",
        "log g",
        "exact limit",
        "of it",
        "68 %",
        "95 %",
        "sigma / exact",
        "T_eff",
        "[M/H]",
    ]
    rows = [_survey_row(found, labels, i) for i in range(len(found.rows("limit")))]
    (mae, bias), n = _errors(total), told.number("evaluate", "n")
    words = paragraph(
        f"""R² on {n:,} test spectra, mag {span_of(found.at("test"))}; the limit, the share of it, the share
        of truths within the central intervals and the median ratio of sigma to the exact one belong to the
        {found.number("limit", 0, "n"):,} of them whose exact posterior is known. MAE {mae[1]}, {mae[3]},
        {mae[4]}; bias {bias[1]}, {bias[3]}, {bias[4]}. Scores of {told.date}, limits of {found.date}."""
    )
    return f"{table(heads, rows)}\n\n{words}\n\n{_cases(found)}"


def _survey_row(found: Result, labels: Result, i: int) -> list[str]:
    """R² of the labels for all stars or a bin, with what the sigma of log g is worth."""
    limit, row = found.at("limit", i), found.at("networks", "survey", "rows", i)
    whole = limit.at("snr_high").value is None
    others = [
        labels.at(name, "overall") if whole else labels.one(name, "by_snr", snr_low=limit.number("snr_low"))
        for name in LABELS[1:]
    ]
    numbers = [
        fixed(row.number("r2"), 3),
        fixed(limit.number("r2_bayes"), 3),
        fixed(row.number("efficiency"), 3),
    ]
    honest = [percent(row.number(key), 1) for key in ("cover_68", "cover_95")]
    honest.append(fixed(row.number("sigma_ratio"), 2))
    name = f"{'all' if whole else bin_of(limit)} ({limit.number('n'):,})"
    return [name, *numbers, *honest, *(fixed(other.number("r2"), 3) for other in others)]


def _cases(found: Result) -> str:
    """R² of the networks of both conditions where one unknown is known, or twice as large."""
    names = ("survey", "tiny")
    rows = [
        [row.text("case"), *(fixed(row.number("r2", name), 3) for name in names)]
        for row in found.rows("sensitivity")
    ]
    n = found.number("sensitivity", 0, "n")
    return table(
        [f"R² of log g, {n:,} stars under survey conditions", *(f"`{name}`" for name in names)], rows
    )
