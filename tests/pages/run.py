"""Runs pages: their commands and their Python, in order, with small sizes, each in a folder of its own.

python -m tests.pages.run FOLDER GRID PAGE ...
"""

import doctest
import os
import runpy
import shutil
import sys
import time
from pathlib import Path

import jax

import crlb.cli
import specvit_jax.cli
from crlb.grids.grid_file import default_grid_path
from tests.pages.blocks import ROOT, Block, blocks, commands

# What is added to a command of a page, so that it ends within seconds: later options win.
SMALL = {
    "crlb ceiling": ["--n-bayes", "2", "--grid", "GRID"],
    "crlb plan": ["--n-bayes", "2", "--n-stars", "20"],
    "crlb nuisances": ["--n-bayes", "2", "--grid", "GRID"],
    "crlb grid validate": ["--grid", "GRID"],
    "specvit simulate": ["--n", "24"],
    "specvit train": ["--steps", "2"],
    "python -m experiments.baselines fit": ["--n", "200"],
    "python examples/giant_branch.py": ["--n", "400"],
}
SETTINGS = ["train.batch_size=8", "data.n_validation=32", "data.n_scaling=96", "data.components=16"]
SETTINGS += ["model.depth=1", "model.embed_dim=16", "train.log_every=1"]
LONGER = {"--rows": ["0", "2"]}  # options whose values are made smaller


def small(words: list[str], grid: str) -> list[str]:
    """A command of a page with small sizes."""
    added = next((more for start, more in SMALL.items() if " ".join(words).startswith(start)), [])
    added = [option for i, option in enumerate(added) if _taken(words, added[i - i % 2])]
    words = [*words, *(grid if word == "GRID" else word for word in added)]
    for option, values in LONGER.items():
        if option in words:
            at = words.index(option) + 1
            words[at : at + len(values)] = values
    if words[:2] == ["specvit", "train"] and "--config" not in words:
        at = words.index("--set") + 1 if "--set" in words else len(words)
        words[at:at] = SETTINGS if "--set" in words else ["--set", *SETTINGS]
    return words


def _taken(words: list[str], option: str) -> bool:
    """Whether a command gets an option: one of Bayes or of many stars only where it is asked for, no size to
    verify shards.

    Stars of a table lie in the whole grid, not in the small one.
    """
    if option == "--n-bayes":
        return "--bayes" in words
    if option == "--n-stars":
        return "--population" in words
    if option == "--grid":
        return "--population" not in words
    return not (option == "--n" and "--verify" in words)


def run(words: list[str]) -> None:
    """Runs a command in this process, as its console script does."""
    if words[0] == "crlb":
        with jax.enable_x64(True):
            crlb.cli.parse(words[1:])()
    elif words[0] == "specvit":
        specvit_jax.cli.parse(words[1:])()
    elif words[:2] == ["python", "-m"]:
        sys.argv = words[2:]
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    elif words[0] == "python":
        sys.argv = words[1:]
        runpy.run_path(words[1], run_name="__main__")
    else:
        raise SystemExit(f"{words[0]} is not run by this test: mark its block <!-- not run: reason -->")


def run_python(text: str, names: dict[str, object]) -> None:
    """Runs Python of a page; a session must print what it says."""
    if ">>>" not in text:
        exec(compile(text, "page", "exec"), names)
        return
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(doctest.DocTestParser().get_doctest(text, names, "page", None, 0)).failed == 0


def run_block(block: Block, names: dict[str, object], grid: str) -> None:
    """Runs a block, or writes the file that it shows."""
    if block.title:
        Path(block.title).write_text(block.text)
    elif block.language == "python":
        run_python(block.text, names)
    elif block.language == "sh":
        for words in commands(block.text):
            start = time.process_time()
            print("$", *small(words, grid), flush=True)
            run(small(words, grid))
            print(f"({time.process_time() - start:.1f} s)", flush=True)


def run_page(page: Path, folder: Path, grid: str) -> None:
    """Runs what is not marked on a page, in a folder of its own with what a clone has that pages name."""
    (folder / "crlb" / "data").mkdir(parents=True)
    shutil.copy(default_grid_path(), folder / "crlb" / "data")
    shutil.copytree(ROOT / "examples", folder / "examples")
    os.chdir(folder)
    names: dict[str, object] = {}
    for block in blocks(page):
        if not block.reason:
            run_block(block, names, grid)


def main() -> None:
    """Runs pages one after the other; what was compiled for one serves the next."""
    place, grid, *pages = sys.argv[1:]
    for page in pages:
        print(f"== {page}", flush=True)
        run_page(Path(page), Path(place) / page.removeprefix(f"{ROOT}/").replace("/", "-"), grid)


if __name__ == "__main__":
    main()
