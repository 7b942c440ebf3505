"""Hook of MkDocs: adds the pages that are made from the code, and what pages link to outside of docs/."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from experiments.pages import api, commands, errors, results, settings
from experiments.pages.tree import PAGES, address, linked, reached
from experiments.tables.results import ROOT

MADE = {
    "reference/crlb.md": lambda: api.page("crlb"),
    "reference/specvit_jax.md": lambda: api.page("specvit_jax"),
    "reference/crlb-commands.md": lambda: commands.program("crlb"),
    "reference/specvit-commands.md": lambda: commands.program("specvit"),
    "reference/experiments-commands.md": commands.modules,
    "reference/settings.md": settings.page,
    "reference/errors.md": errors.page,
}
_places: dict[str, str] = {}  # of pages from outside of docs/, by their addresses


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists the experiments in the navigation."""
    section = next(entry["Results"] for entry in config.nav or () if "Results" in entry)
    section.append({"Experiments": [{name: f"results/{name}.md"} for name in results.names()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is made, and what is reached."""
    for name, make in MADE.items():
        files.append(File.generated(config, name, content=make()))
    pages = [f"{PAGES}{file.src_uri}" for file in files.documentation_pages() if file.src_uri not in MADE]
    tables = [f"results/{name}/table.md" for name in results.names()]
    for place, content in reached(["README.md", *pages, *tables]).items():
        _places[address(place)] = place
        if isinstance(content, str):
            files.append(File.generated(config, address(place), content=content))
        else:
            files.append(File.generated(config, address(place), abs_src_path=str(ROOT / place)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turns links between files into links between pages."""
    place = _places.get(page.file.src_uri, f"{PAGES}{page.file.src_uri}")
    return markdown if page.file.src_uri in MADE else linked(markdown, place)
