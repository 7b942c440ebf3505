"""Epochs as steps: how often files are gone through, once it is known how many spectra they hold."""

from dataclasses import replace
from typing import NamedTuple

from crlb.errors import ConfigError
from specvit_jax.settings.config import Config, DataConfig


class InSteps(NamedTuple):
    """A config without epochs, and notes for the user on what became of them."""

    config: Config
    notes: list[str]


def rows_to_train(rows: int, data: DataConfig) -> int:
    """Of so many rows of files, those to train on.

    The last ``data.n_validation`` of them, at most a tenth, are kept for validation, unless it has a file of
    its own.
    """
    return rows if data.validation is not None else rows - min(data.n_validation, rows // 10)


def in_steps(config: Config, rows: int | None) -> InSteps:
    """The config with the steps that its epochs are, scored and saved once in each.

    Batches are no larger than there are spectra. A config without epochs is handed on as it is.

    Args:
        config: config of the run.
        rows: spectra that are used of its files; None: they come from the emulator, where data.rows of them
            are an epoch.

    Raises:
        ConfigError: there is no end to the spectra.
    """
    train, data = config.train, config.data
    if train.epochs is None:
        return InSteps(config, [])
    count = data.rows if rows is None else rows_to_train(rows, data)
    if count is None:
        raise ConfigError(
            "train.epochs counts passes over files, but there is no end to the spectra of the emulator; give "
            "--steps, or data.rows as the spectra of an epoch"
        )
    size = min(train.batch_size, count)
    steps, epoch = train.epochs * count // size, count // size
    counted = replace(train, epochs=None, freeze_input_epochs=None)
    new = replace(counted, batch_size=size, steps=steps, eval_every=epoch, checkpoint_every=epoch)
    if train.freeze_input_epochs is not None:
        new = replace(new, freeze_input=train.freeze_input_epochs * epoch)
    return InSteps(replace(config, train=new), _notes(config, count, new.batch_size, steps))


def _notes(config: Config, count: int, size: int, steps: int) -> list[str]:
    epochs, asked = config.train.epochs, config.train.batch_size
    notes = [f"{epochs} epochs of {count} spectra are {steps} steps, scored and saved every {count // size}"]
    if size < asked:
        notes.append(f"train.batch_size is {size} instead of {asked}: there are no more spectra to train on")
    if count % size:
        notes.append(f"the last {count % size} spectra of an epoch, which fill no batch, are left out of it")
    return notes
