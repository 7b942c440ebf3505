"""Results of experiments, read from the files they leave: results.json, table.md, figure.png, caption.md."""

import base64
import html
import io
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crlb.errors import DataError
from crlb.files import text_input
from crlb.files.text_input import read_bytes, read_text, shown

MOST_ROWS = 12  # of a table that is not folded away
MOST_TABLE = 2**22  # bytes of a table.md
MOST_CAPTION = 2**16  # bytes of a caption.md
MOST_FIGURE = 2**25  # bytes of a figure.png
MOST_PIXELS = 32_000_000  # of a figure: 512 MB once it is read
PNG = b"\x89PNG\r\n\x1a\n"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file.

    Raises:
        DataError: it is none.
        MissingInputError: the file cannot be read.
    """
    try:
        return text_input.read_json(path, "results")
    except DataError as error:
        raise DataError(f"{error}; run its experiment again") from error


def read_explorer(path: Path) -> dict[str, Any]:
    """What `explore` returned, as an experiment has left it.

    Raises:
        DataError: it is something else.
    """
    found = read_json(path)
    _need(path, found, ("stars", "methods", "wave", "mags", "flux_step"))
    return found


def kind_of(results: Mapping[str, object]) -> str | None:
    """The experiment that results say they are of; None: they do not say, and are not recognised."""
    name = results.get("experiment")
    return name if isinstance(name, str) else None


def dashboard(path: Path, results: dict[str, Any]) -> dict[str, Any]:
    """What the page draws of the R2-SNR figure's results.

    Raises:
        DataError: some of it is missing.
    """
    _need(path, results, ("snr_definition", "grid", "ceiling", "estimators", "test"))
    _need(path, results["ceiling"], ("variance", "bins"))
    kept = ("label", "snr_definition", "grid", "estimators", "limit", "published", "test")
    ceiling = {key: results["ceiling"][key] for key in ("variance", "bins")}
    return {key: results[key] for key in kept if key in results} | {"ceiling": ceiling}


def dashboard_of_accuracy(results: dict[str, Any]) -> dict[str, Any]:
    """The scores against SNR of the shipped networks as those of the R2-SNR figure.

    Its bins have no median SNR: they are drawn at their geometric mean, which `binned` says.

    Raises:
        KeyError, TypeError, StopIteration: the results are none of `accuracy`.
    """
    whole = next(row for row in results["rows"] if row["snr_high"] is None)
    rows = [
        row | {"snr_median": (row["snr_low"] * row["snr_high"]) ** 0.5}
        for row in results["rows"]
        if row["snr_high"] and row["methods"]
    ]
    place = ("snr_low", "snr_high", "snr_median")
    by_snr = {
        name: [{key: row[key] for key in place} | row["methods"][name] for row in rows]
        for name in whole["methods"]
    }
    estimators = {
        name: {"overall": overall, "by_snr": by_snr[name]} for name, overall in whole["methods"].items()
    }
    limit = [{key: row[key] for key in (*place, "r2_bayes")} for row in rows]
    found = {key: results[key] for key in ("label", "snr_definition", "grid", "test")}
    found |= {"estimators": estimators, "limit": {"by_snr": limit, "overall": whole["r2_bayes"]}}
    return found | {"ceiling": None, "binned": True}


def scaling(path: Path, results: dict[str, Any]) -> dict[str, Any]:
    """What the page draws of the scaling experiment's results.

    Raises:
        DataError: some of it is missing.
    """
    _need(path, results, ("rows",))
    for row in results["rows"] if isinstance(results["rows"], list) else [None]:
        _need(path, row, ("method", "n", "r2"))
    kept = ("title", "claim", "label", "rows", "limit")
    return {key: results[key] for key in kept if key in results}


def article(name: str, folder: Path, results: Mapping[str, object]) -> str:
    """An experiment as HTML: title, claim, figure, table and how its numbers were made."""
    title = str(results.get("title", name.replace("_", " ").capitalize()))
    claim = f'<p class="claim">{inline(str(results["claim"]))}</p>' if "claim" in results else ""
    head = [f"<h3>{html.escape(title)}</h3>", claim]
    parts = [*head, files(folder, title), provenance(results)]
    return f'<article id="result-{html.escape(name)}">{"".join(parts)}</article>'


def appendix(folder: Path, results: Mapping[str, object]) -> str:
    """What follows a chart that the page draws itself: the experiment's own figure and table, folded away."""
    content = files(folder, "Figure of the experiment")
    folded = f"<details><summary>Figure and table as written</summary>{content}</details>"
    return (folded if content else "") + provenance(results)


