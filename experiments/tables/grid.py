"""Blocks on the embedded grid: how well it is interpolated, and how real it is."""

from experiments.tables.results import Result, Results
from experiments.tables.text import fixed, paragraph, percent, span, table

AXES = {"T_eff": "T_eff (500 K apart)", "log_g": "log g (1 dex)", "M_H": "[M/H] (0.5 dex)"}
COOL, MIDDLE, HOT = "T_eff < 4500", "T_eff 4500 to 5250", "T_eff >= 5250"  # regions of the test, K
CUBIC, QUINTIC = 3, 5


def interpolation(results: Results) -> str:
    """Errors of left-out nodes per axis, and which splines are better where."""
    found = results.file("docs/interpolation.json")
    run = found.at("validate")
    snr = [fixed(run.number("snr_median", i), 0) for i in range(3)]
    words = paragraph(
        f"""How good is the interpolation? `crlb grid validate` leaves nodes out and predicts them (error of a
        label in a fit with the interpolated model, in units of its Cramér-Rao bound;
        [docs/interpolation.json](docs/interpolation.json) of {found.date}):"""
    )
    hard = paragraph(
        f"""Medians over the nodes left out, cubic splines; the whole grid has twice the nodes. Cool,
        metal-rich stars are the hard ones: with every second temperature left out the median at SNR {snr[1]}
        is {fixed(_bias(_left_out(run, "T_eff", COOL), "median"), 1)} below 4500 K; over all temperatures the
        90th percentile is {fixed(_bias(_left_out(run, "T_eff"), "p90"), 1)}. {_quintic(run)} The splines run
        in 5040 K/T_eff, and the flux scale of the nodes is a smooth function of the labels; with T_eff itself
        and a median of exactly 0.5 at every node the errors were larger
        ([experiments/LOG.md](experiments/LOG.md))."""
    )
    heads = ["every second node of", "flux error, median", f"worst label bias at SNR {snr[0]}", *snr[1:]]
    return f"{words}\n\n{table(heads, [_axis(run, axis) for axis in AXES])}\n\n{hard}"


def _axis(run: Result, axis: str) -> list[str]:
    """Flux error and biases with every second node of an axis left out."""
    row = _left_out(run, axis)
    flux = percent(row.number("flux_error", "median"), 3)
    return [AXES[axis], f"{flux} %", *(fixed(_bias(row, "median", i), 2) for i in range(3))]


def _quintic(run: Result) -> str:
    """Where quintic splines are better than cubic ones."""

    def gain(axis: str, region: str, test: str) -> float:
        cubic, quintic = (_left_out(run, axis, region, degree, test) for degree in (CUBIC, QUINTIC))
        return _bias(cubic, "p90") / _bias(quintic, "p90")

    single = [gain(axis, region, "single") for axis in AXES for region in ("all", COOL, MIDDLE, HOT)]
    cool, middle, hot = (fixed(gain("T_eff", region, "halved"), 1) for region in (COOL, MIDDLE, HOT))
    return (
        "Quintic splines (`--degree 5`) are better for single nodes left out everywhere, by factors of "
        f"{span(single, 1)} in that percentile. With every second temperature left out, it is {cool}, "
        f"{middle} and {hot} times as large with cubic as with quintic ones below 4500 K, up to 5250 K and "
        "above."
    )


def _left_out(
    run: Result, axis: str, region: str = "all", degree: int = CUBIC, test: str = "halved"
) -> Result:
    """The errors of one test, by default of every second node of an axis."""
    return run.one("rows", axis=axis, region=region, degree=degree, test=test)


def _bias(row: Result, quantile: str, mag: int = 1) -> float:
    """The bias over its bound of the label that has the largest, at the mag-th magnitude (21.5, 20, 18)."""
    return max(row.number("bias_over_bound", mag, name, quantile) for name in AXES)


WARM = 4250.0  # K: nodes from here on count in `benchmarks/synthesis_realism.py`
REFERENCES = {
    "bosz2017_8000_8860": "BOSZ 2017, 8000-8860 Å",
    "peer": "peer-made SYNSPEC grid, whole arm",
}


def realism(results: Results) -> str:
    """The embedded grid beside spectra of other codes."""
    found = results.benchmark("synthesis_realism")
    rows = [
        [
            name,
            str(_counted(found.at(key))),
            fixed(found.number(key, "flux_correlation", "median"), 3),
            fixed(found.number(key, "log_g_derivative_correlation", "median"), 3),
            fixed(found.number(key, "log_g_bound_ratio_ours_over_theirs", "median"), 2),
        ]
        for key, name in REFERENCES.items()
    ]
    words = paragraph(
        f"""How real is it? Medians over common nodes of T_eff >= {WARM:g} K at R = 5000, from `python
        benchmarks/synthesis_realism.py` (which needs reference spectra that are not part of this project; its
        numbers are kept in [benchmarks/results](benchmarks/results/synthesis_realism.json), of
        {found.date}):"""
    )
    heads = [
        "compared with",
        "nodes",
        "correlation of flux",
        "of d flux / d log g",
        "log g bound, ours / theirs",
    ]
    return f"{words}\n\n{table(heads, rows)}"


def _counted(run: Result) -> int:
    """Common nodes that the medians count: those of the temperatures from `WARM` on."""
    temperatures = [float(name) for name in run.at("by_T_eff").names()]
    return round(run.number("nodes") * sum(t >= WARM for t in temperatures) / len(temperatures))
