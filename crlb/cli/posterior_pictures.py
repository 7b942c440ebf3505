"""Files and pictures of single stars that `crlb posterior` writes on request."""

from pathlib import Path

import numpy as np

from crlb.bayes.label_stars import LabelledStar
from crlb.bayes.plots import plot_corner, plot_fit
from crlb.cli.output import write_csv
from crlb.errors import OutputError
from crlb.files.flags import flag_text
from crlb.files.output import new_file


def write_samples(star: LabelledStar, folder: Path, stem: str) -> None:
    """Writes STEM.samples.csv, labels of equal weight, and STEM.corner.png.

    Raises:
        OutputError, DiskError: as `crlb.files.output.new_file`.
    """
    found = star.posterior
    if found.samples is None:
        return
    _make(folder)
    rows = [dict(zip(found.label_names, values, strict=True)) for values in found.samples.tolist()]
    with new_file(folder / f"{stem}.samples.csv", overwrite=True) as temporary:
        write_csv(rows, temporary)
    truth = {} if star.observed is None else dict(star.observed.labels)
    with new_file(folder / f"{stem}.corner.png", overwrite=True) as temporary:
        title = f"{_name(star)}\n{flag_text(found.flags)}"  # the labels stand above the panels
        plot_corner(found.samples, found.label_names, truth, title).savefig(temporary, dpi=150)


def draw_fit(star: LabelledStar, folder: Path, stem: str) -> None:
    """Draws STEM.fit.png: data, best model, residuals.

    Raises:
        OutputError, DiskError: as `crlb.files.output.new_file`.
    """
    observed, found = star.observed, star.posterior
    if observed is None or found.model is None:
        return
    _make(folder)
    used = observed.usable & np.isfinite(found.model)
    own = (
        1 / np.sqrt(np.where(used, observed.ivar, 1.0)) if observed.has_errors else found.error * found.model
    )
    error = np.hypot(own, found.model_error * found.model)
    columns = (np.where(used, x, np.nan) for x in (observed.flux, error, found.model))
    inside = np.isfinite(found.model)
    flux, error, model = (column[inside] for column in columns)
    with new_file(folder / f"{stem}.fit.png", overwrite=True) as temporary:
        plot_fit(observed.wave[inside], flux, error, model, _title(star)).savefig(temporary, dpi=150)


def _title(star: LabelledStar) -> str:
    found = star.posterior
    labels = ", ".join(
        f"{name} {mean:.4g} +- {sigma:.2g}"
        for name, mean, sigma in zip(found.label_names, found.mean, found.sigma, strict=True)
    )
    return f"{_name(star)}: {labels}; {flag_text(found.flags)}"


def _name(star: LabelledStar) -> str:
    """The star's name in the file, else the file's without its folder, and the row."""
    origin = star.origin
    row = "" if origin.row is None else f"[{origin.row}]"
    return origin.star or f"{Path(origin.path).name}{row}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create {folder}: {error.strerror}; choose another folder") from error
