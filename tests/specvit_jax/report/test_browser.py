"""The report in a browser: every control changes what is shown, nothing is fetched, nothing fails."""

import json
import re
import shutil
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from crlb.palette import METHODS, on_dark
from specvit_jax.evaluation.explore import STARS
from specvit_jax.report.page import gather, page
from specvit_jax.report.sources import find_sources
from specvit_jax.settings.config_file import to_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]
# As committed; a file made before the field `experiment` gets it here.
R2_VS_SNR = json.loads((ROOT / "docs" / "r2_vs_snr.json").read_text()) | {"experiment": "r2_vs_snr"}
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SMALL = (
    "[...document.querySelectorAll('button:not(.thumbs button), select, #tabs a')]"
    ".filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 36).length"
)


def write_run(folder, config, first_loss):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    rows = [{"step": 10 * i, "loss": first_loss / i, "learning_rate": 1e-3 / i} for i in range(1, 9)]
    rows += [{"step": 10 * i, "val_r2": 0.1 * i, "val_r2_log_g": 0.1 * i} for i in range(1, 9)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory, toy_config) -> Path:
    """A report with every section: the shipped network on three stars, results as they are committed."""
    folder = tmp_path_factory.mktemp("report")
    for name in ("scaling", "accuracy"):
        shutil.copytree(ROOT / "results" / name, folder / "outputs" / name)
    (folder / "outputs" / "r2_vs_snr").mkdir()
    (folder / "outputs" / "r2_vs_snr" / "results.json").write_text(json.dumps(R2_VS_SNR))
    runs = [write_run(folder / name, toy_config, loss) for name, loss in (("one", 0.9), ("two", 0.5))]
    found = find_sources(["tiny", folder / "outputs", *runs])
    options = {"stars": STARS[:3], "mags": (18.0, 20.5, 22.5), "n_draws": 4, "n_posterior": 1}
    out = folder / "report.html"
    out.write_text(page(gather(found, lambda step: None, **options)), encoding="utf-8")
    return out


