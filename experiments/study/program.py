"""An experiment as a program. Its help comes from the text of its module, so that it costs no jax."""

import ast
import re
from pathlib import Path

from crlb.command_line import parse
from crlb.program import run_command
from experiments.study.options import Options

HEADING = re.compile(r"^(Claim|Command|Hardware|Expect):", re.MULTILINE)


def enter(name: str, options: type[Options] = Options) -> None:
    """Console entry of an experiment.

    Args:
        name: of its folder.
        options: what it can be asked for.
    """
    run_command(lambda: run(name, options))


def run(name: str, options: type[Options]) -> None:
    """Reads the command line, then runs the experiment, or goes on with it, and prints the files it wrote."""
    asked = parse(options, f"python -m experiments.{name}", doc_of(name))
    from experiments.study.frame import study_of
    from experiments.study.running import report

    print(*report(study_of(name), asked), sep="\n")


def doc_of(name: str) -> str:
    """The docstring of an experiment, which is not imported; headings are indented and so stay lines."""
    source = Path(__file__).parents[1] / name / "experiment.py"
    doc = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return HEADING.sub(r"  \g<0>", doc)
