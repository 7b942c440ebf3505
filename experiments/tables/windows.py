"""Block on the best windows: where a spectrograph of the width of Gaia's RVS should look for log g."""

from collections.abc import Callable

from experiments.tables.measure import STARS, WITH_CONTINUUM
from experiments.tables.results import Result, Results
from experiments.tables.text import fixed, paragraph, percent, span, table

RVS = (8460.0, 8700.0)  # vacuum Å, as in the commands


def windows(results: Results) -> str:
    """Best windows and their runners-up, the stretch of RVS beside them, star by star."""
    found = results.file("docs/windows.json")
    best = {star: found.at(f"{star}, best") for star in STARS}
    rvs = {star: found.at(f"{star}, RVS") for star in STARS}
    width = next(iter(best.values())).number("best_windows", 0, "width")
    words = paragraph(
        f"""Bounds on log g (dex) from {fixed(width, 0)} Å, the width of Gaia's RVS, anywhere between 7100 and
        8850 Å, with the pixels, the resolution and the noise of the medium-resolution red arm (`crlb
        information ... {WITH_CONTINUUM} --best-window 240`; shares of the information of the whole arm; SNR
        {span((one.number("snr") for one in best.values()), 0)}; [docs/windows.json](docs/windows.json) of
        {found.date}). All unknown: T_eff, log g, [M/H], the flux scale and a cubic continuum."""
    )
    rows = [row for star in STARS for row in _rows(star, best[star], rvs[star])]
    return f"{words}\n\n{table(HEADS, rows)}\n\n{_beside_rvs(best, rvs)}"


HEADS = ["star (T_eff, log g, [M/H])", "window", "vacuum Å", "others known", "all unknown"]


def _rows(star: str, best: Result, rvs: Result) -> list[list[str]]:
    """The best and the next best of both kinds, the stretch of RVS, and the whole arm."""
    values = STARS[star].split()[1::2]
    named = [f"{star} ({', '.join(values)})", "", "", "", "", ""]
    kinds = (("conditional", "others known"), ("marginal", "all unknown"))
    rows = [
        [f"{place}, {words}", *_window(best.at("best_windows", 0, kind, i))]
        for kind, words in kinds
        for i, place in enumerate(("**best**", "next"))
    ]
    whole = [fixed(best.number("information", "conditional") ** -0.5, 3), fixed(best.number("bound"), 3)]
    rows += [["RVS", f"{RVS[0]:.0f}-{RVS[1]:.0f}", *_of_rvs(best, rvs)], ["whole arm", "7100-8850", *whole]]
    return [[name, *row] for name, row in zip(named, rows, strict=True)]


def _window(window: Result) -> list[str]:
    """Where it lies, and its bounds with their shares."""
    ends = "-".join(f"{window.number(end):.0f}" for end in ("low", "high"))
    kinds = ("conditional", "marginal")
    return [ends, *(_bound(window.number("bound", kind), window.number("share", kind)) for kind in kinds)]


def _of_rvs(best: Result, rvs: Result) -> list[str]:
    """The bounds of the stretch of RVS, with their shares of the whole arm."""
    kinds = ("conditional", "marginal")
    own, whole = ([one.number("information", kind) for kind in kinds] for one in (rvs, best))
    return [_bound(a**-0.5, a / b) for a, b in zip(own, whole, strict=True)]


def _bound(bound: float, share: float) -> str:
    return f"{fixed(bound, 3)} ({percent(share)} %)"


def _beside_rvs(best: dict[str, Result], rvs: dict[str, Result]) -> str:
    """How far the best windows are those of RVS, and what its stretch lacks."""

    def inside(star: str, kind: str) -> float:
        window = best[star].at("best_windows", 0, kind, 0)
        low, high = window.number("low"), window.number("high")
        return max(0.0, min(high, RVS[1]) - max(low, RVS[0])) / (high - low)

    def dearer(star: str, kind: str) -> float:
        own = rvs[star].number("information", kind) ** -0.5
        return own / best[star].number("best_windows", 0, kind, 0, "bound", kind) - 1

    def ends(of: Callable[[str, str], float], kind: str) -> str:
        return " %, ".join(percent(of(star, kind)) for star in STARS)

    return paragraph(
        f"""With the others known, the best windows of {", ".join(STARS)} lie to
        {ends(inside, "conditional")} % within RVS's {RVS[0]:.0f}-{RVS[1]:.0f} Å, with all unknown to
        {ends(inside, "marginal")} %. The bounds from RVS's stretch are larger than those from the best window
        by {ends(dearer, "conditional")} % with the others known, and by {ends(dearer, "marginal")} %
        with all unknown."""
    )
