"""The report: what it is made of, what it refuses, and what stands on the page."""

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from crlb import palette
from crlb.errors import DataError, MissingInputError, OutputError, UsageError
from specvit_jax import cli
from specvit_jax.network.find import shipped_weights
from specvit_jax.network.model import SpecViT
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights
from specvit_jax.report import experiments, write_report
from specvit_jax.report import explorers as explorers_module
from specvit_jax.report.attention_maps import attention
from specvit_jax.report.overview import overview
from specvit_jax.report.page import CITATION, gather, page
from specvit_jax.report.sources import find_sources
from specvit_jax.report.training import Curves, training
from specvit_jax.report.trial import trial
from specvit_jax.settings.config_file import to_yaml
from specvit_jax.spectra.source import make_simulator
from tests.specvit_jax.conftest import N_PIX

ROOT = Path(__file__).resolve().parents[3]
RESULTS = sorted((ROOT / "results").glob("*/results.json"))
# As committed; a file made before the field `experiment` gets it here.
R2_VS_SNR = json.loads((ROOT / "docs" / "r2_vs_snr.json").read_text()) | {"experiment": "r2_vs_snr"}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def write_experiment(folder, results, table=None, figure=None):
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results))
    if table is not None:
        (folder / "table.md").write_text(table)
    if figure is not None:
        (folder / "figure.png").write_bytes(figure)
    return folder


