"""The command line of every program: one parser and spelling, `--version`, `--completion`, "did you mean"."""

import sys
import types
from collections.abc import Hashable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import version
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from crlb.errors import UsageError
from crlb.labels import LABEL_NAMES, option_of
from crlb.suggest import meant

SHELLS = ("bash", "zsh", "fish")  # tyro asks shtab for tcsh
# Options that are named after a label have its name in help and errors; both spellings are read.
SPELLED = {"--" + name.replace("_", "-"): option_of(name) for name in LABEL_NAMES}
CONFIG = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.DisallowNone,
)


def parse(kind: object, prog: str, description: str, args: Sequence[str] | None = None) -> Any:
    """Returns the command or the options that a command line asks for.

    `--help`, `--version` and `--completion SHELL` print and end the program, as do words that are no options.

    Args:
        kind: a dataclass of options, or a union of commands, each annotated with `tyro.conf.subcommand`.
        prog: how the program is called.
        description: the first lines of its help.
        args: the words; None: those that the program was started with.

    Raises:
        UsageError: no such command, or no such shell.
    """
    words = list(sys.argv[1:] if args is None else args)
    if words == ["--version"]:
        print(f"{prog} {version('specvit-jax')}")
        sys.exit(0)
    if words[:1] == ["--completion"]:
        words = ["--tyro-print-completion", _shell(words[1:])]
    check_command(kind, prog, words)
    with redirect_stdout(_Spelled(sys.stdout)), redirect_stderr(_Spelled(sys.stderr)), _texts_alone():
        return tyro.cli(kind, prog=prog, description=description, args=words, config=CONFIG)  # type: ignore


def commands(kind: object) -> Mapping[str, object]:
    """Returns the commands of a union, or of the field that holds one, by their names; none for options."""
    if get_origin(kind) in (Union, types.UnionType):
        options = [get_args(one) for one in get_args(kind) if get_origin(one) is Annotated]
        return {settings.name: command for command, settings in options}
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return next((found for one in fields(kind) if (found := commands(hints[one.name]))), {})
    return {}


def check_command(kind: object, prog: str, words: Sequence[str]) -> None:
    """Refuses a word that stands where a command should.

    Raises:
        UsageError: no command has that name.
    """
    known = commands(kind)
    if not known or not words or words[0].startswith("-"):
        return
    if words[0] not in known:
        raise UsageError(
            f"{prog} has no command {words[0]!r}{meant(words[0], known)}; it has {', '.join(known)}"
        )
    check_command(known[words[0]], f"{prog} {words[0]}", words[1:])


def _texts_alone() -> ConstructorRegistry:
    """Rules of tyro by which an option that is None or empty by default says so in its text alone."""
    registry = ConstructorRegistry()
    is_asked: list[bool] = []

    @registry.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if is_asked:
            return None
        is_asked.append(True)
        try:
            spec = registry.get_struct_spec(info)  # of tyro's own rules
        finally:
            is_asked.clear()
        if not isinstance(spec, StructConstructorSpec):
            return None
        return replace(spec, fields=tuple(map(_text_alone, spec.fields)))

    return registry


def _text_alone(field: StructFieldSpec) -> StructFieldSpec:
    """The field of an option; without a default it is one of files, at least one of which is needed."""
    hint = {None: "", (): "", tyro.MISSING_NONPROP: "(required)"}
    if not isinstance(field.default, Hashable) or field.default not in hint:
        return field
    kind: Any = Annotated[field.type, tyro.conf.arg(help_behavior_hint=hint[field.default])]
    return replace(field, type=kind)


def _shell(words: Sequence[str]) -> str:
    """The shell that is to complete; one of those that can."""
    if len(words) != 1 or words[0] not in SHELLS:
        raise UsageError(f"--completion needs one of {', '.join(SHELLS)}, found {' '.join(words) or 'none'}")
    return words[0]


class _Spelled:
    """A stream whose options are spelled as the labels that they are named after; widths stay as they are."""

    def __init__(self, stream: Any) -> None:  # of the program, or what a test put in its place
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        for found, wanted in SPELLED.items():
            text = text.replace(found, wanted)
        return int(self.stream.write(text))
