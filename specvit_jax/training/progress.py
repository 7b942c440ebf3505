"""Progress of a training run: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from rich import progress

from crlb.files.console import console
from crlb.labels import LABELS
from specvit_jax.settings.config import Config

LINE_EVERY_S = 30.0  # between plain lines, besides one for every evaluation


class Progress:
    """Shows steps, spectra/s, loss, validation scores, time spent and left; use it in a ``with``."""

    def __init__(self, start: int, config: Config, *, shown: bool = True) -> None:
        """Begins at a step; ``shown`` in the first process of a run only."""
        self.steps, self.batch_size = config.train.steps, config.train.batch_size
        self.labels = config.model.label_names
        self.classes = config.model.threshold is not None
        self.console = console(stderr=True, quiet=not shown)
        self.entered = self.begun = self.line_at = self.told_at = time.monotonic()
        self.start = self.told = start
        self.text: dict[str, Any] = {"rate": "", "loss": "", "val": ""}
        self.bar = progress.Progress(
            progress.TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("{task.fields[rate]} {task.fields[loss]} {task.fields[val]}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("train", total=self.steps, completed=start, **self.text)

    def __enter__(self) -> "Progress":
        self.bar.start()
        if self.start < self.steps:
            self.say("compiling the step ...")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def compiled(self, step: int) -> None:
        """Reports that the first step, now done, was compiled; no rate counts the time this took."""
        self.begun = self.told_at = self.line_at = time.monotonic()
        self.start = self.told = step
        self.say(f"compiled in {self.begun - self.entered:.1f} s")

    def trained(self, step: int, loss: float) -> float:
        """Reports the loss at a step; returns spectra per second since the last report."""
        now = time.monotonic()
        rate = (step - self.told) * self.batch_size / max(now - self.told_at, 1e-9)
        self.told, self.told_at = step, now
        self.text |= {"rate": f"{rate:.0f} spectra/s", "loss": f"loss {loss:.4f}"}
        self._show(step, line=now - self.line_at > LINE_EVERY_S)
        return rate

    def evaluated(self, step: int, scores: dict[str, float]) -> None:
        """Reports the validation scores; the time they took does not count as training."""
        shown = self.labels[:1] if self.console.is_terminal else self.labels
        told = _of_classes(scores) if self.classes else _scores(shown, scores)
        self.text["val"] = f"validation {'; '.join(told)}"
        self.told_at = time.monotonic()
        self._show(step, line=True)

    def say(self, text: str) -> None:
        """Prints a line of text."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _show(self, step: int, line: bool) -> None:
        self.bar.update(self.task, completed=step, **self.text)
        if line and not self.console.is_terminal:
            now = self.line_at = time.monotonic()
            spent, done = now - self.begun, step - self.start
            whole = f"{done * self.batch_size / max(spent, 1e-9):.0f} with all pauses"
            left = f"{spent / 60:.1f} min, {spent / max(done, 1) * (self.steps - step) / 60:.1f} min left"
            rate, loss, val = self.text.values()
            self.say(
                "  ".join(filter(None, [f"step {step}/{self.steps}", f"{rate}, {whole}", loss, val, left]))
            )


def _scores(labels: Iterable[str], scores: dict[str, float]) -> list[str]:
    return [
        f"{label} R2 {scores[f'val_r2_{label}']:.4f}, "
        f"MAE {scores[f'val_mae_{label}']:.4g} {LABELS[label].unit}"
        for label in labels
    ]


def _of_classes(scores: dict[str, float]) -> list[str]:
    found = (scores[f"val_{name}"] for name in ("accuracy", "cross_entropy", "skill"))
    return ["accuracy {:.4f}, cross entropy {:.4f}, skill {:.4f}".format(*found)]
