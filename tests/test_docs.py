"""The page on observed spectra says what the program does: its flags, and options that there are."""

import re
from dataclasses import fields
from pathlib import Path

from crlb.cli.check_spectra import CheckSpectra
from crlb.cli.posterior import PosteriorOf
from crlb.cli.spectrum import Spectrum
from crlb.files.flags import LEGEND
from specvit_jax.cli.predict import Predict

PAGE = Path(__file__).resolve().parents[1] / "docs" / "observed.md"


def test_the_page_lists_every_flag_with_its_meaning():
    rows = re.findall(r"^\| ([A-Z_]+) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == LEGEND


def test_every_option_on_the_page_exists():
    named = set(re.findall(r"--([a-zA-Z][\w-]*)", PAGE.read_text(encoding="utf-8")))
    commands = (CheckSpectra, PosteriorOf, Predict, Spectrum)
    known = {one.name.replace("_", "-") for command in commands for one in fields(command)}
    assert named - known - {"help", "T_eff", "log_g", "M_H"} == set()
