"""What the packages hand on: every public name is there, and the examples of README and docstrings run."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("crlb", "specvit_jax")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_dir_shows_it(package):
    found = importlib.import_module(package)
    assert set(found.__all__) <= set(dir(found))
    assert [name for name in found.__all__ if not hasattr(found, name)] == []
    with pytest.raises(AttributeError, match="nothing"):
        found.nothing  # noqa: B018
    assert found.__version__


def examples() -> list[doctest.DocTest]:
    """The Python sessions of the README and of the packages' docstrings."""
    blocks = (ROOT / "README.md").read_text().split("```python\n")[1:]
    texts = {f"README {i}": block.split("```")[0] for i, block in enumerate(blocks)}
    texts |= {package: importlib.import_module(package).__doc__ or "" for package in PACKAGES}
    parser = doctest.DocTestParser()
    found = [parser.get_doctest(text, {}, name, None, 0) for name, text in texts.items()]
    return [test for test in found if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda test: test.name.replace(" ", "-"))
def test_an_example_prints_what_it_says(example, monkeypatch):
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(example, out=said.append).failed == 0, "".join(said)


@pytest.mark.parametrize("script", ["crlb", "specvit"])
def test_version_and_help_load_no_jax(script):
    package = {"crlb": "crlb", "specvit": "specvit_jax"}[script]
    for option in ("--version", "--help"):
        code = (
            f"import sys; sys.argv = [{script!r}, {option!r}]\nfrom {package}.cli import main\n"
            "try: main()\nexcept SystemExit as end: code = end.code\nprint(code, 'jax' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stdout.splitlines()[-1].split() in (["0", "False"], ["None", "False"])
        if option == "--version":
            assert importlib.import_module(package).__version__ in done.stdout
