"""What stands first on the page: key numbers, findings, costs; every one read from the results it names."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Results = Mapping[str, dict[str, Any]]  # experiment -> its results
BARELY = 0.005  # of R2: two methods that differ by less are called equal


def overview(results: Results) -> dict[str, Any]:
    """Numbers, findings, costs and total time, as far as there are results for them.

    Args:
        results: by the experiment that they name.

    Returns:
        `numbers`: three of name, value, unit, source; `findings`: at most three of text and source; `costs`:
        rows of method, spectra, parameters, seconds of training, r2; `scores`: R2 of log g by
        network; `seconds` of all, `experiments` counted.
    """
    seconds = [_seconds(one) for one in results.values()]
    timed = [one for one in seconds if one is not None]
    found = {
        "numbers": next((rows for find in NUMBERS if (rows := tried(find, results))), None),
        "findings": [one for find in FINDINGS if (one := tried(find, results))][:3],
        "costs": tried(_costs, results),
        "scores": tried(_scores, results),
        "seconds": sum(timed) if timed else None,
        "experiments": len(timed),
    }
    return {name: part for name, part in found.items() if part}


def tried(find: Callable[[Any], Any], results: Any) -> Any:
    """What is found in results; None where they lack it, as those of older or smaller runs do."""
    try:
        return find(results)
    except (LookupError, TypeError, ValueError, ArithmeticError, StopIteration, AttributeError):
        return None


def _seconds(results: dict[str, Any]) -> float | None:
    about = results.get("provenance")
    found = about.get("seconds") if isinstance(about, dict) else None
    return float(found) if isinstance(found, int | float) else None


def _numbers_of_dashboard(results: Results) -> list[dict[str, Any]]:
    found = results["r2_vs_snr"]
    best = max(_networks(found), key=lambda pair: pair[1])
    return _three(*best, found["limit"]["overall"], found["test"]["n"], "r2_vs_snr")


def _numbers_of_efficiency(results: Results) -> list[dict[str, Any]]:
    found = results["efficiency"]
    return _three("SpecViT", found["all"]["r2"], found["all"]["r2_bayes"], found["all"]["n"], "efficiency")


NUMBERS = (_numbers_of_dashboard, _numbers_of_efficiency)


def _three(name: str, r2: float, limit: float, n: int, source: str) -> list[dict[str, Any]]:
    rows = (
        (f"R² of log g of {name}, {n:,} noisy spectra", f"{r2:.3f}", ""),
        ("exact limit: what could be known of the same spectra", f"{limit:.3f}", "R²"),
        ("of that limit is reached", f"{100 * r2 / limit:.1f}", "%"),
    )
    return [
        {"name": name, "value": value, "unit": unit, "source": source}
        for name, value, unit in rows
        if float(value) == float(value)
    ]


def _networks(found: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, one in found["estimators"].items():
        if name.startswith("SpecViT") and one["overall"]["r2"] is not None:
            yield name, float(one["overall"]["r2"])


def _finding_of_budgets(results: Results) -> dict[str, str]:
    """Methods that have learnt from as many fresh spectra each, the most there are."""
    found = results["budgets"]
    most = max(row["spectra"] for row in found["rows"] if row["method"] == "SpecViT")
    scores = {row["method"]: float(row["r2"]) for row in found["rows"] if row["spectra"] == most}
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])
    listed = ", ".join(f"{name} {r2:.3f}" for name, r2 in ranked)
    first, r2 = ranked[0]
    ahead = r2 - scores["SpecViT"]
    verdict = (
        "SpecViT is as good as any method" if ahead < BARELY else f"{first} is {ahead:.3f} ahead of SpecViT"
    )
    text = f"With {most:,} fresh spectra each, {verdict}: {listed}; exact limit {found['limit']:.3f}."
    return {"text": text, "source": "budgets"}


def _finding_of_survey(results: Results) -> dict[str, str]:
    """What the conditions of a survey cost, and what training under them is worth."""
    found = results["survey"]
    limit, networks = found["limit"][0]["r2_bayes"], found["networks"]
    known, naive = (networks[name]["rows"][0]["r2"] for name in ("survey", "tiny"))
    text = (
        "Where scale, continuum, velocity and line width are unknown, as in a survey, the exact limit of R² "
        f"is {limit:.3f}. A network trained under these conditions has {known:.3f}, one that never saw them "
        f"{naive:.2f}."
    ).replace("-", "−")
    return {"text": text, "source": "survey"}


def _finding_of_accuracy(results: Results) -> dict[str, str]:
    """Noise sets the error, not the network: the faintest and the brightest bin."""
    rows = [row for row in results["accuracy"]["rows"] if row["snr_high"] and row["methods"]]
    name = next(key for key in rows[0]["methods"] if key != "posterior mean")
    ends = [(row, row["methods"][name]["r2"]) for row in (rows[0], rows[-1])]
    (low, faint), (high, bright) = ends
    text = (
        f"Noise sets the error, not the network: R² of log g is {faint:.2f} at SNR {low['snr_low']:g} to "
        f"{low['snr_high']:g} and {bright:.2f} at {high['snr_low']:g} to {high['snr_high']:g}; the exact "
        f"limit {low['r2_bayes']:.2f} and {high['r2_bayes']:.2f}."
    )
    return {"text": text, "source": "accuracy"}


def _finding_of_dashboard(results: Results) -> dict[str, str]:
    found = results["r2_vs_snr"]["estimators"]
    scores = {name: one["overall"]["r2"] for name, one in found.items() if one["overall"]["r2"] is not None}
    listed = ", ".join(f"{name} {r2:.3f}" for name, r2 in sorted(scores.items(), key=lambda pair: -pair[1]))
    return {"text": f"On the same test spectra the methods have R² of log g {listed}.", "source": "r2_vs_snr"}


FINDINGS = (_finding_of_budgets, _finding_of_survey, _finding_of_accuracy, _finding_of_dashboard)


def _scores(results: Results) -> dict[str, float]:
    whole = next(row for row in results["accuracy"]["rows"] if row["snr_high"] is None)
    return {name: float(scores["r2"]) for name, scores in whole["methods"].items()}


def _costs(results: Results) -> list[dict[str, Any]]:
    """Cost and score of every method at every budget, as `budgets` measured them."""
    return [
        {
            "method": row["method"],
            "spectra": row["spectra"],
            "parameters": row["parameters"],
            "seconds": None if row["step_s"] is None else row["steps"] * row["step_s"],
            "r2": row["r2"],
        }
        for row in results["budgets"]["rows"]
    ]
