"""The page of settings: every one with its default, unit and meaning, and what the presets change."""

import inspect

from experiments.tables.text import table
from specvit_jax.settings.config import Config
from specvit_jax.settings.described import SECTIONS, Setting, described, shown
from specvit_jax.settings.presets import PRESETS

HEADS = ["setting", "default", "unit", "meaning", "can be"]


def page() -> str:
    """Returns the page of settings in Markdown."""
    found = described(Config())
    parts = [
        "# Settings",
        "`specvit train --set section.key=value`, or a YAML file for `--config`; `specvit settings` prints "
        "them. Defaults are those of the preset `paper`; what the others change stands at the end.",
    ]
    for name in SECTIONS:
        rows = [_row(one) for one in found if one.name.startswith(f"{name}.")]
        doc = inspect.getdoc(type(getattr(Config(), name))) or ""
        parts.append(f"## {name}\n\n{doc.splitlines()[0]}\n\n{table(HEADS, rows)}")
    return "\n\n".join([*parts, "## Presets", "\n".join(map(_preset, PRESETS.values()))]) + "\n"


def _row(one: Setting) -> list[str]:
    return [f"`{one.name}`", f"`{shown(one.value)}`", one.unit, one.meaning.replace("|", "or"), one.kind]


def _preset(config: Config) -> str:
    """What a preset changes of the defaults."""
    pairs = zip(described(config), described(Config()), strict=True)
    changed = [f"`{one.name}={shown(one.value)}`" for one, default in pairs if one.value != default.value]
    return f"- `{config.preset}`: {', '.join(changed) or 'the defaults'}"