@pytest.fixture
def run(tmp_path, toy_config):
    """A run directory that has logged a little."""
    folder = tmp_path / "runs" / "toy"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(toy_config))
    rows = [
        {"step": 3, "loss": 0.9, "learning_rate": 1e-3},
        {"step": 4, "val_r2": 0.4, "val_r2_log_g": 0.4, "val_mae_log_g": 0.5},
        {"step": 6, "loss": 0.5, "learning_rate": 2e-3},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def report(*sources):
    """The page of some sources, as it is written."""
    out = Path(sources[0]).parent / f"{uuid4()}.html"
    write_report(find_sources(sources), out)
    return out.read_text()


def stored(text):
    """The data of a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_sources_are_told_apart_by_what_they_hold(tmp_path, run):
    outputs = tmp_path / "outputs"
    write_experiment(outputs / "accuracy", {"experiment": "accuracy"})
    write_experiment(outputs / "start", {"experiment": "start"})
    (outputs / "benchmarks").mkdir()
    found = find_sources([run, "tiny", outputs])
    assert list(found.runs) == ["toy"]
    assert found.networks == {"tiny": shipped_weights("tiny")}
    assert list(found.experiments) == ["accuracy", "start"]
    assert list(find_sources([outputs / "start"]).experiments) == ["start"]


def test_runs_of_one_name_are_told_apart_by_their_folder(tmp_path, run):
    other = tmp_path / "others" / "toy"
    other.mkdir(parents=True)
    (other / "config.yaml").write_text((run / "config.yaml").read_text())
    assert list(find_sources([run, other]).runs) == ["toy", "others/toy"]


def test_what_is_no_source_is_named_with_the_way_out(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(MissingInputError, match=r"nowhere does not exist; give a run directory, a weights"):
        find_sources([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match=r"empty is a folder without config\.yaml and results\.json; give"):
        find_sources([tmp_path / "empty"])
    with pytest.raises(UsageError, match=r"notes\.txt is a file, but not of weights"):
        find_sources([tmp_path / "notes.txt"])
    with pytest.raises(UsageError, match="needs a source"):
        find_sources([])


def test_two_results_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        write_experiment(tmp_path / folder / "accuracy", {})
    with pytest.raises(UsageError, match="two sources hold results of accuracy"):
        find_sources([tmp_path / "a", tmp_path / "b"])


def test_the_page_holds_what_there_is_and_nothing_else(tmp_path, run):
    write_experiment(tmp_path / "out" / "r2_vs_snr", R2_VS_SNR, "| a | b |\n|---|---|\n| 1 | 2 |\n", PNG)
    everything = report(run, tmp_path / "out")
    only_run = report(run)
    assert set(stored(everything)) == {"dashboard", "training", "overview", "methods"}
    assert set(stored(only_run)) == {"training", "methods"}
    for section, in_all in (("results", True), ("ceiling", True), ("scaling", False), ("explorer", False)):
        assert (f'id="{section}"' in everything) == in_all
        assert (f'href="#{section}"' in everything) == (in_all and section != "scaling")
        assert f'id="{section}"' not in only_run
        assert f'href="#{section}"' not in only_run
    assert "data:image/webp;base64," in everything
    assert "python -m experiments.r2_vs_snr" in everything
    assert str(tmp_path) not in everything


def test_colours_of_the_page_are_those_of_the_figures():
    text = page({})
    light, dark, chosen = re.findall(r":root\S* \{ (--method-0[^}]*) \}", text)
    assert chosen == dark
    for variables, of in ((light, str), (dark, palette.on_dark)):
        found = dict(re.findall(r"--([\w-]+): (#\w{6});", variables))
        methods = [found[f"method-{i}"] for i in range(len(stored(text)["methods"]))]
        colors = {name: of(color) for name, color in palette.METHODS.items()}
        assert dict(zip(stored(text)["methods"], methods, strict=True)) == colors
        roles = [found[name] for name in ("limit", "bound", "published", "data", "model")]
        assert roles == [
            of(color)
            for color in (palette.LIMIT, palette.BOUND, palette.PUBLISHED, palette.DATA, palette.MODEL)
        ]
    script = text.split("<script>")[1]
    assert not re.search(r"#[0-9a-fA-F]{6}\b", script)  # no colour of its own


def test_a_picture_has_its_caption_below(tmp_path):
    folder = write_experiment(tmp_path / "odd", {"experiment": "odd"}, figure=PNG)
    assert 'class="caption"' not in report(folder)
    (folder / "caption.md").write_text("R² is <b>one</b> minus `x`.\n")
    assert '<p class="caption">R² is &lt;b&gt;one&lt;/b&gt; minus <code>x</code>.</p>' in report(folder)
    (folder / "caption.md").write_text("x" * 2**17)
    with pytest.raises(DataError, match=r"caption .*caption\.md"):
        report(folder)


def test_every_committed_picture_has_its_caption():
    text = html.unescape(gather(find_sources([ROOT / "results"]), lambda step: None)["articles"])
    captions = sorted((ROOT / "results").glob("*/caption.md"))
    shown = [path for path in captions if path.parent.name != "scaling"]
    assert len(shown) == 24 - 1
    for path in shown:
        assert experiments.inline(path.read_text().strip()).replace("&lt;", "<").replace("&gt;", ">") in text


def test_the_page_asks_nobody_for_anything(tmp_path, run):
    text = report(run)
    assert "default-src 'none'" in text
    assert re.findall(r"https?://[^\"' ]*", text) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b\s*\(|@import|<link[^>]+href=\"(?!data:)", text)


def test_the_page_runs_its_own_script_and_no_other(tmp_path, run):
    text = report(run)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in text
    assert re.findall(r"<script\b[^>]*>", text) == ['<script type="application/json" id="data">', "<script>"]


def test_results_in_a_file_of_their_own_are_a_source(tmp_path):
    (tmp_path / "r2_vs_snr.json").write_text(json.dumps(R2_VS_SNR))
    found = find_sources([tmp_path / "r2_vs_snr.json"])
    assert found.experiments == {"r2_vs_snr": tmp_path / "r2_vs_snr.json"}
    assert str(tmp_path / "r2_vs_snr.json") in found.files()
    assert gather(found, lambda step: None)["dashboard"]["estimators"] == R2_VS_SNR["estimators"]


def test_the_committed_results_alone_have_r2_against_snr():
    data = gather(find_sources([ROOT / "results" / "accuracy"]), lambda step: None)
    rows = json.loads((ROOT / "results" / "accuracy" / "results.json").read_text())["rows"]
    board = data["dashboard"]
    faintest = next(row for row in rows if row["methods"] and row["snr_high"])
    assert board["estimators"]["tiny"]["by_snr"][0]["r2"] == faintest["methods"]["tiny"]["r2"]
    assert board["limit"]["by_snr"][0]["r2_bayes"] == faintest["r2_bayes"]
    assert board["binned"]
    assert 'id="dashboard"' in page(data)


def test_the_overview_has_three_numbers_and_three_findings_of_the_results():
    found = gather(find_sources([ROOT / "results"]), lambda step: None)["overview"]
    whole = json.loads((ROOT / "results" / "efficiency" / "results.json").read_text())["all"]
    expected = [
        f"{whole['r2']:.3f}",
        f"{whole['r2_bayes']:.3f}",
        f"{100 * whole['r2'] / whole['r2_bayes']:.1f}",
    ]
    assert [one["value"] for one in found["numbers"]] == expected
    assert [one["source"] for one in found["findings"]] == ["budgets", "survey", "accuracy"]
    seconds = [json.loads(path.read_text())["provenance"]["seconds"] for path in RESULTS]
    assert found["seconds"] == pytest.approx(sum(seconds))
    budgets = json.loads((ROOT / "results" / "budgets" / "results.json").read_text())["rows"]
    assert [row["r2"] for row in found["costs"]] == [row["r2"] for row in budgets]
    assert found["costs"][0]["seconds"] == budgets[0]["steps"] * budgets[0]["step_s"]


@pytest.mark.parametrize("odd", [[], "text", {"limit": []}, {"rows": [1]}, {"rows": [{"snr_high": 0}]}])
def test_results_of_another_make_leave_the_overview_shorter(odd):
    results = {
        name: {"rows": odd, "all": odd, "limit": odd}
        for name in ("budgets", "accuracy", "survey", "efficiency")
    }
    assert overview(results) == {}


def test_the_citation_is_that_of_the_repository():
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for part in (about["title"], about["authors"][0]["name"], str(about["date-released"])[:4]):
        assert f"{{{part}}}" in CITATION.format(version="")


def test_text_of_results_cannot_become_markup(tmp_path):
    trick = "</script><script>alert(1)</script>"
    results = {"experiment": "odd", "title": trick, "claim": f"`x` {trick}", "provenance": {"command": trick}}
    write_experiment(tmp_path / "odd", results, f"| {trick} | b |\n|---|---|\n| 1 | **2** |\n")
    board = R2_VS_SNR | {"grid": {"title": trick}}
    text = report(tmp_path / "odd", write_experiment(tmp_path / "r2_vs_snr", board))
    assert "<script>alert" not in text
    assert stored(text)["dashboard"]["grid"]["title"] == trick
    assert "<code>x</code>" in text
    assert "<strong>2</strong>" in text


def test_numbers_that_are_none_stay_json():
    text = page({"dashboard": R2_VS_SNR | {"odd": [float("nan"), float("inf"), 1 / 3]}})
    assert stored(text)["dashboard"]["odd"] == [None, None, 0.333333]


def test_markdown_tables_become_tables():
    text = experiments.markdown("# Head\n\n| a | b |\n|---|---:|\n| x | 1 |\n\nSome `code`\nin two lines.")
    assert "<h4>Head</h4>" in text
    assert '<th scope="col">b</th>' in text
    assert '<tr><th scope="row">x</th><td>1</td></tr>' in text
    assert "<p>Some <code>code</code> in two lines.</p>" in text
    assert experiments.markdown("- one\n- two\n  lines") == "<ul><li>one</li><li>two\n  lines</li></ul>"
    assert "<details>" not in text
    long = "| a |\n|---|\n" + "| 1 |\n" * 13
    assert experiments.markdown(long).startswith("<details><summary>Table of 13 rows</summary>")


def test_damaged_results_are_named(tmp_path):
    folder = write_experiment(tmp_path / "bad", {"experiment": "accuracy"}, figure=b"no image")
    with pytest.raises(DataError, match=r"figure\.png is not a PNG image"):
        report(folder)
    (folder / "results.json").write_text("{")
    with pytest.raises(DataError, match=r"results\.json: must be JSON"):
        report(folder)
    (folder / "results.json").write_text('{"experiment": "accuracy"}')
    (folder / "figure.png").unlink()
    (folder / "explorer.json").write_text('{"stars": []}')
    with pytest.raises(DataError, match=r"explorer\.json lacks methods, wave"):
        report(folder)
    (folder / "results.json").write_text('{"experiment": "r2_vs_snr", "estimators": {}, "ceiling": {}}')
    with pytest.raises(DataError, match=r"results\.json lacks snr_definition, grid, test"):
        report(folder)
    assert list(tmp_path.glob("*.html")) == []


def test_committed_results_are_shown_as_what_they_say_they_are(tmp_path):
    found = find_sources([ROOT / "results", write_experiment(tmp_path / "r2_vs_snr", R2_VS_SNR)])
    said = []
    data = gather(found, said.append)
    assert len(RESULTS) == len(found.experiments) - 1 == 24
    assert said == []
    assert data["dashboard"]["estimators"] == R2_VS_SNR["estimators"]
    assert data["dashboard"]["ceiling"]["bins"] == R2_VS_SNR["ceiling"]["bins"]
    rows = json.loads((ROOT / "results" / "scaling" / "results.json").read_text())["rows"]
    assert data["scaling"]["rows"] == rows
    shown = re.findall(r'<article id="result-(\w+)">', data["articles"])
    assert shown == [path.parent.name for path in RESULTS if path.parent.name != "scaling"]
    text = page(data)
    for path in RESULTS:
        results = json.loads(path.read_text())
        assert experiments.kind_of(results) == path.parent.name
        assert html.escape(results["provenance"]["command"]) in text
    assert stored(text)["dashboard"]["grid"]["title"] == R2_VS_SNR["grid"]["title"]


def test_results_that_look_like_those_of_another_experiment_are_not_taken_for_them():
    results = ROOT / "results" / "transfer_learning"
    rows = json.loads((results / "results.json").read_text())["rows"]
    assert all({"method", "n", "r2"} <= set(row) for row in rows)  # as those of scaling
    data = gather(find_sources([results]), lambda step: None)
    assert set(data) == {"articles", "overview"}


def test_results_that_do_not_say_their_experiment_are_named_and_left_out(tmp_path):
    without = {name: part for name, part in R2_VS_SNR.items() if name != "experiment"}
    folder, said = write_experiment(tmp_path / "r2_vs_snr", without), []
    assert gather(find_sources([folder]), said.append) == {}
    assert said == [
        f"{folder}/results.json has no field experiment: not recognised, left out; run its experiment again"
    ]


def test_curves_are_those_of_the_log(run):
    curves = training("toy", run)
    found = curves.to_json()
    assert Curves.from_json(found) == curves
    panels = {panel["title"]: panel["lines"] for panel in found["panels"]}
    assert panels["Loss"] == [{"name": "training loss", "points": [[3, 0.9], [6, 0.5]]}]
    assert panels["Validation R²"] == [{"name": "log_g", "points": [[4, 0.4]]}]
    assert (found["about"]["best_score"], found["about"]["best_step"]) == (0.4, 4)
    (run / "metrics.jsonl").write_text("")
    assert training("toy", run) is None


def test_the_command_writes_once(tmp_path, run, capsys):
    out = tmp_path / "r.html"
    command = cli.parse(["report", str(run), "-o", str(out)])
    command()
    assert f"wrote {out}" in capsys.readouterr().out
    with pytest.raises(OutputError, match="--overwrite"):
        command()
    cli.parse(["report", str(run), "-o", str(out), "--overwrite"])()


def test_help_is_fast_because_jax_is_not_loaded():
    code = """
import sys
from specvit_jax.cli import parse
try:
    parse(["report", "--help"])
except SystemExit:
    assert not {"jax", "flax", "orbax", "h5py"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("specvit report ") >= 3  # usage and two examples to copy


def toy_weights(config):
    shapes = jax.eval_shape(SpecViT(config.model).init, jax.random.key(0), jnp.zeros((1, N_PIX)))["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.2, leaf.shape).astype(np.float32), shapes)
    ones, zeros = np.ones(N_PIX, np.float32), np.zeros(N_PIX, np.float32)
    return Weights(params, config, LabelScaler(zeros[:1], ones[:1]), InputScaler(zeros, ones))


def test_networks_that_cannot_be_explored_are_named(two_line_grid, toy_config, monkeypatch):
    monkeypatch.setattr(explorers_module, "simulator_of", lambda data: make_simulator(two_line_grid))
    said = []
    other = replace(toy_config, model=replace(toy_config.model, label_names=("T_eff",)))
    networks = {"toy": toy_weights(toy_config), "hot": toy_weights(other)}
    assert explorers_module.explorers(networks, said.append) == []
    assert said == [
        "hot does not read log_g: left out of the explorer",
        "toy reads 64 pixels, its grid has 4096: left out of the explorer",
    ]


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        (
            {"input_layer": "zca", "input_components": 8},
            "toy has an input layer, which the page does not know",
        ),
        ({"pos_embed": "rotary"}, "toy: the page runs SpecViT without rotary positions only"),
        ({"network": "mlp"}, "toy: the page runs SpecViT without rotary positions only"),
    ],
)
def test_networks_that_the_page_cannot_run_are_left_out_of_try_it(toy_config, setting, why):
    other = replace(toy_config, model=replace(toy_config.model, **setting))
    found = toy_weights(toy_config)._replace(config=other)
    assert trial("toy", found, None) == (None, f"{why}; left out of Try it")


def test_attention_adds_up_and_keeps_to_its_room(toy_config):
    wave = np.linspace(7100.0, 7127.0, N_PIX)
    noisy = np.random.default_rng(0).normal(5000, 3000, (2, 2, N_PIX)).astype(int).tolist()
    stars = [{"at": [{"noisy": flux} for flux in star]} for star in noisy]
    explorer = {"wave": wave.tolist(), "mags": [20.5, 22.5], "flux_step": 1e-4, "stars": stars}
    weights = toy_weights(toy_config)  # a class token and four patches of 16 pixels; two heads
    found = attention("toy", weights, explorer, 1000)
    assert [(seen["star"], seen["mag"]) for seen in found["seen"]] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert found["wave"][0] == [7100.0, round(wave[15], 2)]
    seen = found["seen"][0]
    assert sum(seen["rollout"]) == pytest.approx(1, abs=0.01)
    assert sum(seen["heads"][0][1]) == pytest.approx(1, abs=0.01)
    one = np.frombuffer(base64.b64decode(seen["maps"][0][0]), np.uint8).reshape(4, 4)
    rows = one.sum(axis=1) / 255 * seen["largest"][0][0]
    assert (rows > 0.5).all()
    assert (rows < 1).all()  # the rest of each row is read of the class token
    assert len(attention("toy", weights, explorer, 40)["seen"]) == 1
    assert attention("toy", weights, explorer | {"wave": wave[:40].tolist()}, 1000) is None
