"""Pages say what there is: flags and options of the program, tests of what is called reliable."""

import re
from dataclasses import fields
from pathlib import Path

from crlb.cli.check_spectra import CheckSpectra
from crlb.cli.posterior import PosteriorOf
from crlb.cli.spectrum import Spectrum
from crlb.files.flags import LEGEND
from specvit_jax.cli.predict import Predict

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "observed.md"


def test_the_page_lists_every_flag_with_its_meaning():
    rows = re.findall(r"^\| ([A-Z_]+) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == LEGEND


def test_every_option_on_the_page_exists():
    named = set(re.findall(r"--([a-zA-Z][\w-]*)", PAGE.read_text(encoding="utf-8")))
    commands = (CheckSpectra, PosteriorOf, Predict, Spectrum)
    known = {one.name.replace("_", "-") for command in commands for one in fields(command)}
    assert named - known - {"help", "T_eff", "log_g", "M_H"} == set()


def test_every_row_on_reliability_names_its_tests_and_every_test_of_hostile_files_has_a_row():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"\]\(\.\./(tests/[^)]*)\)", row) for row in rows]
    assert rows
    assert all(named)
    places = {place for row in named for place in row}
    assert [place for place in places if not (ROOT / place).exists()] == []
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "hostile").glob("test_*.py")}
    assert there - places == set()
