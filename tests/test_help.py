"""The help of every command and experiment: light, with one spelling, examples to copy; words half right."""

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from crlb import command_line
from crlb.cli.command import Command as Crlb
from crlb.errors import UsageError
from crlb.suggest import meant
from experiments.__main__ import NAMES
from specvit_jax.cli.command import Command as Specvit

WITHOUT = re.compile(r"\bdefault: |\(required\)|\b(Write|Draw|show this) ", re.IGNORECASE)
HEAVY = {"jax", "flax", "orbax", "h5py", "optax", "scipy", "matplotlib", "astropy"}
PROGRAMS = {"crlb": Crlb, "specvit": Specvit}
ALL_HELP = """
import contextlib, io, runpy, sys
sys.argv = [{program!r}]
for module, words in {calls!r}:
    sys.argv[1:] = [*words, "--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=False)
    except SystemExit as end:
        assert not end.code, (module, words)
    print(module, *words, "loads:", *sorted({heavy!r} & set(sys.modules)))
"""


def leaves(kind: object, *words: str) -> list[tuple[str, ...]]:
    """The words of all commands below a command, itself included."""
    below = [leaf for name, one in command_line.commands(kind).items() for leaf in leaves(one, *words, name)]
    return [words, *below]


def help_of(program: str, calls: list[tuple[str, tuple[str, ...]]]) -> str:
    code = ALL_HELP.format(program=program, calls=calls, heavy=HEAVY)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def options_of(said: str) -> Iterator[str]:
    """Every option and argument of a help, with what is said of it."""
    for box in re.findall(r"╭─ (?:options|positional arguments) ─.*?╰", said, re.DOTALL):
        lines = "\n".join(line.strip("│").rstrip() for line in box.splitlines()[1:-1])
        yield from (" ".join(one.split()) for one in re.split(r"\n(?= \S)", lines))


def check_defaults(said: str) -> None:
    """Every option says once what holds without it; of one that writes or draws it is plain."""
    found = set(options_of(said))
    assert len(found) > 20
    assert [one for one in found if re.search(r"\(default: (None)?\)", one)] == []
    assert [one for one in found if not WITHOUT.search(one)] == []
    assert [one for one in found if len(re.findall("default:", one, re.IGNORECASE)) > 1] == []


def check(said: str, n: int) -> None:
    """No help loaded anything heavy, has None to choose, or spells a label in another way."""
    loads = re.findall(r"loads:(.*)", said)
    assert len(loads) == n
    assert [what for what in loads if what] == []
    assert re.findall(r"[{|,]None\b|\bNone[|,}]", said) == []
    assert re.findall(r"--(?:T-eff|log-g|M-H|a-M|C-M)\b", said) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_of_every_command_loads_nothing_heavy_and_has_examples(program):
    module = {"crlb": "crlb.cli.__main__", "specvit": "specvit_jax.cli.__main__"}[program]
    calls = leaves(PROGRAMS[program])
    assert len(calls) > 8
    said = help_of(program, [(module, words) for words in calls])
    check(said, len(calls))
    check_defaults(said)
    assert "Where to start: " in said
    for words in calls:
        if words and words != ("grid",):
            assert (
                said.count(f"{program} {' '.join(words)} ") + said.count(f"{program} {' '.join(words)}\n")
                >= 2
            )


def test_help_of_every_experiment_loads_nothing_heavy():
    modules = ["experiments", *(f"experiments.{name}" for name in (*NAMES, "baselines", "figures", "tables"))]
    said = help_of("experiments", [(module, ()) for module in modules])
    check(said, len(modules))
    # What a program says of options of its own __main__ is not found by `ALL_HELP`.
    check_defaults(said.partition("experiments loads:")[2].partition("experiments.baselines loads:")[0])
    for name in NAMES:
        assert f"Command:  python -m experiments.{name}" in said or name == "r2_vs_snr"


def test_a_label_is_an_option_in_both_spellings():
    for spelling in ("--T_eff", "--T-eff"):
        found = command_line.parse(Crlb, "crlb", "", ["grid", "index", spelling, "4000", "5000"])
        assert found.action.T_eff == (4000.0, 5000.0)
    assert command_line.option_of("T_eff") == "--T_eff"
    assert command_line.option_of("seeing_arcsec") == "--seeing-arcsec"


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        ("specvit", "trian tiny", "specvit has no command 'trian'; did you mean train?; it has info, train,"),
        ("crlb", "ceilling", "did you mean ceiling?"),
        ("crlb", "grid ifno", "crlb grid has no command 'ifno'; did you mean info?"),
        ("crlb", "xyz", "crlb has no command 'xyz'; it has"),
        ("crlb", "--completion tcsh", "--completion needs one of bash, zsh, fish, found tcsh"),
        ("crlb", "--completion", "found none"),
    ],
)
def test_a_word_that_is_no_command_is_answered_with_the_nearest(program, words, said):
    with pytest.raises(UsageError) as error:
        command_line.parse(PROGRAMS[program], program, "", words.split())
    assert said in str(error.value)


def test_what_was_meant_is_the_nearest_known_word_or_nothing():
    assert meant("logg", ("T_eff", "log_g")) == "; did you mean log_g?"
    assert meant("TEFF", ("T_eff", "log_g")) == "; did you mean T_eff?"
    assert meant("vsini", ("T_eff", "log_g")) == ""
    assert meant(3, ("T_eff",)) == ""


@pytest.mark.parametrize("shell", command_line.SHELLS)
def test_a_shell_is_told_how_to_complete(shell):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as end:
        command_line.parse(Crlb, "crlb", "", ["--completion", shell])
    assert not end.value.code
    assert "ceiling" in said.getvalue()
    assert "--T_eff" in said.getvalue()
