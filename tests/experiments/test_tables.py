"""Numbers of pages and model cards: they are those of the result files, and a number that is not is named."""

import json
import re
import shutil

import pytest

from crlb.errors import DataError, MissingInputError, UsageError
from experiments.tables import __main__ as command
from experiments.tables import measure
from experiments.tables import results as results_module
from experiments.tables.documents import BLOCKS, DOCUMENTS, rewritten, write
from experiments.tables.expect import stale_texts, today, write_texts
from experiments.tables.results import ROOT, Result, Results
from experiments.tables.text import BLOCK, fixed, items, linked_from, outside, percent, rewrite, span, table

LIKE_R2 = re.compile(r"(?<![\d.,])[01]\.\d{3}(?![\d.])(?! Å)")


@pytest.fixture(scope="module")
def results():
    return Results()


@pytest.fixture
def copy(tmp_path):
    """The documents and the experiments' sources and results, in a folder of their own."""
    for name in DOCUMENTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("results/scaling/results.json", "experiments/scaling/experiment.py", "docs/ceiling.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_block_of_the_documents_is_what_the_result_files_give(results):
    documents = rewritten(ROOT, results)
    assert [(path.name, document.changed) for path, document in documents.items()] == [
        ("figure.md", ()),
        ("results.md", ()),
        ("speed.md", ()),
        ("embedded-grid.md", ()),
        ("claims.md", ()),
        ("ceilings.md", ()),
        ("conditions.md", ()),
        ("figure.md", ()),
        ("windows.md", ()),
        ("population.md", ()),
        ("tiny.md", ()),
        ("survey.md", ()),
    ], "run python -m experiments.tables"
    texts = {path: path.read_text(encoding="utf-8") for path in documents}
    assert {path: document.text for path, document in documents.items()} == texts
    assert sorted(match["name"] for text in texts.values() for match in BLOCK.finditer(text)) == sorted(
        BLOCKS
    )


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_says_the_day_of_its_run(name, results):
    assert re.search(r"\b20\d\d-[01]\d-[0-3]\d\b", BLOCKS[name](results))


@pytest.mark.parametrize(
    ("document", "block", "number", "other"),
    [
        ("docs/figure.md", "ceiling", "0.757", "0.758"),
        ("docs/results.md", "missing", "0.006", "0.012"),
        ("docs/results.md", "findings", "0.992", "0.979"),
        ("docs/claims.md", "claims", "0.633", "0.634"),
        ("specvit_jax/weights/tiny.md", "card", "0.990 (", "0.991 ("),
    ],
)
def test_an_altered_number_is_found_and_put_right(document, block, number, other, copy, results):
    path = copy / document
    right = path.read_text(encoding="utf-8")
    begin = right.index(f"<!-- numbers: {block} -->")
    path.write_text(right[:begin] + right[begin:].replace(number, other, 1), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != right
    found = rewritten(copy, results)
    assert {p.name: d.changed for p, d in found.items() if d.changed} == {path.name: (block,)}
    write(found)
    assert path.read_text(encoding="utf-8") == right


def test_a_result_made_again_changes_every_block_that_shows_it(copy, results):
    path = copy / "docs/ceiling.json"
    content = json.loads(path.read_text())
    content["bins"][0]["r2_bayes"]["value"] = 0.5
    path.write_text(json.dumps(content))

    class Newer(Results):
        def file(self, name):
            return Results(copy).file(name) if name == "docs/ceiling.json" else super().file(name)

    found = rewritten(ROOT, Newer())[ROOT / "docs/figure.md"]
    assert found.changed == ("ceiling",)
    assert "**0.500**" in found.text


def test_no_number_like_r2_stands_outside_the_blocks():
    pages = [ROOT / "README.md", *(ROOT / name for name in DOCUMENTS if name.startswith("docs/"))]
    prose = {path.name: outside(path.read_text(encoding="utf-8")) for path in pages}
    assert {name: found for name, text in prose.items() if (found := LIKE_R2.findall(text))} == {}
    assert "## Install" in prose["README.md"]  # the prose itself is still there
    assert LIKE_R2.findall(prose["README.md"] + " R² is 0.715 overall") == ["0.715"]


def test_outside_leaves_out_blocks_fences_spans_and_addresses():
    text = "one 0.111\n<!-- numbers: a -->\n0.222\n<!-- end -->\n```sh\n--x 0.333\n```\n"
    text += "`0.444` [b](0.555) 0.666\n"
    assert LIKE_R2.findall(outside(text)) == ["0.111", "0.666"]


def test_links_of_a_block_lead_from_the_page_it_stands_on():
    text = "[a](docs/a.json) ![b](results/b.png) [c](#d) [e](https://f/g)"
    assert linked_from("docs", text) == "[a](a.json) ![b](../results/b.png) [c](#d) [e](https://f/g)"
    assert linked_from("docs/howto", "[a](docs/a.json)") == "[a](../a.json)"
    assert linked_from(".", text) == text


def test_a_block_keeps_its_indent():
    text = "- a\n  <!-- numbers: n -->\n  old\n  <!-- end -->\n- b\n"
    found = rewrite(text, {"n": lambda: "one\n\ntwo"})
    assert found.changed == ("n",)
    assert found.text == "- a\n  <!-- numbers: n -->\n  one\n\n  two\n  <!-- end -->\n- b\n"
    assert rewrite(found.text, {"n": lambda: "one\n\ntwo"}).changed == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "<!-- numbers: celing -->\n<!-- end -->\n",
            "no block of numbers 'celing'; known are ceiling, scores",
        ),
        ("<!-- numbers: scores -->\n0.715\n", "'scores' must stand on lines of its own and be closed"),
        ("R² <!-- numbers: ceiling -->\n0.7\n<!-- end -->\n", "'ceiling' must stand on lines of its own"),
        (
            "<!-- numbers: ceiling -->\n1\n\n<!-- numbers: scores -->\n2\n<!-- end -->\n",
            "'scores' must stand on lines of its own and be closed",
        ),
    ],
)
def test_a_block_that_is_unknown_or_not_closed_is_refused(text, words):
    with pytest.raises(DataError, match=re.escape(words)):
        rewrite(text, {"ceiling": str, "scores": str})


