"""Code on README and docs: every command is understood by its program; all that can be run is, in small."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import crlb.cli
import specvit_jax.cli
from crlb.grids.grid_file import default_grid_path, load_grid, save_grid
from tests.pages.blocks import PAGES, ROOT, blocks, commands

# What one page compiled serves the others, also where its function is made anew.
CACHED = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
OTHERS = ("make", "pip", "sbatch", "apptainer", "python")  # programs besides those of this project


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def every_command() -> list[tuple[str, list[str]]]:
    return [
        (name(page), words)
        for page in PAGES
        for block in blocks(page)
        if block.language == "sh"
        for words in commands(block.text)
    ]


def test_pages_have_code_and_every_fence_is_seen():
    assert {"README.md", "docs/howto/commands.md", "docs/tutorials/trust.md"} <= {
        name(page) for page in PAGES
    }
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^```\w+", text, re.MULTILINE)
        marks = text.count("<!-- not run:")
        found = blocks(page)
        assert (len(found), sum(bool(one.reason) for one in found)) == (len(fences), marks), name(page)
    assert len(every_command()) > 60


@pytest.mark.parametrize(("program", "parse"), [("crlb", crlb.cli.parse), ("specvit", specvit_jax.cli.parse)])
def test_every_command_of_a_page_is_one_that_its_program_understands(program, parse, capsys):
    refused = []
    for page, words in every_command():
        if words[0] == program:
            try:
                parse(words[1:])
            except SystemExit:
                refused.append(f"{page}: {' '.join(words)}: {capsys.readouterr()}")
    assert refused == []


def test_other_commands_name_targets_files_and_modules_that_exist():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lost = []
    for page, words in every_command():
        if words[0] in ("crlb", "specvit"):
            continue
        assert words[0] in OTHERS, f"{page}: {words[0]}"
        if words[0] == "make":
            lost += [f"{page}: make {one}" for one in words[1:] if "=" not in one and one not in targets]
        if words[:2] == ["python", "-m"] and not importlib.util.find_spec(words[2]):
            lost.append(f"{page}: {words[2]}")
        files = [word for word in words[1:] if word.startswith(("examples/", "tests/", "benchmarks/"))]
        lost += [f"{page}: {file}" for file in files if not (ROOT / file).exists()]
    assert lost == []


def test_every_link_of_a_page_leads_to_a_file():
    lost = []
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\((?!#|https?:)([^)#\s]+)", prose):
            if not (page.parent / target).exists():
                lost.append(f"{name(page)}: {target}")
    assert lost == []


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a part of the embedded grid with all its labels, in which ceilings take a second."""
    grid = load_grid(default_grid_path())
    for axis, kept in enumerate((4, 4, 4)):
        grid = grid.take(axis, np.arange(kept))
    folder = tmp_path_factory.mktemp("pages")
    save_grid(grid, folder / "small.h5")
    return folder


def runnable() -> list[Path]:
    return [
        page
        for page in PAGES
        if any(not one.reason and one.language in ("sh", "python") for one in blocks(page))
    ]


def test_pages_that_are_run_have_more_than_forty_commands():
    found = [one for page in runnable() for one in blocks(page) if one.language == "sh" and not one.reason]
    assert sum(len(commands(one.text)) for one in found) > 40


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", runnable(), ids=name)
def test_what_a_page_says_to_type_works(page, place):
    done = subprocess.run(
        [sys.executable, "-m", "tests.pages.run", place, place / "small.h5", page],
        cwd=ROOT,
        env=os.environ | CACHED | {"MPLBACKEND": "agg", "JAX_COMPILATION_CACHE_DIR": str(place / "jax")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    typed = sum(len(commands(one.text)) for one in blocks(page) if one.language == "sh" and not one.reason)
    assert len(re.findall(r"^\([\d.]+ s\)$", done.stdout, re.MULTILINE)) == typed
