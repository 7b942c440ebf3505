"""The metrics of a run for Weights & Biases; needs the extra ``wandb``.

Everything lies in the folder ``wandb`` of the run directory. ``run.json`` there has the id under which the
run goes on after a resume, also where it is offline, and how far it was logged.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from crlb.errors import Interrupted, OutputError, UsageError, one_line
from crlb.files.folders import check_links, tree
from crlb.files.output import writing
from crlb.files.records import Record, write_json
from crlb.files.text_input import read_json
from specvit_jax.settings.config import Config

PROJECT = "specvit-jax"  # unless WANDB_PROJECT names another
LOGIN_FREE = ("offline", "disabled", "dryrun")  # values of WANDB_MODE that need no account
# What can be set in the environment alone, unless it is: no reports on itself to its makers, which it sends
# even where it is offline; and written to the disk every second, so that little is lost with a kill.
ENVIRONMENT = {"WANDB_ERROR_REPORTING": "false", "WANDB__TRANSACTION_LOG_FLUSH_INTERVAL": "1"}


@dataclass(frozen=True)
class Logged(Record):
    """What was logged of a run, in all of its starts."""

    id: str  # of the run at Weights & Biases
    last: int = -1  # place of the newest row, as ``place`` counts


def place(step: int, curve: str) -> int:
    """Where a row stands among all: the losses of a step, then its scores. It never falls in a run."""
    return 2 * step + curve.startswith("val/")


def check_login() -> None:
    """Refuses Weights & Biases where it could not be used; no connection is tried.

    Raises:
        UsageError: nobody is logged in, and it is not offline; or its settings are wrong.
    """
    wandb = _package()
    try:
        mode = wandb.setup().settings.mode
        logged_in = mode in LOGIN_FREE or wandb.login(prompt=False, verify=False)
    except (ValueError, wandb.Error) as error:
        raise UsageError(f"--log-to wandb: {one_line(error)}; correct the settings of wandb") from error
    if not logged_in:
        raise UsageError(
            "--log-to wandb needs an account, found none; run wandb login, or set WANDB_API_KEY, "
            "or WANDB_MODE=offline"
        )


def is_log_link(path: Path, run: Path) -> bool:
    """Whether a link in a run directory is the one that wandb makes to its own log: nothing follows it."""
    parts = path.relative_to(run).parts
    return parts[:1] == ("wandb",) and parts[2:] == ("logs", "debug-core.log")


def drop_log_links(run: Path) -> None:
    """Removes from a run directory the links that wandb made to its own log.

    Raises:
        OutputError, DiskError: one may not be removed.
    """
    with writing(run / "wandb"):
        for path in tree(run / "wandb"):
            if path.is_symlink() and is_log_link(path, run):
                path.unlink()


class WeightsAndBiases:
    """Logs to Weights & Biases, or into files for it where ``WANDB_MODE=offline``.

    Project, name and group are those of ``WANDB_PROJECT``, ``WANDB_NAME`` and ``WANDB_RUN_GROUP``; without
    them ``specvit-jax``, the name of the run directory, and none.
    """

    def __init__(self, run: Path, config: Config) -> None:
        """Begins, or goes on with the id that the run directory has.

        Raises:
            UsageError: it could not be begun, without an account, say.
            DataError: ``wandb/run.json`` is damaged.
            OutputError, DiskError: the run directory cannot be written.
        """
        wandb = _package()
        self.file = run / "wandb" / "run.json"
        self.logged = _logged(self.file)
        try:
            self.run = _begin(wandb, run, self.logged.id, config)
        except (ValueError, wandb.Error) as error:
            raise UsageError(
                f"--log-to wandb: {one_line(error)}; or set WANDB_MODE=offline and send it later"
            ) from error
        drop_log_links(run)
        for curve in ("train/*", "val/*"):
            self.run.define_metric(curve, step_metric="step")
        self.about = self._about()

    def log(self, step: int, scalars: Mapping[str, float | int]) -> None:
        """As ``Board``; what a run that goes on computes a second time is not logged again.

        Raises:
            OutputError: the process of wandb has died.
        """
        here = max(place(step, curve) for curve in scalars)
        if here <= self.logged.last:
            return
        # wandb's own counter may neither fall nor stand still; curves are drawn over "step".
        with self._process():
            self.run.log({"step": step, **scalars}, step=here, commit=True)
        self.logged = replace(self.logged, last=here)
        write_json(self.logged, self.file, overwrite=True)

    def close(self, exit_code: int = 0) -> None:
        """As ``Board``; a run that was interrupted says that it will go on.

        Raises:
            OutputError: as ``log``.
        """
        with self._process():
            if exit_code == Interrupted.exit_code:
                self.run.mark_preempting()
            self.run.finish(exit_code=exit_code)

    @contextmanager
    def _process(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, _package().Error) as error:
            raise OutputError(
                f"--log-to wandb: its process does not answer ({one_line(error)}); continue with --resume"
            ) from error

    def _about(self) -> str:
        folder = Path(self.run.dir).parent
        if not self.run.offline:
            return f"Weights & Biases: {self.run.url}"
        return f"Weights & Biases, offline; to send it: wandb sync {folder}"


def _package() -> ModuleType:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import wandb

    return wandb


def _logged(file: Path) -> Logged:
    """What was logged before; a new id where nothing was."""
    if file.exists():
        check_links([file])
        return Logged.from_json(read_json(file, "record of wandb"))
    logged = Logged(secrets.token_hex(4))
    with writing(file):
        file.parent.mkdir(exist_ok=True)
    write_json(logged, file)
    return logged


def _begin(wandb: ModuleType, run: Path, id: str, config: Config) -> Any:
    """A run of wandb, which has no types that could be named without importing it."""
    return wandb.init(
        dir=str(run),
        id=id,
        resume="allow",
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=os.environ.get("WANDB_NAME", run.resolve().name),
        config=asdict(config),
        allow_val_change=True,  # a run may be made longer
        # Its lines and its copy of the terminal would break the display of progress.
        settings=wandb.Settings(symlink=False, silent=True, console="off"),
    )
