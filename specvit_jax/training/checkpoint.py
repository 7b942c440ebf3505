"""Checkpoints of a run (orbax), from which it is resumed after an interruption."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from crlb.errors import DataError, DiskError, OutputError, disk_refusal
from crlb.files.folders import check_links, tree
from crlb.files.output import writing
from specvit_jax.network.weights import Tree, flatten, unflatten


class Checkpoints:
    """The checkpoints of a run, the latest and the best by validation; use it in a ``with``."""

    def __init__(self, folder: Path) -> None:
        """Opens the checkpoints in a folder, which is created.

        Raises:
            OutputError: it is or holds a symbolic link, or cannot be created.
            DiskError: the disk refused it.
        """
        check_links(tree(folder))
        policy = AnyPreservationPolicy(
            [
                LatestN(1),
                BestN(get_metric_fn=lambda about: about["r2"], n=1, keep_checkpoints_without_metrics=False),
            ]
        )
        mine = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(
            primary_host=mine, active_processes={mine}, barrier_sync_key_prefix=f"process_{mine}"
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            cleanup_tmp_directories=True,
            multiprocessing_options=alone,
            create=False,
        )
        self.folder = folder.absolute()
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        logging.getLogger("absl").addFilter(_is_news)
        self.manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for what is being written; of two refusals by the disk the first one is told."""
        try:
            with writing(self.folder):
                self.manager.close()
        except (DiskError, OutputError):
            if error is None:
                raise

    def save(self, step: int, tree: object, about: Mapping[str, float | int]) -> None:
        """Writes a tree of arrays in the background; ``about`` holds ``r2`` and whatever belongs to it.

        Raises:
            DiskError: the disk refused it, or the checkpoint before it.
            OutputError: there is a later one.
        """
        flat = flatten(tree)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(flat),
            about=ocp.args.JsonSave({"about": dict(about), "sha256": _digests(flat)}),
        )
        with writing(self.folder):
            done = self.manager.save(step, args=args, metrics=dict(about))
        if not done:  # orbax refuses a step that is not the newest without a word
            raise OutputError(f"checkpoint {step} was not written: {self.folder} holds a later one")

    def wait(self) -> None:
        """Returns when all that was saved is on disk.

        Raises:
            DiskError: the disk refused it.
        """
        with writing(self.folder):
            self.manager.wait_until_finished()

    def restore(self, like: Tree) -> tuple[Tree, dict[str, float | int], list[str]] | None:
        """The newest sound checkpoint, or None where there is none; unusable ones after it are put aside.

        Returns:
            The tree, with the structure, shapes and types of ``like``; its ``about``; and one line for
            every newer checkpoint that was skipped, saying why.

        Raises:
            DataError: there are checkpoints, but none is sound or fits.
        """
        target = {name: np.empty_like(leaf) for name, leaf in flatten(like).items()}
        skipped, bad = [], []
        for step in sorted(self.manager.all_steps(), reverse=True):
            try:
                found = self.manager.restore(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(target), about=ocp.args.JsonRestore()
                    ),
                )
                flat, about = found["state"], found["about"]
                if _digests(flat) != about["sha256"]:
                    raise ValueError("its contents do not match their SHA-256")
            except (ValueError, OSError, KeyError, TypeError) as error:
                skipped.append(f"checkpoint {step} is unusable: {str(error).splitlines()[0]}")
                bad.append(step)
                continue
            self.put_aside(bad)
            return unflatten(like, flat), about["about"], skipped
        if skipped:
            raise DataError(
                f"no sound checkpoint in {self.folder}: {'; '.join(skipped)}; start again elsewhere"
            )
        return None

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        step: int | None = self.manager.latest_step()
        return step

    def put_aside(self, steps: Sequence[int]) -> None:
        """Renames checkpoints to ``unusable_STEP``: their steps will be done, and saved, again."""
        for step in steps if jax.process_index() == 0 else ():
            name = f"unusable_{step}"
            taken = sum(path.name.startswith(name) for path in self.folder.iterdir())
            with writing(self.folder):
                (self.folder / str(step)).rename(self.folder / (f"{name}_{taken}" if taken else name))
        if steps:
            self.manager.reload()


def _digests(flat: dict[str, np.ndarray]) -> dict[str, str]:
    """SHA-256 of every leaf: orbax restores a flipped byte without a word."""
    return {name: hashlib.sha256(leaf.tobytes()).hexdigest() for name, leaf in flat.items()}


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of orbax's log says more than that the disk refuses, which who saves is told."""
    return not (record.exc_info and record.exc_info[1] and disk_refusal(record.exc_info[1]))
