"""What a run says while it trains, on a terminal and elsewhere."""

import pytest

from specvit_jax.settings.config_file import override
from specvit_jax.settings.presets import preset
from specvit_jax.training import progress
from specvit_jax.training.progress import Progress

SCORES = {"val_r2": 0.6} | {
    f"val_{score}_{label}": value
    for label, mae in (("log_g", 0.5), ("T_eff", 120.0))
    for score, value in (("r2", 0.6), ("mae", mae))
}


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand, s."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def config():
    return override(
        preset("tiny"), ["train.steps=100", "train.batch_size=10", "model.label_names=log_g,T_eff"]
    )


def test_lines_tell_rates_scores_and_times(clock, config, capsys):
    with Progress(20, config) as shown:
        clock[0] = 7.5
        shown.compiled(21)
        clock[0] += 20
        assert shown.trained(41, 0.25) == 10.0  # 20 steps of 10 spectra in 20 s; compiling is not counted
        assert "step 41" not in capsys.readouterr().err  # too early for another line
        clock[0] += 20  # of evaluation
        shown.evaluated(41, SCORES)
        said = capsys.readouterr().err
        assert said.startswith("step 41/100  10 spectra/s, 5 with all pauses  loss 0.2500  validation ")
        assert "log_g R2 0.6000, MAE 0.5 dex; T_eff R2 0.6000, MAE 120 K  0.7 min, 2.0 min left" in said
        clock[0] += 31
        assert shown.trained(72, 0.2) == 10.0
        assert "step 72/100" in capsys.readouterr().err


def test_the_compilation_is_announced_and_timed(clock, config, capsys):
    with Progress(0, config) as shown:
        assert capsys.readouterr().err == "compiling the step ...\n"
        clock[0] = 7.5
        shown.compiled(1)
        assert capsys.readouterr().err == "compiled in 7.5 s\n"
    with Progress(100, config):
        assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar(config, capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with Progress(20, config) as shown:
        shown.trained(41, 0.25)
        shown.evaluated(41, SCORES)
    said = capsys.readouterr().err
    assert "step 41/100" in said
    assert "loss 0.2500 validation log_g R2 0.6000, MAE 0.5 dex" in said
    assert "T_eff" not in said  # one label: a bar is one line


def test_only_the_first_of_several_processes_speaks(config, capsys):
    with Progress(0, config, shown=False) as shown:
        shown.compiled(1)
        shown.trained(50, 0.25)
        shown.evaluated(50, SCORES)
        shown.say("something")
    assert capsys.readouterr().err == ""


def test_text_with_brackets_is_shown_as_it_is(config, capsys):
    Progress(0, config).say("devices [1, 2] [bold]")
    assert capsys.readouterr().err == "devices [1, 2] [bold]\n"
