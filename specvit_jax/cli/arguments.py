"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import tyro

File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Out = Annotated[Path, tyro.conf.arg(metavar="FILE")]
Preset = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PRESET")]
Settings = Annotated[tuple[str, ...], tyro.conf.arg(metavar="SECTION.KEY=VALUE")]
