"""`python -m experiments.baselines`: a baseline fitted, stored and scored on a file like a network."""

import csv
import json

import numpy as np
import pytest

from crlb.files.spectra import Spectra, read_spectra, write_spectra
from experiments.baselines.__main__ import main
from experiments.baselines.store import load
from specvit_jax import cli
from specvit_jax.spectra.simulate import simulate
from specvit_jax.spectra.source import make_simulator

pytestmark = pytest.mark.slow  # whole spectra: a minute for the first fit


@pytest.fixture(scope="module")
def files(toy_grid, tmp_path_factory):
    """A fitted Ridge and a test set of the same grid, its first pixel unusable in some spectra."""
    folder = tmp_path_factory.mktemp("baselines")
    fit(folder / "ridge.npz", toy_grid, "ridge")
    simulate(folder / "clean.h5", make_simulator(toy_grid, mag=(20.0, 21.0)), 300, 5)
    stars = read_spectra(folder / "clean.h5", need=("flux", "error", "noisy"))
    stars.noisy[7:, 0] = stars.error[7:, 0] = np.nan
    write_spectra(folder / "test.h5", stars)
    return folder / "ridge.npz", folder / "test.h5", stars


def fit(out, grid, name: str, *more: str) -> None:
    options = ["--grid", str(grid), "--mag", "20", "21", "--n", "1200", "--n-validation", "300"]
    main(["fit", name, "--out", str(out), *options, *more])


def test_a_baseline_is_scored_on_a_file_as_its_predictions_say(files, tmp_path):
    ridge, data, stars = files
    main(["evaluate", str(ridge), "--data", str(data), "--json", str(tmp_path / "scores.json")])
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["name"], scores["n"], scores["unusable_pixels_filled"]) == ("Ridge", 300, 293)
    with (tmp_path / "scores.predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    stored = load(ridge)
    flux = np.where(np.isnan(stars.noisy), stored.mean_flux[None, :], stars.noisy)
    expected = stored.baseline.predict(flux, stars.mag)
    for i, name in enumerate(("log_g", "T_eff", "M_H")):
        found = np.array([float(row[f"{name}_pred"]) for row in rows])
        np.testing.assert_allclose(found, expected[:, i], rtol=1e-6)
        truth = stars.labels[name]
        r2 = 1 - np.mean((found - truth) ** 2) / truth.var()
        assert scores["labels"][name]["overall"]["r2"] == pytest.approx(r2, abs=1e-5)
    assert scores["labels"]["T_eff"]["overall"]["r2"] > 0.9


def test_scores_and_table_have_the_form_of_specvit_evaluate(files, tmp_path):
    ridge, data, _ = files
    main(["evaluate", str(ridge), "--data", str(data), "--json", str(tmp_path / "ridge.json")])
    cli.parse(["evaluate", "tiny", "--data", str(data), "--json", str(tmp_path / "tiny.json")])()
    ours, theirs = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("ridge", "tiny"))
    assert set(ours) - set(theirs) == {"baseline", "name"}
    assert set(theirs) - set(ours) == {"weights"}
    # `tiny` tells a sigma of every label, with its coverage; a regression does not.
    assert {name: set(of) | {"coverage"} for name, of in ours["labels"].items()} == {
        name: set(of) for name, of in theirs["labels"].items()
    }
    heads = [(tmp_path / f"{name}.predictions.csv").read_text().splitlines()[0] for name in ("ridge", "tiny")]
    assert heads[0].split(",") == [name for name in heads[1].split(",") if not name.endswith("_sigma")]


def test_labels_and_trees_are_those_that_were_asked_for(toy_grid, tmp_path):
    options = ("--labels", "M_H", "log_g", "--max-trees", "3", "--threads", "1")
    fit(tmp_path / "trees.npz", toy_grid, "lightgbm_published", *options)
    found = load(tmp_path / "trees.npz")
    assert found.label_names == ("M_H", "log_g")
    assert [booster.num_trees() for booster in found.baseline.boosters] == [3, 3]


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("fit ridge --out {ridge}", 73, "exists already"),
        ("fit ridge --out {tmp}/new.npz --labels log_g rv_kms", 2, "rv_kms"),
        ("fit ridge --out {tmp}/new.npz --grid {tmp}/none.h5", 66, "none.h5"),
        ("fit ridge --out {tmp}/new.npz --n 0", 2, "--n must be a number from 1"),
        ("evaluate {tmp}/none.npz --data {data} --json {tmp}/s.json", 66, "none.npz"),
        ("evaluate {data} --data {data} --json {tmp}/s.json", 65, "not a readable npz"),
        ("evaluate {ridge} --data {tmp}/none.h5 --json {tmp}/s.json", 66, "none.h5"),
        ("evaluate {ridge} --data {data} --json {ridge}", 73, "this is an input of the command (FILE)"),
        ("evaluate {ridge} --data {tmp}/nomag.h5 --json {tmp}/s.json", 65, "column mag"),
    ],
)
def test_errors_are_one_line_and_an_exit_status(command, code, message, files, tmp_path, capsys):
    ridge, data, stars = files
    unknown = Spectra(stars.wave, stars.labels, stars.flux, stars.error, stars.noisy)
    write_spectra(tmp_path / "nomag.h5", unknown)
    with pytest.raises(SystemExit) as stop:
        main(command.format(ridge=ridge, data=data, tmp=tmp_path).split())
    assert stop.value.code == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "s.json").exists()
    assert not (tmp_path / "new.npz").exists()


@pytest.mark.parametrize("name", ["pca_ridge", "pls", "lightgbm", "mlp", "cnn"])
def test_every_baseline_is_fitted_and_scored_from_the_command_line(name, toy_grid, files, tmp_path):
    options = ("--steps", "20", "--max-trees", "20", "--threads", "1")
    fit(tmp_path / "it.npz", toy_grid, name, *options)
    out = str(tmp_path / "s.json")
    main(["evaluate", str(tmp_path / "it.npz"), "--data", str(files[1]), "--json", out])
    assert json.loads((tmp_path / "s.json").read_text())["n"] == 300
