"""Files that other programs read: they parse, agree on the version, and name what there is."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from experiments.pages.results import names

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


def test_one_version_everywhere():
    version = PROJECT["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == version
    day = citation["date-released"].isoformat()
    assert f"## {version}, {day}" in (ROOT / "CHANGELOG.md").read_text()
    bibtex = (ROOT / "docs/citing.md").read_text()
    assert f"version = {{{version}}}" in bibtex
    assert f"date    = {{{day}}}" in bibtex
    assert citation["title"] in bibtex


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_steps_of_this_makefile(path):
    content = yaml.safe_load(path.read_text())
    assert content[True] == ["push", "pull_request"]  # YAML reads `on` as true
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert job["steps"][0] == {"uses": "actions/checkout@v4"}
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            words = shlex.split(step.get("run", ""))
            if "make" in words:
                assert words[words.index("make") + 1] in TARGETS
            assert (ROOT / step.get("working-directory", ".")).is_dir()


def test_workflows_cover_systems_and_versions():
    fast = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["fast"]
    matrix = fast["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos"}
    assert f">={matrix['python'][0]}" == PROJECT["requires-python"]
    assert matrix["python"][-1] == "3.13"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_of_an_issue_asks(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    fields = form["body"]
    assert all(field["attributes"]["label"] and field["type"] == "textarea" for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field["validations"]["required"] for field in fields)


def test_there_are_three_forms():
    assert [path.stem for path in FORMS] == ["bug", "feature", "science"]


def test_hooks_before_a_commit_are_those_of_make_lint():
    lint = (ROOT / "Makefile").read_text().split("lint: ")[1].split("\n\n")[0]
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repo["hooks"]:
        program, *words = shlex.split(hook["entry"])
        command = " ".join([program.replace(".venv/bin", "$(BIN)"), *words[:1]])
        assert command in lint


def test_the_container_takes_what_there_is():
    text = (ROOT / "apptainer.def").read_text()
    taken = text.split("%files\n")[1].split("\n\n")[0].splitlines()
    sources = [line.split()[0] for line in taken]
    assert [name for name in sources if not (ROOT / name).exists()] == []
    assert {"crlb", "specvit_jax", "requirements.lock", "pyproject.toml", PROJECT["readme"]} <= set(sources)


def pages(entry: object) -> list[str]:
    """The files of a navigation."""
    if isinstance(entry, str):
        return [entry]
    below = entry.values() if isinstance(entry, dict) else entry
    return [page for one in below for page in pages(one)]


def test_the_navigation_has_every_page():
    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    captions = {name for name in there if name.endswith("_caption.md")}  # texts beside the figures
    assert there - set(listed) == captions
    assert len(set(listed)) == len(listed)
    taken_along = [page.removeprefix("tree/") for page in listed if page.startswith("tree/")]
    assert [page for page in taken_along if not (ROOT / page).exists()] == []
    assert len(names()) >= 21
