"""Small files of surveys for the tests, made with astropy, and reading them as the product does."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crlb.files.observed import Observed
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey.hdus import Hdus
from crlb.readers.surveys import count, read_survey, survey_of
from crlb.readers.understand import observed_of

ANYWHERE = Path("some.fits")


def image(name: str, data: np.ndarray, **keywords: object) -> fits.ImageHDU:
    """Returns an image HDU of float64 or integers."""
    return fits.ImageHDU(np.asarray(data), fits.Header(list(keywords.items())), name=name)


def table(name: str, columns: dict[str, tuple[str, object]], **keywords: object) -> fits.BinTableHDU:
    """Returns a table HDU of columns (format, values)."""
    found = [fits.Column(key, form, array=values) for key, (form, values) in columns.items()]
    return fits.BinTableHDU.from_columns(found, fits.Header(list(keywords.items())), name=name)


def saved(folder: Path, *hdus: object) -> Path:
    """Returns the path of a file of these HDUs, a primary HDU before them."""
    path = folder / "spectrum.fits"
    fits.HDUList(list(hdus)).writeto(path, overwrite=True)
    return path


def read(path: Path, options: ReadOptions = ReadOptions()) -> tuple[str | None, list[Raw]]:  # noqa: B008
    """Returns the format of a file and its spectra, as many as it is said to have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        with fits.open(path) as hdus:
            name = survey_of(hdus, path)
            if name is None:
                return None, []
            spectra = list(read_survey(name, hdus, path, options))
            assert len(spectra) == count(name, hdus, options)
            return name, spectra


def one(path: Path, options: ReadOptions = ReadOptions()) -> Raw:  # noqa: B008
    """Returns the only spectrum of a file."""
    (spectrum,) = read(path, options)[1]
    return spectrum


def observed(path: Path, options: ReadOptions = ReadOptions()) -> list[Observed]:  # noqa: B008
    """Returns what the product makes of a file."""
    return [observed_of(raw, options) for raw in read(path, options)[1]]


def recognised(hdus: Hdus) -> str | None:
    """Returns the format of HDUs in memory."""
    return survey_of(hdus, ANYWHERE)


def real(reference: Path, name: str) -> Path:
    """Returns the path of a real file; the test is skipped where it is absent."""
    path = reference / "observed" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path
