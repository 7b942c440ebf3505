"""Where the metrics of a run are shown beside its ``metrics.jsonl``: TensorBoard, Weights & Biases."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from crlb.errors import UsageError
from specvit_jax.settings.config import Config

BoardName: TypeAlias = Literal["tensorboard", "wandb"]
PACKAGES: dict[BoardName, str] = {"tensorboard": "tensorboardX", "wandb": "wandb"}


@runtime_checkable
class Board(Protocol):
    """One that shows the metrics of a run; made by ``open_board``."""

    about: str  # a line for the user on where they can be seen, or nothing

    def log(self, step: int, scalars: Mapping[str, float | int]) -> None:
        """Takes what was found at a step of the optimiser: name of a curve -> value."""

    def close(self, exit_code: int = 0) -> None:
        """Writes out what is left; the exit status that the run ends with says how it ended."""


def check_boards(names: Sequence[BoardName]) -> None:
    """Refuses early what ``open_board`` would refuse.

    Raises:
        UsageError: a package is not installed; or nobody is logged in to Weights & Biases.
    """
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            raise UsageError(
                f"--log-to {name} needs the package {PACKAGES[name]}, which is not installed; "
                f"install the extra: pip install 'specvit-jax[{name}]'"
            )
    if "wandb" in names:
        from specvit_jax.runs.wandb_board import check_login

        check_login()


def open_board(name: BoardName, run: Path, after: int, config: Config) -> Board:
    """Begins, or goes on after a step, in the folder of the board's name in a run directory.

    Args:
        name: of the board.
        run: the run directory.
        after: step after which it goes on; later ones that it has are written again.
        config: of the run.

    Raises:
        UsageError: as ``check_boards``; or Weights & Biases refused it.
    """
    check_boards([name])
    if name == "tensorboard":
        return TensorBoard(run / name, after)
    from specvit_jax.runs.wandb_board import WeightsAndBiases

    return WeightsAndBiases(run, config)


def curves(row: Mapping[str, float | int]) -> dict[str, float | int]:
    """A row of ``metrics.jsonl`` as points of curves: ``train/loss``, ``val/r2_log_g``."""
    values = {name: value for name, value in row.items() if name != "step"}
    return {_curve(name): value for name, value in values.items()}


def _curve(name: str) -> str:
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"


class TensorBoard:
    """Writes curves into a folder that ``tensorboard --logdir`` shows."""

    about = ""

    def __init__(self, folder: Path, after: int) -> None:
        """Goes on after a step: what the folder tells of later ones will be written again."""
        from tensorboardX import SummaryWriter

        # The name of its file says the second; two starts may fall into one.
        suffix = f".{after}.{os.getpid()}"
        self.writer = SummaryWriter(str(folder), purge_step=after + 1, filename_suffix=suffix)

    def log(self, step: int, scalars: Mapping[str, float | int]) -> None:
        """As ``Board``."""
        for curve, value in scalars.items():
            self.writer.add_scalar(curve, value, step)
        self.writer.flush()

    def close(self, exit_code: int = 0) -> None:
        """As ``Board``; the status is not kept."""
        self.writer.close()
