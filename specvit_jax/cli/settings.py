"""`specvit settings`: every setting of a run with its unit, its value in a preset and its meaning."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from crlb.errors import UsageError
from crlb.files.records import json_text
from crlb.suggest import meant
from specvit_jax.settings.described import SECTIONS, Setting, described
from specvit_jax.settings.presets import preset


@dataclass(frozen=True)
class ShowSettings:
    """Shows the settings of a run: value in a preset, unit, meaning, what it can be.

    `--set` of the other commands and a run's config.yaml take them by these names.

    To copy and paste:
      specvit settings
      specvit settings train --preset tiny
      specvit settings learning_rate --json
    """

    word: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WORD")] = ""
    """model, train or data, or a part of a setting's name; without it all are shown."""
    preset: Annotated[str, tyro.conf.arg(metavar="PRESET")] = "paper"
    """Whose values: paper, small, tiny, survey, teacher or survey-teacher."""
    json: bool = False
    """Print JSON instead of lines."""

    def __call__(self) -> None:
        found = chosen(described(preset(self.preset)), self.word)
        if self.json:
            print(json_text([setting.to_json() for setting in found]))
        else:
            print(*(setting.text() for setting in found), sep="\n")


def chosen(settings: tuple[Setting, ...], word: str) -> list[Setting]:
    """The settings of a section, or those with a word in their names.

    Raises:
        UsageError: none has it.
    """
    found = [one for one in settings if word in one.name]
    if word in SECTIONS:
        found = [one for one in settings if one.name.startswith(f"{word}.")]
    if not found:
        names = [name for one in settings for name in (one.name, one.name.partition(".")[2])]
        raise UsageError(f"no setting has {word!r} in its name{meant(word, names)}; see `specvit settings`")
    return found