@pytest.mark.parametrize(
    ("number", "digits", "words"),
    [
        (0.7145, 3, "0.715"),
        (-1.7465, 3, "−1.747"),
        (-0.0004, 3, "0.000"),
        (2.5, 0, "3"),
        (1234.5, 1, "1,234.5"),
    ],
)
def test_numbers_are_rounded_half_away_from_zero(number, digits, words):
    assert fixed(number, digits) == words


def test_signs_percents_and_spans():
    assert fixed(0.0036, 3, sign=True) == "+0.004"
    assert fixed(-0.36, 2, sign=True) == "−0.36"
    assert percent(0.9525, 1) == "95.3"
    assert span([0.664, 0.6556, 0.66], 2) == "0.66"
    assert span([0.7, 0.54], 2) == "0.54 to 0.70"
    assert items(["a " * 80]).split("\n")[1].startswith("  a")
    assert table(["x", "y"], [["1", ""]]) == "| x | y |\n|---|---|\n| 1 | |"


RESULT = Result(
    {"rows": [{"arm": "a", "r2": 0.5}, {"arm": "b", "r2": None}], "provenance": {"date": "x"}}, "f.json"
)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: RESULT.at("rows", 2), "f.json/rows/2, which is not there"),
        (lambda: RESULT.number("rows", 1, "r2"), "f.json/rows/1/r2 must be a number, found None"),
        (lambda: RESULT.text("rows"), "f.json/rows must be a string"),
        (lambda: RESULT.rows("provenance"), "f.json/provenance must be a list, found dict"),
        (lambda: RESULT.at("rows").names(), "f.json/rows must be an object, found list"),
        (lambda: RESULT.one("rows", arm="c"), "f.json/rows must hold one entry with arm 'c'; it holds 0"),
    ],
)
def test_what_a_result_lacks_is_named(read, words):
    with pytest.raises(DataError, match=re.escape(words)):
        read()
    assert RESULT.one("rows", arm="a").number("r2") == 0.5


