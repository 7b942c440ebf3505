"""Epochs become steps once the rows of the files are known."""

from dataclasses import replace

import pytest

from crlb.errors import ConfigError
from specvit_jax.settings.config_file import override
from specvit_jax.settings.epochs import in_steps
from specvit_jax.settings.presets import preset

BASE = override(preset("tiny"), ["train.batch_size=16"])


@pytest.mark.parametrize(
    ("settings", "rows", "steps", "every", "size", "notes"),
    [
        ([], 64, 7, 3, 16, 2),  # 58 spectra: a tenth is kept for validation
        (["data.validation=v.h5"], 64, 8, 4, 16, 1),
        (["data.validation=v.h5"], 70, 8, 4, 16, 2),  # 6 are left out, which a note says
        (["data.validation=v.h5"], 5, 2, 1, 5, 2),  # fewer than a batch
        (["data.n_validation=2"], 34, 4, 2, 16, 1),
        (["data.rows=160"], None, 20, 10, 16, 1),  # of the emulator
    ],
)
def test_steps_follow_from_the_rows(settings, rows, steps, every, size, notes):
    found, said = in_steps(override(BASE, ["train.epochs=2", *settings]), rows)
    train = found.train
    assert (train.steps, train.eval_every, train.checkpoint_every, train.batch_size) == (
        steps,
        every,
        every,
        size,
    )
    assert train.epochs is None
    assert found.data == override(BASE, settings).data
    assert len(said) == notes
    assert ("instead of 16" in "".join(said)) == (size < 16)
    assert in_steps(found, rows) == (found, [])


def test_without_epochs_nothing_changes():
    assert in_steps(BASE, 3) == (BASE, [])


def test_the_emulator_has_no_epochs_unless_told():
    with pytest.raises(ConfigError, match=r"train\.epochs counts passes over files.*--steps"):
        in_steps(replace(BASE, train=replace(BASE.train, epochs=2)), None)
