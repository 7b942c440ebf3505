"""The frame of the experiments: headers, parts that are kept; every experiment at its smoke size."""

import importlib
import json
import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot

from crlb.errors import OutputError, UsageError
from crlb.files.records import Record
from crlb.grids.grid_file import default_grid_path
from experiments.__main__ import NAMES, All, run_all
from experiments.study import running, stars
from experiments.study.frame import Work, sized
from experiments.study.options import Options
from experiments.study.plotting import markdown
from experiments.study.result import GridName, Result, header, provenance
from experiments.study.rows import Run, counted
from experiments.study.running import claim_folder, report
from experiments.study.training import Arm, base, combined, same_run, slug
from specvit_jax import metrics
from specvit_jax.settings.config_file import to_yaml
from specvit_jax.spectra.source import make_simulator
from tests.experiments.study.toy_study import STUDY, Size, Squares


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_says_what_it_claims_costs_and_expects(name):
    found = importlib.import_module(f"experiments.{name}").STUDY
    head = header(found.doc)
    assert all(head.values()), head
    assert found.name == name
    assert f"experiments.{name}" in head["Command"]
    assert set(found.sizes) == {"smoke", "cpu", "gpu"}
    # The small networks of one read brighter stars; one has real stars, one stars of several instruments.
    if name not in ("tokenizer_start", "observed", "surveys"):
        assert found.sizes["cpu"].n_test == 10_000  # one test set
        assert found.sizes["cpu"].mag == found.sizes["gpu"].mag == (20.5, 22.5)


def test_there_are_twenty_five_experiments():
    assert len(NAMES) == len(set(NAMES)) == 25
    assert {path.parent.name for path in Path("results").glob("*/results.json")} <= set(NAMES)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"r2_vs_snr"}))
def test_a_committed_result_is_read_tabled_and_plotted(name):
    folder, found = Path("results") / name, importlib.import_module(f"experiments.{name}").STUDY
    values = json.loads((folder / "results.json").read_text())
    result = found.result.from_json(values)
    assert result.experiment == name
    assert result.table() + "\n" == (folder / "table.md").read_text()
    assert plotted(result) > 0
    assert same(values, json.loads(json.dumps(result.to_json())))


def test_the_committed_main_figure_is_read_tabled_and_plotted():
    found = importlib.import_module("experiments.r2_vs_snr").STUDY
    values = json.loads(Path("docs/r2_vs_snr.json").read_text())
    result = found.result.from_json(values)
    assert result.table().count("\n") == 2 + len(result.estimators)
    assert result.ceiling_table().row_count == len(result.ceiling.bins)
    assert plotted(result) == 2
    assert same(values, json.loads(json.dumps(result.to_json())))


def plotted(result: Result) -> int:
    """The number of panels of a figure that was drawn; each must show something."""
    figure = result.plot()
    panels = figure.get_axes()
    assert all(axes.has_data() for axes in panels)
    pyplot.close(figure)
    return len(panels)


def same(old, new) -> bool:
    """Whether all that was in a result is in it still; what is new beside it may only be None or empty."""
    if isinstance(old, dict):
        return all(key in new and same(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(same(a, b) for a, b in zip(old, new, strict=True))
    return old == new


@pytest.mark.slow
@pytest.mark.timeout(1200)
# The target of transfer_learning has R = 5000, broader than 1.6 Å at the red end.
@pytest.mark.filterwarnings("ignore:the grid's resolving power .* is too low:UserWarning")
# Instruments of surveys are wider than the grid.
@pytest.mark.filterwarnings("ignore:the grid reaches:UserWarning")
# The two of the main job run there, in tests/experiments/test_main_figure.py.
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"r2_vs_snr", "survey"}))
def test_every_experiment_runs_at_smoke_size(name, tmp_path):
    found = importlib.import_module(f"experiments.{name}").STUDY
    paths = report(found, found.options("smoke", out=tmp_path))
    assert {path.name for path in paths} == {"results.json", "table.md"} | running.FIGURE
    check_left(found, tmp_path)


def check_left(study, folder):
    """Whether a study left its results, table and figure in a folder."""
    results = json.loads((folder / "results.json").read_text())
    assert study.result.from_json(results).experiment == results["experiment"] == study.name
    keys = {"experiment", "title", "claim", "preset", "label", "snr_definition", "grid", "test", "provenance"}
    assert keys <= set(results)
    assert (folder / "table.md").read_text().count("|") > 10
    assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_header_reads_paragraphs():
    doc = "What?\n\nClaim:    one\n          two.\nCommand:  python\nHardware: no\nExpect:   0.7\n\nMore: no."
    assert header(doc) == {"Claim": "one two.", "Command": "python", "Hardware": "no", "Expect": "0.7"}