@pytest.fixture
def visit(browser, report):
    """Opens the report; at the end there must have been no error and no request but for the file."""
    problems, requests, contexts = [], [], []

    def opened(viewport=WIDE, scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(report.as_uri(), timeout=120_000)
        tab.wait_for_selector("#tabs a[aria-selected=true]")
        contexts.append(context)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
    asked = {url.split("#")[0] for url in requests if not url.startswith(("data:", "blob:"))}
    assert asked == {report.as_uri()}


def go(tab, place):
    """Opens the part of the page that an element is in, as its link does."""
    tab.evaluate("place => { location.hash = place; }", place)
    tab.wait_for_function("place => document.getElementById(place).checkVisibility()", arg=place)
    tab.wait_for_timeout(60)


def shown(tab, place):
    """What is displayed at a place: its markup, and the pixels of its canvases."""
    return tab.eval_on_selector(
        place,
        "node => node.innerHTML + [...node.querySelectorAll('canvas')].map((one) => one.toDataURL()).join()",
    )


def changes(tab, place, act):
    before = shown(tab, place)
    act()
    tab.wait_for_timeout(30)
    return shown(tab, place) != before


def test_every_section_stands_with_its_text(visit):
    tab = visit()
    for section in (
        "overview",
        "try",
        "explorer",
        "spectrum",
        "tokens",
        "attention",
        "results",
        "ceiling",
        "training",
    ):
        go(tab, section)
        assert tab.locator(f"section#{section} h2").is_visible()
        assert tab.locator("main > .panel:visible").count() == 1
    text = tab.locator("body").text_content()
    first = R2_VS_SNR["estimators"]["SpecViT"]["by_type"][0]
    for expected in (
        "Cramér-Rao bound", "Ca II", "8 patches of 512 pixels", "python -m experiments.accuracy",
        "Schur complement", "vacuum", R2_VS_SNR["grid"]["title"], R2_VS_SNR["provenance"]["command"],
        f"{first['type']} (log g below {first['high']})",
    ):  # fmt: skip
        assert expected in text + tab.content()
    seen = tab.evaluate("[...document.querySelectorAll('main')].map((one) => one.textContent).join()")
    assert "NaN" not in seen
    assert "undefined" not in seen


def test_every_select_changes_what_is_shown(visit):
    tab = visit()
    sections = {"explorer": 1, "spectrum": 1, "tokens": 4, "attention": 3, "dashboard": 1, "training": 1}
    for section, least in sections.items():
        go(tab, section)
        selects = tab.locator(f"#{section} select")
        assert selects.count() >= least
        for i in range(selects.count()):
            n = selects.nth(i).locator("option").count()
            other = (selects.nth(i).evaluate("select => select.selectedIndex") + 1) % n
            choose = partial(selects.nth(i).select_option, index=other)
            assert changes(tab, f"#{section}", choose), f"select {i} of {section}"


def test_the_star_and_the_magnitude_move_everything_that_depends_on_them(visit):
    tab = visit()
    go(tab, "explorer")
    slider = tab.locator("#explorer input[type=range]")
    places = ["#explorer-spectrum", "#explorer-readings", "#explorer-errors", "#explorer-table",
              "#spectrum-plot", "#ceiling-numbers"]  # fmt: skip
    for act in (lambda: slider.press("ArrowRight"), lambda: slider.press("Home"),
                lambda: tab.locator("#explorer select").select_option(index=2)):  # fmt: skip
        before = [shown(tab, place) for place in places]
        act()
        assert all(shown(tab, place) != old for place, old in zip(places, before, strict=True))
    assert slider.get_attribute("aria-valuetext") == "18.0"


def test_a_fainter_star_has_a_lower_snr_and_a_wider_bound(visit):
    tab = visit()
    go(tab, "explorer")
    slider = tab.locator("#explorer input[type=range]")

    def numbers():
        return [float(text.split()[0]) for text in tab.locator("#explorer-readings dd").all_inner_texts()]

    slider.press("Home")
    bright = numbers()
    slider.press("End")
    faint = numbers()
    assert faint[0] < bright[0]
    assert faint[1] > bright[1]


def test_the_spectrum_pans_and_zooms_by_every_means(visit):
    tab = visit()
    go(tab, "spectrum")
    window = lambda: [float(x) for x in re.findall(r"\d+", tab.inner_text("#spectrum-window"))]  # noqa: E731
    assert window() == [7100, 8850]
    plot = tab.locator("#spectrum-plot svg")
    for zoom in (
        lambda: tab.get_by_label("Zoom in").click(),
        lambda: plot.press("+"),
        lambda: plot.press("ArrowUp"),
    ):
        before = window()
        zoom()
        assert window()[1] - window()[0] < before[1] - before[0]
    for pan, way in (
        (lambda: tab.get_by_label("Pan to the red").click(), 1),
        (lambda: tab.get_by_label("Pan to the blue").click(), -1),
        (lambda: plot.press("ArrowRight"), 1),
        (lambda: plot.press("ArrowLeft"), -1),
    ):
        before = window()
        pan()
        assert (window()[0] - before[0]) * way > 0
    for out in (
        lambda: tab.get_by_label("Zoom out").click(),
        lambda: plot.press("-"),
        lambda: plot.press("ArrowDown"),
    ):
        before = window()
        out()
        assert window()[1] - window()[0] > before[1] - before[0]
    plot.press("0")
    assert window() == [7100, 8850]


def test_the_spectrum_follows_wheel_and_drag(visit):
    tab = visit()
    go(tab, "spectrum")
    tab.locator("#spectrum-plot").scroll_into_view_if_needed()
    box = tab.locator("#spectrum-plot svg").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.move(*middle)
    tab.mouse.move(middle[0] + 3, middle[1])
    assert changes(tab, "#spectrum-window", lambda: (tab.mouse.wheel(0, -300), tab.wait_for_timeout(200)))
    tab.mouse.down()
    assert changes(tab, "#spectrum-window", lambda: tab.mouse.move(middle[0] + 120, middle[1], steps=4))
    tab.mouse.up()
    assert not changes(tab, "#spectrum-window", lambda: tab.mouse.move(*middle))


def test_every_checkbox_changes_what_is_shown_and_takes_it_back(visit):
    tab = visit()
    plots = {
        "spectrum": "#spectrum-plot",
        "dashboard": "#dashboard-plot",
        "scaling": "#scaling-plot",
        "training": "#training-plots",
    }
    for section, plot in plots.items():
        go(tab, section)
        boxes = tab.locator(f"#{section} input[type=checkbox]")
        assert boxes.count()
        for i in range(boxes.count()):
            before = re.sub(r"part-\d+", "", shown(tab, plot))
            boxes.nth(i).press("Space")
            assert re.sub(r"part-\d+", "", shown(tab, plot)) != before, f"checkbox {i} of {section}"
            boxes.nth(i).press("Space")
            assert re.sub(r"part-\d+", "", shown(tab, plot)) == before


def test_bars_are_bias_and_scatter(visit):
    """Read back from the pixels of the axis: the bar of a method, and the one of a type of stars."""
    tab = visit()
    go(tab, "explorer")
    found = tab.evaluate("""() => {
      const name = Object.keys(explorer().methods)[0];
      const one = explorer().methods[name].stars[chosen.star][chosen.mag];
      const bar = document.querySelector("#explorer-errors rect.bar"), mark = bar.nextSibling;
      const zero = document.querySelector("#explorer-errors line.zero");
      const at = (node, key) => +node.getAttribute(key);
      return {errors: one.estimates.map((value) => value - starNow().labels.log_g), rms: one.rms,
              left: at(bar, "x"), width: at(bar, "width"), zero: at(zero, "x1"), mark: at(mark, "x1")};
    }""")
    mean = sum(found["errors"]) / len(found["errors"])
    scatter = (sum((one - mean) ** 2 for one in found["errors"]) / len(found["errors"])) ** 0.5
    assert scatter**2 + mean**2 == pytest.approx(found["rms"] ** 2, rel=0.01)
    per_dex = found["width"] / (2 * scatter)
    assert found["left"] - found["zero"] == pytest.approx(per_dex * (mean - scatter), abs=0.5)
    assert found["mark"] - found["zero"] == pytest.approx(per_dex * mean, abs=0.5)
    assert "bars: bias ± scatter" in tab.inner_text("#explorer-errors-title")
    go(tab, "dashboard")
    row = R2_VS_SNR["estimators"]["Ridge"]["by_type"][0]
    line = tab.locator("#dashboard-types tr", has_text="Ridge").inner_text()
    assert f"+{row['bias']:.3f} ± {row['scatter']:.3f}" in line
    assert "Bars: bias ± scatter" in tab.inner_text("#dashboard-types")


@pytest.mark.parametrize(("scheme", "of"), [("light", str), ("dark", on_dark)])
def test_curves_have_the_colours_of_the_palette(visit, scheme, of):
    tab = visit(scheme=scheme)
    go(tab, "dashboard")
    for name, color in METHODS.items():
        swatch = tab.locator("#dashboard-methods").get_by_text(name, exact=True).locator("i")
        drawn = swatch.evaluate("node => getComputedStyle(node).borderTopColor")
        assert "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", drawn)) == of(color)


