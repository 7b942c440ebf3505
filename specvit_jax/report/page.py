"""The page: what was gathered as JSON, put into one HTML file with its style and its scripts."""

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crlb.files.output import new_file
from crlb.files.records import Json, Record
from crlb.fisher.features import FEATURES
from crlb.palette import METHODS
from specvit_jax.report import colors, experiments
from specvit_jax.report.overview import overview, tried
from specvit_jax.report.sources import Sources
from specvit_jax.report.training import training

if TYPE_CHECKING:
    from specvit_jax.network.weights import Weights

Say = Callable[[str], None]

MOST_BYTES = 1_500_000  # of all attention maps
MOST_TRIAL = 8_000_000  # characters of all networks that run in the page
CITATION = """@software{{specvit_jax,
  author  = {{{{The specvit-jax developers}}}},
  title   = {{specvit-jax: information limits and a Vision Transformer for stellar spectra}},
  version = {{{version}}},
  year    = {{2026}}
}}"""
SCRIPTS = (
    *(
        "dom",
        "chart",
        "explorer",
        "spectrum",
        "tokens",
        "results",
        "training",
        "algebra",
        "network",
        "distance",
    ),
    *("columns", "read_text", "read_fits", "observed", "prepared", "trial", "downloads"),
    *("overview", "tabs", "start"),
)
WRITTEN = {"articles": "ARTICLES", "dashboard_appendix": "DASHBOARD", "scaling_appendix": "SCALING"}
SECTIONS = {  # of the page -> what has to be there for it
    "try": ("trial",),
    "explorer": ("explorers",),
    "tokens": ("attention",),
    "results": ("dashboard", "scaling", "articles"),
    "dashboard": ("dashboard",),
    "scaling": ("scaling",),
    "ceiling": ("dashboard", "explorers"),
    "training": ("training",),
}


def write_report(found: Sources, out: Path, *, overwrite: bool = False, say: Say = lambda step: None) -> None:
    """Writes the report of some sources; it needs no other file and no network.

    Args:
        found: run directories, weights files, folders of results.
        out: the HTML file.
        overwrite: whether it may be replaced.
        say: called with what is done next.

    Raises:
        DataError: a file of a source is damaged.
        OutputError, DiskError: the file cannot be written.
    """
    text = page(gather(found, say))
    with new_file(out, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def gather(found: Sources, say: Say, **options: Any) -> dict[str, Any]:
    """Everything the page shows; what there is nothing of is absent.

    Args:
        found: the sources.
        say: called with what is done next.
        options: of `explore`.
    """
    data: dict[str, Any] = {
        **_experiments(found, say),
        "training": [curves for name, run in found.runs.items() if (curves := training(name, run))],
    }
    data |= _networks(found, say, options)
    if data["explorers"] or data.get("trial"):
        data["features"] = [[feature.name, feature.wave] for feature in FEATURES]
    return {name: part for name, part in data.items() if part}


def _experiments(found: Sources, say: Say) -> dict[str, Any]:
    """Results to draw, and those that come with their figure, by the experiment that they name."""
    data: dict[str, Any] = {"articles": ""}
    known: dict[str, dict[str, Any]] = {}
    for name, path in found.experiments.items():
        folder, results = path.parent, experiments.read_json(path)
        kind = experiments.kind_of(results)
        known.setdefault(kind or "", results)
        if kind is None:
            say(f"{path} has no field experiment: not recognised, left out; run its experiment again")
        elif kind == "r2_vs_snr" and "dashboard" not in data:
            data["dashboard"] = experiments.dashboard(path, results)
            data["dashboard_appendix"] = experiments.appendix(folder, results)
        elif kind == "scaling" and "scaling" not in data:
            data["scaling"] = experiments.scaling(path, results)
            data["scaling_appendix"] = experiments.appendix(folder, results)
        else:
            data["articles"] += experiments.article(name, folder, results)
    if "dashboard" not in data and "accuracy" in known:
        data["dashboard"] = tried(experiments.dashboard_of_accuracy, known["accuracy"])
    known.pop("", None)
    return data | {"overview": overview(known)}


def _networks(found: Sources, say: Say, options: dict[str, Any]) -> dict[str, Any]:
    """Stars at every magnitude, and where the networks look in them."""
    if not found.networks:
        return {"explorers": [experiments.read_explorer(found.explored)] if found.explored else []}
    from specvit_jax.network.weights import load_weights
    from specvit_jax.report.attention_maps import attention
    from specvit_jax.report.explorers import explorers
    from specvit_jax.report.networks import described
    from specvit_jax.report.trial import words

    networks = {name: load_weights(path) for name, path in found.networks.items()}
    kept = [experiments.read_explorer(found.explored)] if found.explored else []
    shown = kept or explorers(networks, say, **options)
    maps = []
    for name, weights in networks.items():
        place = next((i for i, one in enumerate(shown) if name in one["methods"]), 0)
        if shown and (seen := attention(name, weights, shown[place], MOST_BYTES // len(networks))):
            say(f"attention of {name}")
            maps.append(seen | {"explorer": place})
    drawn = [one for name, weights in networks.items() if (one := described(name, weights))]
    runnable = _trials(found, networks, say)
    return {
        "explorers": shown,
        "attention": maps,
        "networks": drawn,
        "trial": runnable,
        "words": words() if runnable else None,
    }


def _trials(found: Sources, networks: "Mapping[str, Weights]", say: Say) -> list[dict[str, Any]]:
    """The first networks that the page can run by itself."""
    from specvit_jax.report.trial import size_of, trial

    runnable: list[dict[str, Any]] = []
    for name, weights in networks.items():
        one, why = trial(name, weights, found.networks[name])
        if why:
            say(why)
        if one is not None and size_of([*runnable, one]) > MOST_TRIAL:
            say(f"{name}: no room for another network in Try it; a report of it alone has it")
        elif one is not None:
            say(f"{name} runs in the page")
            runnable.append(one)
    return runnable


def page(data: dict[str, Any]) -> str:
    """The HTML of gathered data."""
    text = _part("page.html")
    for section, needed in SECTIONS.items():
        if not any(name in data for name in needed):
            text = _without(text, section)
    script = "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    made = version("specvit-jax")
    plain = {name: part for name, part in data.items() if name not in WRITTEN} | {"methods": list(METHODS)}
    parts = {
        "STYLE": f"{colors.style()}\n{_part('page.css')}",
        **{place: data.get(name, "") for name, place in WRITTEN.items()},
        "MADE": html.escape(f"{datetime.now(UTC):%d %B %Y}, specvit-jax {made}"),
        "CITATION": html.escape(CITATION.format(version=made)),
        "DATA": _json(plain),
        "SCRIPT": script,
        "HASH": f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], text)


def _without(text: str, section: str) -> str:
    """The page without what stands between the comments of a section, nor its link."""
    text = re.sub(rf"<!-- {section} -->.*?<!-- /{section} -->\n?", "", text, flags=re.DOTALL)
    return re.sub(rf' *<a href="#{section}">.*?</a>\n?', "", text)


def _json(data: Mapping[str, object]) -> str:
    """JSON that may stand in a script element: no end tag can hide in it, no number is NaN."""
    text = json.dumps(_plain(dict(data)), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")


def _plain(value: object) -> Json:
    """Floats with six digits, None where they are not finite; records by their fields."""
    if isinstance(value, Record):
        value = {name: getattr(value, name) for name in vars(value)}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    assert value is None or isinstance(value, bool | int | str)
    return value


def _part(name: str) -> str:
    return (resources.files("specvit_jax.report") / name).read_text(encoding="utf-8")