@pytest.fixture
def work(tmp_path):
    return Work(STUDY, Options(out=tmp_path))


@dataclass(frozen=True)
class Toy(Record):
    value: tuple[float, ...]


def test_options_replace_what_the_preset_says(work):
    @dataclass(frozen=True)
    class More(Options):
        n_test: int | None = None

    assert sized(work.study, More(n_test=7, seeds=3)) == Size(7, seeds=3)
    assert sized(work.study, More()) == Size()
    with pytest.raises(UsageError, match="--seeds must be positive"):
        sized(work.study, More(seeds=0))


def test_seconds_are_those_of_all_starts(work, tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def run(work):
        now[0] += 30.0
        work.part("a", {}, int, lambda: 1)
        now[0] += 10.0
        if not stopped:
            stopped.append(1)
            raise KeyboardInterrupt
        return Squares(test=stars.Sample(n=1))

    stopped: list[int] = []
    monkeypatch.setattr(running, "describe_grid", lambda *_: GridName(title="toy"))
    monkeypatch.setattr(Work, "simulator", None)
    study = replace(work.study, run=run)
    with pytest.raises(KeyboardInterrupt):
        report(study, Options(out=tmp_path))
    report(study, Options(out=tmp_path))
    seconds = json.loads((tmp_path / "results.json").read_text())["provenance"]["seconds"]
    assert seconds == pytest.approx(80.0)


def test_a_part_of_another_form_is_computed_again(work):
    assert work.part("a", {}, int, lambda: 3) == 3
    assert work.part("a", {}, Toy, lambda: Toy((1.0,))) == Toy((1.0,))


def test_a_part_is_computed_once_for_its_settings(work):
    calls = []

    def compute():
        calls.append(1)
        return Toy((1, 2.5))

    first = work.part("a", {"steps": 3}, Toy, compute)
    assert work.part("a", {"steps": 3}, Toy, compute) == first == Toy((1.0, 2.5))
    assert len(calls) == 1
    work.part("a", {"steps": 4}, Toy, compute)
    assert len(calls) == 2


@pytest.mark.parametrize("name", ["grid", "noise"])
def test_a_part_is_that_of_the_content_of_its_files(work, tmp_path, name):
    file, moved = tmp_path / "one.h5", tmp_path / "moved.h5"

    def part(path, value):
        return Work(work.study, Options(out=tmp_path, **{name: path})).part("a", {}, int, lambda: value)

    assert work.part("a", {}, int, lambda: 0) == 0
    file.write_text("one")
    assert part(file, 1) == 1
    moved.write_text("one")
    assert part(moved, 2) == 1
    moved.write_text("other")
    assert part(moved, 3) == 3


def test_a_run_is_begun_anew_after_its_files_changed(tmp_path):
    config, kept, grid = base("smoke"), tmp_path / "config.yaml", tmp_path / "grid.h5"
    assert not same_run(kept, config, [])
    kept.write_text(to_yaml(config))
    grid.write_text("a grid")
    os.utime(grid, (0, kept.stat().st_mtime - 1))
    assert same_run(kept, config, [grid])
    assert not same_run(kept, base("cpu"), [grid])
    os.utime(grid, (0, kept.stat().st_mtime + 1))
    assert not same_run(kept, config, [grid])


def test_spectra_come_from_the_embedded_grid_unless_another_is_given(tmp_path):
    grid, noise = tmp_path / "grid.h5", tmp_path / "noise.h5"
    assert stars.source_files(None, None) == [default_grid_path()]
    assert stars.source_files(grid, noise) == [grid, noise]


def test_numbers_that_are_not_finite_are_kept_with_their_reason(work):
    for _ in range(2):
        found = work.part("a", {}, Toy, lambda: Toy((float("inf"), 1.0, float("nan"))))
        assert found.value[:2] == (float("inf"), 1.0)
        assert np.isnan(found.value[2])
    kept = json.loads((work.folder / "parts" / "a.json").read_text())
    assert kept["not_finite"] == {"value/value/0": "inf", "value/value/2": "nan"}


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear reader")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        claim_folder(tmp_path)


def test_combined_interval_holds_stars_and_seeds():
    truth = np.linspace(1, 5, 50)
    scores = vars(metrics.summary(truth, truth + 0.1))
    one = Run(arm="a", seed=42, **{key: value for key, value in scores.items() if key != "n"})
    rows = [replace(one, r2=r2, r2_low=r2 - 0.0196, r2_high=r2 + 0.0196) for r2 in (0.6, 0.62)]
    (row,) = combined(rows)
    assert row.r2 == pytest.approx(0.61)
    sigma = np.sqrt(0.01**2 + np.var([0.6, 0.62], ddof=1) / 2)
    assert row.r2_high - row.r2 == pytest.approx(1.96 * sigma, rel=1e-3)
    assert (row.seeds, row.values) == (2, (0.6, 0.62))
    assert counted([row]) == "stars and seeds"
    assert counted(combined(rows[:1])) == "stars"


def test_names_that_differ_only_in_punctuation_get_folders_of_their_own():
    assert slug("patch 8, stride 4") != slug("patch 8. stride 4")
    assert re.fullmatch(r"[a-z0-9_-]+", slug("Patch 8, stride 4"))


def test_arms_of_a_preset_differ_from_tiny_only_where_they_say():
    config = base("cpu", Arm("x", ("model.patch_size=32",)).settings)
    assert config.model.patch_size == 32
    assert config.train.steps == 600
    assert config.model.embed_dim == base("cpu").model.embed_dim == 64


def test_unknown_experiments_are_named():
    with pytest.raises(UsageError, match="nonsense"):
        run_all(All("smoke", ("nonsense",)))


def test_a_table_is_markdown():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.fixture(scope="module")
def simulator(toy_grid):
    return make_simulator(toy_grid, mag=(18.0, 20.0))


def test_the_test_set_is_its_digest(simulator):
    some = stars.test_stars(simulator, 30)
    assert stars.digest(some) == stars.digest(stars.test_stars(simulator, 30))
    assert stars.digest(some) != stars.digest(some._replace(mag=some.mag + 0.01))
    rounded = some._replace(labels=np.nextafter(some.labels, np.float32(9), dtype=np.float32))
    assert stars.digest(rounded) == stars.digest(some)  # last digits of another machine do not count


def test_stored_posteriors_are_those_of_these_stars_or_none(simulator, toy_grid, tmp_path):
    some = stars.test_stars(simulator, 20)
    found = np.abs(np.random.default_rng(0).normal(size=(20, 3, 2)))  # a sigma is not negative
    stars.store(tmp_path / "p.npz", found, some)
    np.testing.assert_allclose(stars.exact_posterior(simulator, some, tmp_path / "p.npz"), found, rtol=1e-6)
    first = stars.exact_posterior(simulator, some.take(slice(0, 7)), tmp_path / "p.npz")
    np.testing.assert_allclose(first, found[:7], rtol=1e-6)
    fainter = make_simulator(toy_grid, mag=(18.5, 20.5))  # the same labels at other magnitudes
    noisier = replace(simulator, model=simulator.model.with_noise_level(1.5))
    other = stars.stars_of(simulator, 5, 20, "others")
    for others in (other, *(stars.test_stars(source, 20) for source in (fainter, noisier))):
        assert len(stars.stored_posteriors(tmp_path / "p.npz", others).found) == 0


def test_types_share_the_stars_by_gravity():
    truth = np.linspace(1, 5, 400)
    rows = stars.by_type(truth, truth + 0.1)
    assert [row.type for row in rows] == ["giants", "subgiants", "dwarfs"]
    assert sum(row.n for row in rows) == 400
    for row in rows:
        assert row.bias == pytest.approx(0.1)
        inside = truth[(truth >= (row.low or -9)) & (truth < (row.high or 9))]
        assert row.r2 == pytest.approx(1 - 0.01 / inside.var())


def test_errors_are_those_of_the_noise_that_was_drawn(simulator):
    some = stars.test_stars(simulator, 8)
    error = stars.error_of(simulator, some.clean, some.mag)
    deviates = (some.noisy - some.clean) / error
    assert deviates.std() == pytest.approx(1, abs=0.02)
    assert abs(deviates.mean()) < 0.02


def test_provenance_names_command_and_versions():
    found = provenance("toy", {"grid": Path("a.h5")}, {"test": 1}, 1.234)
    assert found.command.startswith("python -m experiments.toy")
    assert {"python", "jax", "specvit-jax"} <= set(found.versions)
    assert (found.options, found.seeds, found.seconds) == ({"grid": "a.h5"}, {"test": 1}, 1.2)
    assert found.device
    assert found.date
