"""The figures of the committed results: legible, named in words, told apart; the diagram of the network."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from crlb.palette import TYPE_PT, settled, styled
from experiments.__main__ import NAMES
from experiments.figures.__main__ import DOCUMENTS, Figures, draw_all, of_docs, read
from experiments.figures.specvit import Diagram, boxes, told
from experiments.study.plotting import COLUMN, PAGE, Sheet, legend_below
from specvit_jax import preset
from tests.colours import lightness

SHEETS = {"page": PAGE, "column": COLUMN}
QUICK = ("survey", "snapping")  # the others are drawn by the slow tests
ALL = (*(name for name in NAMES if name not in DOCUMENTS), *DOCUMENTS)
DRAWN = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ALL]


def result_of(name: str):
    return of_docs(name, Figures()) if name in DOCUMENTS else read(name, Path(f"results/{name}/results.json"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_legible_and_told_apart(name, sheet):
    with styled():
        figure = settled(result_of(name).plot(SHEETS[sheet]))
        found = faults(figure, SHEETS[sheet])
        pyplot.close(figure)
    assert found == []


def faults(figure: Figure, sheet: Sheet) -> list[str]:
    """What is wrong with a figure: width, small or cut text, legends on data, alike colours."""
    width = [f"{figure.get_figwidth()} in wide"] if figure.get_figwidth() > sheet.width else []
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return width + faults_of_texts(figure, texts) + legends_on_data(figure) + alike(figure)


def faults_of_texts(figure: Figure, texts: list[Text]) -> list[str]:
    found = [f"{t.get_fontsize():g} pt: {t.get_text()}" for t in texts if t.get_fontsize() < TYPE_PT]
    found += [f"identifier: {t.get_text()}" for t in texts if "_" in "".join(t.get_text().split("$")[::2])]
    paper, absent = figure.bbox.padded(1.0), unshown(figure)
    for text in texts:
        box = text.get_window_extent()
        if id(text) not in absent and not (paper.contains(box.x0, box.y0) and paper.contains(box.x1, box.y1)):
            found.append(f"cut: {text.get_text()}")
    return found


def unshown(figure: Figure) -> set[int]:
    """Identities of the labels of ticks beyond the ends of their axis: they are not drawn."""
    found = set()
    for axis in (axis for axes in figure.get_axes() for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in (*axis.majorTicks, *axis.minorTicks) if not low <= tick.get_loc() <= high]
        found |= {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    return found


def legends_on_data(figure: Figure) -> list[str]:
    """Legends of the figure that lie on panels; legends of panels in which points of curves lie."""
    panels = figure.get_axes()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    found = [
        f"legend on a panel: {axes.get_xlabel()}" for axes in panels for box in boxes if meets(box, axes.bbox)
    ]
    for axes in panels:
        if (legend := axes.get_legend()) is None:
            continue
        box = legend.get_window_extent()
        for line in axes.lines:
            points = line.get_transform().transform(line.get_xydata())
            if any(box.contains(*point) for point in points):
                found.append(f"legend on a curve: {line.get_label()}")
    return found


def meets(one, other) -> bool:
    """Whether two boxes have more in common than an edge."""
    return one.padded(-1).overlaps(other)


def alike(figure: Figure) -> list[str]:
    """Neighbours of a legend of unlike colours whose lightness is alike."""
    found = []
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.get_axes()))]
    for legend in legends:
        pairs = [
            (text.get_text(), color_of(handle))
            for text, handle in zip(legend.texts, legend.legend_handles, strict=True)
        ]
        for (one, a), (other, b) in pairwise([pair for pair in pairs if pair[1] is not None]):
            if a != b and abs(lightness(a) - lightness(b)) < 12:
                found.append(f"alike in grey: {one}, {other}")
    return found


def color_of(handle) -> str | None:
    """Colour of a line with its marks; None of patches, which are bands."""
    lines = handle.get_children() if hasattr(handle, "get_children") else []
    for one in [handle, *lines]:
        if hasattr(one, "get_marker"):
            return to_hex(one.get_color())
    return None


def test_faults_are_found():
    figure, axes = pyplot.subplots(figsize=(3.5, 2), layout="none")
    axes.plot([0, 1], [0, 1], color="0.50", label="T_eff")
    axes.plot([0, 1], [1, 1], color="0.55", label="log g")
    axes.plot([0.5], [0.98], "o", color="black", label="hidden")
    axes.legend(loc="upper center", fontsize=6)
    axes.text(2, 0.5, "beyond", fontsize=7)
    axes.set_title("$T_{eff}$", fontsize=8)
    found = faults(settled(figure), COLUMN)
    pyplot.close(figure)
    assert "6 pt: T_eff" in found
    assert "identifier: T_eff" in found
    assert "cut: beyond" in found
    assert "legend on a curve: hidden" in found
    assert "alike in grey: T_eff, log g" in found
    assert not any("$T" in fault for fault in found)


def test_a_legend_has_as_many_columns_as_fit():
    for width, columns in ((9.0, 4), (1.6, 1)):
        figure, axes = pyplot.subplots(figsize=(width, 3), layout="constrained")
        for i in range(4):
            axes.plot([0, i], label=f"a curve, number {i}")
        legend = legend_below(figure, axes, columns=4)
        assert legend._ncols == columns
        assert [text.get_text() for text in legend.texts] == [f"a curve, number {i}" for i in range(4)]
        pyplot.close(figure)


@pytest.mark.parametrize("name", ALL)
def test_captions_define_their_terms(name):
    result = result_of(name)
    text = result.caption()
    assert len(text) > 150
    assert text.endswith(".")
    assert "\n" not in text
    if "R²" in text and name != "r2_vs_snr":
        assert "one minus the mean squared error" in text
    committed = Path(f"docs/{name}_caption.md" if name in DOCUMENTS else f"results/{name}/caption.md")
    assert committed.read_text() == text + "\n"


@pytest.mark.parametrize("name", ALL)
def test_figures_are_committed_small_and_for_both_widths(name):
    stem = Path(f"docs/{name}" if name in DOCUMENTS else f"results/{name}/figure")
    assert stem.with_suffix(".png").stat().st_size < 200_000
    for ending, width in ((".pdf", PAGE.width), ("_column.pdf", COLUMN.width)):
        content = stem.with_name(stem.name + ending).read_bytes()
        box = content.split(b"/MediaBox [")[1].split(b"]")[0].split()
        assert float(box[2]) <= 72 * width + 1


def test_redrawing_computes_nothing_and_needs_only_the_results(tmp_path):
    folder = tmp_path / "results" / "snapping"
    folder.mkdir(parents=True)
    content = Path("results/snapping/results.json").read_text()
    (folder / "results.json").write_text(content)
    draw_all(Figures(results=tmp_path / "results", docs=tmp_path, only=("snapping",)))
    names = {"results.json", "figure.png", "figure.pdf", "figure_column.pdf", "caption.md"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "results.json").read_text() == content


@pytest.mark.parametrize("name", ["paper", "tiny", "small"])
def test_numbers_of_the_diagram_are_those_of_the_preset(name):
    config = preset(name)
    model = config.model
    diagram, texts = Diagram(config, preset("tiny")), " ".join(boxes(model)).replace("\n", " ")
    for text in (diagram.caption(), told(model)):
        assert f"{model.num_patches} patches of {model.patch_size} pixels" in text
    assert f"{model.depth} Transformer blocks" in diagram.caption()
    assert f"makes {model.embed_dim} numbers of each patch" in texts
    assert f"attention with {model.num_heads} heads" in texts
    assert f"perceptron of {4 * model.embed_dim:,} units" in texts
    assert ("class token" in texts) == (model.pool == "cls")
    with styled():
        figure = diagram.plot()
        drawn = " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))
        pyplot.close(figure)
    assert f"spectrum: {model.input_size:,} pixels" in drawn
    assert f"{model.num_patches} patches of {model.patch_size} pixels" in drawn
    assert f"{model.depth} Transformer blocks" in drawn
    assert "position added" in drawn
    assert r"ln $\sigma$" in drawn


def test_times_of_the_cost_are_those_of_the_benchmark():
    found = json.loads(Path("benchmarks/results/cost.json").read_text())["sweeps"]["pixels"]["1024"]
    figure = of_docs("cost", Figures()).plot(PAGE)
    pixels = next(axes for axes in figure.get_axes() if axes.get_xlabel() == "pixels")
    drawn = {line.get_label(): dict(zip(*line.get_data(), strict=True))[1024] for line in pixels.lines}
    assert drawn == found


def test_the_original_has_the_numbers_of_its_paper():
    model = preset("paper").model
    assert (model.patch_size, model.num_patches, model.embed_dim, model.depth) == (16, 256, 256, 6)
    assert json.dumps(model.num_heads) == "8"
