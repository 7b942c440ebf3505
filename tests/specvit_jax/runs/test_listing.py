"""What `specvit runs` makes of the files that runs leave, and their curves."""

import json
import os

import matplotlib.image
import pytest

from crlb.errors import DataError, MissingInputError
from specvit_jax import cli
from specvit_jax.runs.curves import plot_curves
from specvit_jax.runs.listing import list_runs
from specvit_jax.runs.lock import RunLock
from specvit_jax.settings.config_file import override, to_yaml
from specvit_jax.settings.presets import preset

END = "2026-11-28T18:00:00+00:00"


def make_run(path, *rows, settings=("train.steps=100",), **manifest):
    """A run directory with these rows of metrics."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(to_yaml(override(preset("tiny"), settings)))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "manifest.json").write_text(json.dumps({"starts": []} | manifest))
    return path


def scored(step, r2):
    labels = ("log_g", "T_eff", "M_H")
    scores = {f"val_r2_{label}": r2 for label in labels} | {f"val_mae_{label}": 1 - r2 for label in labels}
    return {"step": step, "val_r2": r2} | scores


def trained(step, loss=0.5):
    return {"step": step, "loss": loss, "grad_norm": 1.0, "spectra_per_s": 900.0 + step}


@pytest.fixture
def folder(tmp_path):
    make_run(tmp_path / "half", trained(50), scored(50, 0.3))
    rows = trained(50), scored(50, 0.6), trained(100), scored(100, 0.5)
    make_run(tmp_path / "deep" / "whole", *rows, finished={"step": 100, "date": END})
    make_run(tmp_path / "fresh")
    make_run(
        tmp_path / "stopped",
        trained(50),
        scored(50, 0.4),
        finished={"step": 50, "date": END},
    )
    return tmp_path


def test_runs_are_listed_best_first(folder):
    runs = list_runs(folder)
    assert [run.name for run in runs] == ["deep/whole", "stopped", "half", "fresh"]
    assert [run.state for run in runs] == ["finished", "finished", "interrupted", "interrupted"]
    best = runs[0]
    assert (best.preset, best.step, best.steps) == ("tiny", 100, 100)
    assert (best.best_r2, best.best_step, best.spectra_per_s) == (0.6, 50, 1000.0)
    assert best.mae == {"log_g": 0.4, "T_eff": 0.4, "M_H": 0.4}
    assert runs[-1].best_r2 is None
    os.utime(folder / "half" / "metrics.jsonl", (0, 4e9))
    assert list_runs(folder)[2].updated == "2096-10-02 07:06:40+00:00"


def test_a_run_that_broke_off_after_its_last_step_is_not_finished(tmp_path):
    make_run(tmp_path / "unscored", trained(100))
    make_run(tmp_path / "scored", trained(100), scored(100, 0.5))  # its weights may not have been written
    assert [run.state for run in list_runs(tmp_path)] == ["interrupted", "interrupted"]


def test_a_run_that_is_written_into_is_running(folder):
    with RunLock(folder / "half"):
        assert {run.name: run.state for run in list_runs(folder)}["half"] == "running"
    assert {run.name: run.state for run in list_runs(folder)}["half"] == "interrupted"


def test_a_score_that_is_not_a_number_is_not_the_best(tmp_path):
    make_run(tmp_path / "wild", scored(5, float("nan")), scored(10, 0.2), scored(20, float("nan")))
    assert list_runs(tmp_path)[0].best_step == 10


def test_a_line_cut_short_is_no_damage_elsewhere_it_is(folder):
    with (folder / "half" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 60, "lo')
    assert {run.name: run.state for run in list_runs(folder)}["half"] == "interrupted"
    with (folder / "half" / "metrics.jsonl").open("a") as file:
        file.write('\n{"step": 70}\n')
    damaged = list_runs(folder)[-1]
    assert (damaged.name, damaged.state) == ("half", "damaged")
    assert "metrics.jsonl line 3" in damaged.problem


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", "train: {stepz: 5}"),
        ("config.yaml", "train: {steps: 0}"),
        ("config.yaml", "[1, 2"),
        ("config.yaml", b"\xff"),
        ("metrics.jsonl", '{"loss": 1}\n'),
        ("metrics.jsonl", "5\n"),
        ("metrics.jsonl", b"\xff\n"),
        ("manifest.json", "{"),
    ],
)
def test_a_damaged_run_comes_last_and_says_why(folder, file, content, capsys):
    path = folder / "deep" / "whole" / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    last = list_runs(folder)[-1]
    assert (last.name, last.state, last.best_r2) == ("deep/whole", "damaged", None)
    assert str(path) in last.problem
    cli.parse(["runs", str(folder)])()
    assert f"deep/whole is damaged: {path}" in capsys.readouterr().out


def test_one_run_may_be_asked_for_itself(folder):
    assert [run.name for run in list_runs(folder / "half")] == ["."]


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="none"):
        list_runs(tmp_path / "none")


def test_the_table_and_the_json(folder, capsys):
    cli.parse(["runs", str(folder)])()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["deep/whole", "tiny", "finished", "100/100", "0.6000", "50", "log_g", "0.4", "dex", "1000"] in [
        row[:10] for row in rows
    ]
    cli.parse(["runs", str(folder), "--json", "-"])()
    runs = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in runs] == ["deep/whole", "stopped", "half", "fresh"]
    cli.parse(["runs", str(folder), "--json", str(folder / "runs.json")])()
    assert json.loads((folder / "runs.json").read_text()) == runs


def test_curves_show_what_was_logged(folder, capsys):
    (folder / "fresh").rename(folder / "half" / "fresh")  # nothing to draw
    cli.parse(["runs", str(folder / "half"), "--curves"])()
    assert [path.parent.name for path in folder.rglob("*.png")] == ["half"]
    assert "half/training_curves.png" in capsys.readouterr().err
    without = matplotlib.image.imread(folder / "half" / "training_curves.png").shape[0]
    with (folder / "half" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 60, "learning_rate": 1e-3}) + "\n")
    out = plot_curves(folder / "half", folder / "one.png")
    assert matplotlib.image.imread(out).shape[0] == without * 6 / 5  # a panel more


def test_every_panel_has_its_unit(folder, monkeypatch):
    import matplotlib.figure

    seen = []
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, path, **_: (seen.extend(self.axes), path.touch())
    )
    plot_curves(folder / "deep" / "whole")
    assert [axes.get_ylabel().replace("\n", " ") for axes in seen] == [
        "loss (scaled labels)",
        "validation $R^2$",
        "validation MAE (dex)",
        "validation MAE (K)",
        "spectra / s",
    ]
    assert seen[-1].get_xlabel() == "training step"
    assert [text.get_text() for text in seen[2].get_legend().get_texts()] == ["log $g$", "[M/H]"]
    assert list(seen[1].lines[0].get_xydata()[:, 1]) == [0.6, 0.5]


def test_a_loss_below_zero_is_drawn(tmp_path):
    plot_curves(make_run(tmp_path / "nll", trained(10, -1.0), trained(20, -2.0)))


def test_no_curves_without_metrics(folder):
    with pytest.raises(DataError, match=r"fresh.*let it train"):
        plot_curves(folder / "fresh")
