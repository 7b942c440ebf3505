"""Pages made from the code: nothing of it is missing, and links between files become links between pages."""

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from crlb.errors import EXPECTED, RunLocked
from experiments.pages import api, commands, errors, results, settings
from experiments.pages.tree import address, content_of, linked, reached
from specvit_jax.settings.config import DataConfig, ModelConfig, TrainConfig

ROOT = Path(__file__).resolve().parents[3]


def test_every_setting_is_there_with_its_default_and_meaning():
    page = settings.page()
    for section, kind in (("model", ModelConfig), ("train", TrainConfig), ("data", DataConfig)):
        for one in fields(kind):
            assert f"| `{section}.{one.name}` | `" in page
    width = "Width of one token, in components where input_layer is pca."
    assert f"| `model.patch_size` | `16` | pixel | {width} | int |" in page
    assert "- `tiny`: `model.patch_size=512`" in page
    assert "- `paper`: `train.steps=" in page
    widths = {line.count("|") for line in page.splitlines() if line.startswith("| ")}
    assert widths == {6}  # no bar within a cell


@pytest.mark.parametrize("program", commands.PROGRAMS)
def test_every_command_has_its_help(program):
    page = commands.program(program)
    named = {words[0] for words in commands.subcommands(commands.PROGRAMS[program].Command)}
    first = page.split("```")[1]
    assert named
    assert all(re.search(rf"\b{name}\b", first) for name in named)
    for words in commands.subcommands(commands.PROGRAMS[program].Command):
        assert f"## {program} {' '.join(words)}\n\n```text\nusage: {program} {' '.join(words)} [-h]" in page
    assert max(map(len, page.splitlines())) < 500


def test_actions_of_a_command_are_commands():
    found = list(commands.subcommands(commands.PROGRAMS["crlb"].Command))
    assert ("grid", "synthesize") in found
    assert ("ceiling",) in found
    assert ("grid",) not in found


def test_the_index_of_errors_has_every_status_and_what_is_said():
    page = errors.page()
    for kind in (*EXPECTED, RunLocked):
        assert f"## {kind.exit_code}: {kind.__name__}\n" in page
    assert "n must be at least 2 stars, found … (crlb/bayes/exact_limit.py)" in page
    assert len(errors.messages()) > 500


@pytest.mark.parametrize("package", ["crlb", "specvit_jax"])
def test_the_page_of_a_package_has_what_it_hands_on(package):
    public = set(importlib.import_module(package).__all__) - {"__version__"}
    assert {name for name, _ in api.names(package)} == public
    page = api.page(package)
    assert all(re.search(rf"^::: {package}\.[\w.]+\.{name}$", page, re.MULTILINE) for name in public)


def test_files_stand_where_links_lead():
    assert address("README.md") == "index.md"
    assert address("docs/howto/train.md") == "howto/train.md"
    assert address("results/scaling/table.md") == "results/scaling.md"
    assert address("tests/test_docs.py") == "tree/tests/test_docs.py"
    fence = "\n```sh\n[d](../../README.md)\n```\n[e](#f)"
    text = f"[a](../figure.md#x) [b](../../results) [`c`](../../README.md){fence}"
    assert linked(text, "docs/howto/train.md") == f"[a](../figure.md#x) b [`c`](../index.md){fence}"
    assert linked("[a](docs/figure.md)", "README.md") == "[a](figure.md)"
    assert (
        linked("![a](figure.png)", "results/scaling/table.md") == "![a](../tree/results/scaling/figure.png)"
    )


def test_what_pages_link_to_is_taken_along():
    found = reached(["README.md", "docs/results.md"])
    assert {"README.md", "experiments/LOG.md", "SECURITY.md", "CITATION.cff"} <= set(found)
    assert not any(place.startswith("docs/") for place in found)
    assert "tests/hostile/test_links.py" in reached(["docs/reliability.md"])


def test_an_experiment_has_title_question_and_figure_above_its_table():
    page = content_of("results/scaling/table.md")
    assert page.startswith("# scaling\n")
    assert "*Asked:*" in page
    assert "![scaling](figure.png)" in page
    assert page.endswith((ROOT / "results/scaling/table.md").read_text())
    assert {path.parent.name for path in (ROOT / "results").glob("*/results.json")} == set(results.names())


def test_the_site_asks_nothing_of_the_network():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert config["strict"] is True
    assert config["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript", "extra"} & set(config)
    plugins = [name if isinstance(name, str) else next(iter(name)) for name in config["plugins"]]
    assert plugins == ["search", "mkdocstrings"]
    assert config["plugins"][1]["mkdocstrings"]["handlers"]["python"]["inventories"] == []