def test_a_method_switched_off_leaves_chart_and_table(visit):
    tab = visit()
    go(tab, "dashboard")
    assert "Ridge" in tab.inner_text("#dashboard-table")
    tab.locator("#dashboard-methods").get_by_label("Ridge", exact=True).uncheck()
    assert "Ridge" not in tab.inner_text("#dashboard-table")
    assert "Ridge" not in tab.inner_text("#dashboard-types")


def test_ceilings_are_offered_for_r2_only(visit):
    tab = visit()
    go(tab, "dashboard")
    ceiling = tab.locator("#dashboard-methods").get_by_label("Exact limit, all stars")
    assert ceiling.is_visible()
    tab.locator("#dashboard-controls select").select_option(label="bias")
    assert not ceiling.is_visible()


def test_tokens_and_maps_are_chosen_by_keys_and_pointer(visit):
    tab = visit()
    go(tab, "tokens")
    slider = tab.locator("#tokens input[type=range]")
    slider.press("Home")
    assert tab.inner_text("#tokens-readout").startswith("Token 1: 7100.2")
    assert changes(tab, "#tokens-plot", lambda: slider.press("ArrowRight"))
    box = tab.locator("#tokens-plot svg").bounding_box()
    click = lambda: tab.locator("#tokens-plot svg").click(position={"x": box["width"] / 2, "y": 120})  # noqa: E731
    assert changes(tab, "#tokens-readout", click)
    thumb = tab.get_by_label("Layer 3, head 4")
    assert changes(tab, "#attention", lambda: thumb.press("Enter"))
    assert thumb.get_attribute("aria-pressed") == "true"
    assert tab.inner_text("#attention-readout").startswith("Layer 3, head 4")


def test_pointing_at_a_curve_tells_its_numbers(visit):
    tab = visit()
    go(tab, "dashboard")
    dot = tab.locator("#dashboard-plot path.dot").first
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    first = next(row for row in R2_VS_SNR["estimators"]["SpecViT, taught"]["by_snr"] if row["r2"] is not None)
    told = tab.locator("#dashboard-plot .tip").inner_text()
    assert re.search(rf"SpecViT, taught\s*SNR [\d.]+: {first['r2']:.3f}", told)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_the_button(visit, scheme):
    tab = visit(scheme=scheme)
    go(tab, "attention")
    paper = lambda: tab.evaluate("getComputedStyle(document.body).backgroundColor")  # noqa: E731
    dark = lambda: sum(map(int, re.findall(r"\d+", paper())[:3])) < 200  # noqa: E731
    assert dark() == (scheme == "dark")
    assert changes(tab, "#attention-thumbs", lambda: tab.locator("#theme").press("Enter"))
    assert dark() == (scheme == "light")
    tab.locator("#theme").click()
    assert dark() == (scheme == "dark")


