"""What a training run says while it runs: a progress bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Any

from rich import progress
from rich.console import Console

from crlb.labels import LABELS
from specvit_jax.config import Config

LINE_EVERY_S = 30.0  # between plain lines, besides one for every evaluation


class Progress:
    """Shows steps, spectra/s, loss, validation R2 and MAE, and the time left; use it in a ``with``."""

    def __init__(self, start: int, config: Config) -> None:
        self.steps, self.batch_size = config.train.steps, config.train.batch_size
        self.label = config.model.label_names[0]
        self.console = Console(stderr=True)
        self.begun, self.start = time.monotonic(), start
        self.told, self.told_at = start, self.begun
        self.line_at = self.begun
        self.text: dict[str, Any] = {"rate": "", "loss": "", "val": ""}
        self.bar = progress.Progress(
            progress.TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("{task.fields[rate]} {task.fields[loss]} {task.fields[val]}"),
            progress.TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("train", total=self.steps, completed=start, **self.text)

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def trained(self, step: int, loss: float) -> float:
        """Tells the loss at a step; returns spectra per second since it was last told."""
        now = time.monotonic()
        rate = (step - self.told) * self.batch_size / max(now - self.told_at, 1e-9)
        self.told, self.told_at = step, now
        self.text |= {"rate": f"{rate:.0f} spectra/s", "loss": f"loss {loss:.4f}"}
        self._show(step, line=now - self.line_at > LINE_EVERY_S)
        return rate

    def evaluated(self, step: int, scores: dict[str, float]) -> None:
        """Tells the validation scores; the time they took does not count as training."""
        r2, mae = (scores[f"val_{score}_{self.label}"] for score in ("r2", "mae"))
        self.text["val"] = f"{self.label}: val R2 {r2:.4f}, MAE {mae:.4g} {LABELS[self.label].unit}"
        self.told_at = time.monotonic()
        self._show(step, line=True)

    def say(self, text: str) -> None:
        """One line of its own."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def _show(self, step: int, line: bool) -> None:
        self.bar.update(self.task, completed=step, **self.text)
        if line and not self.console.is_terminal:
            now = self.line_at = time.monotonic()
            left = (now - self.begun) / max(step - self.start, 1) * (self.steps - step)
            self.say(f"step {step}/{self.steps}  {'  '.join(self.text.values())}  {left / 60:.1f} min left")