def files(folder: Path, title: str) -> str:
    """Figure with its caption, and table, that an experiment has left, as HTML."""
    figure, text = folder / "figure.png", folder / "table.md"
    shown = _figure(figure, title) + _caption(folder / "caption.md") if figure.is_file() else ""
    return shown + (markdown(read_text(text, "table", MOST_TABLE)) if text.is_file() else "")


def provenance(results: Mapping[str, object]) -> str:
    """Command, size, date, hardware and time of an experiment, as far as its results tell."""
    about = results.get("provenance")
    about = about if isinstance(about, dict) else {}
    cores = f"{about['cores']} cores" if "cores" in about else ""
    rows = {
        "Command": about.get("command"),
        "Preset": results.get("preset"),
        "Date": about.get("date"),
        "Hardware": ", ".join(filter(None, (about.get("hardware", about.get("device")), cores))),
        "Seconds": about.get("seconds"),
    }
    texts = {name: html.escape(str(value)) for name, value in rows.items() if value}
    if "Command" in texts:
        texts["Command"] = f"<code>{texts['Command']}</code>"
    cells = [f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in texts.items()]
    return f'<dl class="provenance">{"".join(cells)}</dl>' if cells else ""


def markdown(text: str) -> str:
    """Tables, lists and paragraphs of a Markdown file as HTML; nothing else of Markdown is known."""
    blocks = re.split(r"\n\s*\n", text.strip())
    return "\n".join(_block(block.splitlines()) for block in blocks if block.strip())


def inline(text: str) -> str:
    """Text with `code` and **strong** as HTML."""
    safe = html.escape(text, quote=False)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)


def _need(path: Path, found: object, keys: tuple[str, ...]) -> None:
    if not isinstance(found, Mapping):
        raise DataError(f"{path} must hold {', '.join(keys)} by name, found {shown(found)}")
    missing = [key for key in keys if key not in found]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; run its experiment again")


def _block(lines: list[str]) -> str:
    first = lines[0].lstrip()
    if first.startswith("|"):
        return _table(lines)
    if first.startswith("- "):
        items = re.split(r"^\s*- ", "\n".join(lines), flags=re.MULTILINE)[1:]
        return f"<ul>{''.join(f'<li>{inline(item.strip())}</li>' for item in items)}</ul>"
    text = inline(" ".join(line.strip().lstrip("#").strip() for line in lines))
    return f"<h4>{text}</h4>" if first.startswith("#") else f"<p>{text}</p>"


def _table(lines: list[str]) -> str:
    """A table that scrolls sideways; folded away where it is long."""
    head, _, *rows = ([inline(cell.strip()) for cell in line.strip().strip("|").split("|")] for line in lines)
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    shown = f'<div class="scroll" tabindex="0" role="region" aria-label="Table">{table}</div>'
    if len(rows) <= MOST_ROWS:
        return shown
    return f"<details><summary>Table of {len(rows)} rows</summary>{shown}</details>"


def _check_size(path: Path, raw: bytes) -> None:
    """Refuses a picture that is none, or larger than any figure, by its header alone.

    Source: PNG specification, 11.2.2: after signature, length and IHDR, width and height of four bytes each.
    """
    if raw[:8] != PNG or raw[12:16] != b"IHDR":
        raise DataError(f"{path} is not a PNG image: its beginning is another; run its experiment again")
    width, height = int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    if not 0 < width * height <= MOST_PIXELS:
        raise DataError(f"{path} must have at most {MOST_PIXELS:,} pixels, found {width} x {height}")


def _caption(path: Path) -> str:
    """What a figure shows, where its caption lies beside it."""
    if not path.is_file():
        return ""
    return f'<p class="caption">{inline(read_text(path, "caption", MOST_CAPTION).strip())}</p>'


def _figure(path: Path, title: str) -> str:
    """A figure as WebP without loss, a third of the PNG."""
    import matplotlib.image

    raw, content = read_bytes(path, "figure", MOST_FIGURE), io.BytesIO()
    _check_size(path, raw)
    try:
        pixels = matplotlib.image.imread(io.BytesIO(raw), format="png")
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is not a PNG image: {error}; run its experiment again") from error
    matplotlib.image.imsave(content, pixels, format="webp", pil_kwargs={"lossless": True})
    data = base64.b64encode(content.getvalue()).decode()
    name = html.escape(title)
    image = f'<img alt="{name}" src="data:image/webp;base64,{data}">'
    return f'<figure class="paper" tabindex="0" aria-label="{name}">{image}</figure>'