def test_the_page_fits_a_phone(visit):
    tab = visit(viewport=PHONE)
    for section, place in (
        ("overview", "#diagram-plot svg"),
        ("try", "#trial-drop"),
        ("spectrum", "#spectrum-plot svg"),
        ("dashboard", "#dashboard-plot svg"),
        ("attention", "#attention-map svg"),
        ("result-accuracy", "#result-accuracy figure"),
        ("ceiling", "#ceiling-numbers"),
        ("training", "#training-plots"),
        ("explorer", "#explorer-spectrum svg"),
    ):
        go(tab, section)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        assert tab.locator(place).bounding_box()["width"] <= 340
        assert tab.evaluate(SMALL) == 0  # fingers hit them
    assert changes(tab, "#explorer", lambda: tab.locator("#explorer input[type=range]").press("ArrowRight"))


def test_every_control_has_a_name_and_shows_its_focus(visit):
    tab = visit()
    nameless = tab.evaluate(
        "[...document.querySelectorAll('button, select, input, [tabindex=\"0\"]')].filter((one) =>"
        " !(one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim())).length"
    )
    assert nameless == 0
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    for _ in range(3):
        tab.keyboard.press("Tab")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_charts_follow_the_width_of_the_window(visit):
    tab = visit()
    go(tab, "explorer")
    before = tab.locator("#explorer-spectrum svg").get_attribute("viewBox")
    tab.set_viewport_size(PHONE)
    tab.wait_for_timeout(200)
    assert tab.locator("#explorer-spectrum svg").get_attribute("viewBox") != before
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_tabs_go_by_keyboard_and_their_addresses_lead_there(visit):
    tab = visit()
    tab.locator("#tabs a").first.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.textContent") == "Try it"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    tab.keyboard.press("Space")
    tab.wait_for_selector("#try:visible")
    assert tab.evaluate("document.activeElement.textContent") == "Try it"  # it keeps the focus
    tab.keyboard.press("End")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#training:visible")
    assert tab.locator("#tabs a[aria-selected=true]").inner_text() == "Training"
    tab.locator("#tabs a[href='#results']").click()
    tab.locator("#studies").get_by_text("Accuracy").click()
    tab.wait_for_selector("#result-accuracy:visible")
    assert tab.locator("#results article:visible").count() == 1
    assert tab.url.endswith("#result-accuracy")
    tab.reload()
    assert tab.locator("#result-accuracy").is_visible()
    tab.mouse.wheel(0, 3000)
    tab.wait_for_timeout(200)
    assert tab.locator("#tabs").bounding_box()["y"] == 0  # it stays


def test_a_picture_enlarges_and_closes_by_keys(visit):
    tab = visit()
    go(tab, "result-accuracy")
    figure = tab.locator("#result-accuracy figure.paper")
    width = figure.locator("img").bounding_box()["width"]
    for key in ("Enter", "Space"):
        figure.press(key)
        assert tab.locator("dialog img").bounding_box()["width"] > width
        tab.keyboard.press("Escape")
        tab.wait_for_selector("dialog", state="detached")
        tab.wait_for_function("document.activeElement.matches('figure.paper')")


def test_tables_charts_and_results_can_be_taken_away(visit):
    tab = visit()
    go(tab, "dashboard")
    found = {}
    for kind in ("CSV", "JSON", "SVG"):
        with tab.expect_download() as waiting:
            tab.locator("#dashboard").get_by_text(kind, exact=True).first.click()
        found[waiting.value.suggested_filename] = Path(waiting.value.path()).read_text()
    csv, stored, drawn = (
        found[name] for name in ("dashboard-table.csv", "dashboard.json", "dashboard-plot.svg")
    )
    assert csv.startswith("R² at SNR,all,")
    score = R2_VS_SNR["estimators"]["Ridge"]["overall"]["r2"]
    assert any(line.startswith(f"Ridge,{score:.3f},") for line in csv.splitlines())
    assert json.loads(stored)["estimators"]["Ridge"]["overall"]["r2"] == pytest.approx(score, rel=1e-5)
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search("var\\(|class=", drawn)  # it needs no style of the page


def test_the_overview_says_what_the_results_say(visit):
    tab = visit()
    numbers = tab.locator("#overview-numbers dd").all_inner_texts()
    best = R2_VS_SNR["estimators"]["SpecViT, taught"]["overall"]["r2"]
    limit = R2_VS_SNR["limit"]["overall"]
    assert [text.split()[0] for text in numbers] == [
        f"{best:.3f}",
        f"{limit:.3f}",
        f"{100 * best / limit:.1f}",
    ]
    assert tab.locator("#overview-findings li").count() >= 2
    assert "512" in tab.locator("#diagram-plot").text_content()
    assert "@software{specvit_jax" in tab.inner_text("#citation-text")
