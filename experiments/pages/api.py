"""The pages of what the packages hand on, for mkdocstrings: one entry a name, by folder."""

import re
from itertools import groupby

from experiments.tables.results import ROOT

HANDED_ON = re.compile(r"^from \.([\w.]+) import (\w+) as \2$", re.MULTILINE)
HIDDEN = ("__version__",)


def names(package: str) -> list[tuple[str, str]]:
    """Returns the public names of a package and the modules they come from, as its stub has them."""
    stub = (ROOT / package / "__init__.pyi").read_text(encoding="utf-8")
    return [(name, module) for module, name in HANDED_ON.findall(stub) if name not in HIDDEN]


def page(package: str) -> str:
    """Returns the page of a package in Markdown."""
    parts = [f"# `{package}` in Python", f"What `import {package}` hands on, by the folder it lives in."]
    by_folder = groupby(names(package), key=lambda pair: pair[1].split(".")[0])
    for folder, found in by_folder:
        parts.append(f"## {folder}")
        parts += [f"::: {package}.{module}.{name}" for name, module in found]
    return "\n\n".join(parts) + "\n"
