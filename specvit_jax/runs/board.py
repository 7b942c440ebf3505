"""The metrics of a run for TensorBoard, beside its ``metrics.jsonl``; needs the extra ``tensorboard``."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from crlb.errors import UsageError


def check_tensorboard() -> None:
    """Refuses early what ``Board`` would refuse.

    Raises:
        UsageError: the package is not installed.
    """
    if find_spec("tensorboardX") is None:
        raise UsageError(
            "--tensorboard needs the package tensorboardX, which is not installed; "
            "install the extra: pip install 'specvit-jax[tensorboard]'"
        )


class Board:
    """Writes rows of metrics into a folder that ``tensorboard --logdir`` shows."""

    def __init__(self, folder: Path, after: int = 0) -> None:
        """Goes on after a step: what the folder tells of later ones will be written again.

        Raises:
            UsageError: the package is not installed.
        """
        check_tensorboard()
        from tensorboardX import SummaryWriter

        # The name of its file says the second; two starts may fall into one.
        suffix = f".{after}.{os.getpid()}"
        self.writer = SummaryWriter(str(folder), purge_step=after + 1, filename_suffix=suffix)

    def log(self, row: Mapping[str, float | int]) -> None:
        """A row as in ``metrics.jsonl``, every number a curve: ``train/loss``, ``val/r2_log_g``."""
        for name, value in row.items():
            if name != "step":
                group, _, rest = name.partition("_")
                curve = f"val/{rest}" if group == "val" else f"train/{name}"
                self.writer.add_scalar(curve, value, int(row["step"]))
        self.writer.flush()

    def close(self) -> None:
        """Writes out what is left."""
        self.writer.close()