def test_a_result_file_that_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"docs/ceiling\.json, which does not exist"):
        Results(tmp_path).file("docs/ceiling.json")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/ceiling.json").write_text("{")
    with pytest.raises(DataError, match=r"docs/ceiling\.json must be JSON"):
        Results(tmp_path).file("docs/ceiling.json")


def test_results_claim_and_expect_what_their_experiments_say_today(results):
    assert [path.parent.name for path in stale_texts(results)] == [], "run python -m experiments.tables"
    expecting = [path.parent.name for path, result in results.experiments() if "expect" in result.names()]
    assert len(expecting) >= 13


def test_an_old_expectation_is_found_and_nothing_else_changes(copy):
    path = copy / "results/scaling/results.json"
    right = json.loads(path.read_text())
    path.write_text(json.dumps(right | {"expect": "not measured yet"}))
    assert list(stale_texts(Results(copy))) == [path]
    assert write_texts(Results(copy)) == [path]
    assert json.loads(path.read_text()) == right
    assert write_texts(Results(copy)) == []


def test_results_of_no_experiment_are_named(copy):
    with pytest.raises(MissingInputError, match="results/scalling has no experiment"):
        today(copy, "scalling")


def test_check_names_what_differs_and_writes_nothing(copy, results, monkeypatch, capsys):
    monkeypatch.setattr(results_module, "ROOT", copy)
    monkeypatch.setattr(results_module, "Results", lambda: results)
    command.tables(command.Tables(check=True))
    assert capsys.readouterr().out == "nothing differs\n"
    path = copy / "docs/results.md"
    right = path.read_text(encoding="utf-8")
    path.write_text(right.replace("0.992 (0.981-1.003)", "0.972 (0.960-0.983)"), encoding="utf-8")
    with pytest.raises(DataError, match=r"results\.md: findings; run python -m experiments\.tables"):
        command.tables(command.Tables(check=True))
    assert path.read_text(encoding="utf-8") != right
    command.tables(command.Tables())
    assert path.read_text(encoding="utf-8") == right


def test_to_check_and_to_measure_at_once_is_refused():
    with pytest.raises(UsageError, match="--check writes nothing and --measure does"):
        command.tables(command.Tables(check=True, measure=("recipe",)))


def test_a_measurement_keeps_commands_day_and_what_is_shown(tmp_path, monkeypatch):
    rows: list[dict[str, object]] = [
        {"test": test, "region": region}
        for test in ("halved", "single", "estimate")
        for region in ("all", "T_eff < 4500", "M_H < -1.5")
    ]
    keys = measure.MEASUREMENTS["interpolation"].kept
    kept = {key: [1.0] for key in keys}
    monkeypatch.setattr(measure, "run", lambda *_: kept | {"rows": rows, "other": [1.0]})
    (tmp_path / "docs").mkdir()
    path = measure.measure("interpolation", tmp_path)
    written = Results(tmp_path).file("docs/interpolation.json")
    assert path == tmp_path / "docs/interpolation.json"
    assert written.at("validate").names() == list(keys)
    assert [row.value for row in written.rows("validate", "rows")] == [rows[i] for i in (0, 1, 2, 3, 4)]
    assert written.text("provenance", "commands", "validate").startswith("crlb grid validate")
    assert written.date.year >= 2026


def test_a_command_that_fails_is_named_with_what_it_said(tmp_path):
    with pytest.raises(
        UsageError, match=r"(?s)`crlb nuisances --no-such-option` ended with status 2: .*no-such"
    ):
        measure.run("crlb nuisances --no-such-option", tmp_path, ROOT)


@pytest.mark.parametrize("name", measure.MEASUREMENTS)
def test_a_measurement_that_is_committed_has_the_parts_of_today(name, results):
    made = results.file(f"docs/{name}.json")
    commands = measure.MEASUREMENTS[name].commands
    assert made.at("provenance", "commands").value == dict(commands)
    assert set(made.names()) == {part for part in commands if "--json" in commands[part]} | {"provenance"}


def price(unknown, r2, lost):
    """A row of prices that was not measured."""

    def ends(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    about = {"unknown": unknown, "mag": 21.5, "n": 20, "snr_median": 7.2, "sigma": {"median": 0.4}}
    return about | {"r2_bayes": ends(r2), "lost": ends(lost)}


PRICES = [("none", 0.7), ("scale", 0.69), ("continuum", 0.66), ("velocity", 0.68), ("width", 0.685)]
PRICES += [("lost pixels", 0.695), ("sky", 0.697), ("all", 0.6)]


@pytest.fixture
def priced(results):
    """The committed results with prices that were not measured."""
    command = measure.MEASUREMENTS["prices"].commands
    content = {"prices": {"target": "log_g", "prices": [price(name, r2, 0.7 - r2) for name, r2 in PRICES]}}
    content["provenance"] = {"commands": dict(command), "date": "2026-11-29T00:00:00+00:00"}

    class Priced(Results):
        def file(self, name):
            return Result(content, name) if name == "docs/prices.json" else results.file(name)

    return Priced()


def test_the_price_of_an_unknown_stands_beside_its_bound(priced):
    text = BLOCKS["nuisances"](priced)
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    found = {name.strip(): (r2.strip(), lost.strip()) for name, _, _, r2, lost in rows}
    assert found == {
        "nothing": ("0.700", ""),
        "flux scale": ("0.690", "0.010 (0.000 to 0.020)"),
        "linear continuum and flux scale": ("-", "-"),
        "cubic continuum and flux scale": ("0.660", "0.040 (0.030 to 0.050)"),
        "radial velocity": ("0.680", "0.020 (0.010 to 0.030)"),
        "width of the line-spread function": ("0.685", "0.015 (0.005 to 0.025)"),
        "all of these": ("0.600", "0.100 (0.090 to 0.110)"),
    }
    words = " ".join(text.split())
    assert f"`crlb nuisances --bayes --n-bayes {measure.PRICED_STARS}`, 2026-11-29" in words
    assert "same 20 stars" in words


def test_every_unknown_of_a_survey_has_its_price_in_the_conditions(priced):
    text = BLOCKS["prices"](priced)
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(PRICES)
    assert [cell.strip() for cell in rows[5]] == [
        "lost pixels",
        "0.695 (0.685 to 0.705)",
        "0.005 (−0.005 to 0.015)",
        "0.400",
    ]
    assert "at mag 21.5, SNR 7 (`crlb nuisances --bayes" in " ".join(text.split())
