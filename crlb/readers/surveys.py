"""Which survey a FITS file comes from, and its spectra."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from crlb.errors import DataError
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw

if TYPE_CHECKING:
    from astropy.io.fits import HDUList


def survey_of(hdus: "HDUList", path: Path) -> str | None:
    """Returns the name of the format a file is written in; None: that of no survey."""
    return None


def read_survey(name: str, hdus: "HDUList", path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectra of a survey's file.

    Raises:
        DataError: there is no such format.
    """
    raise DataError(f"format must be that of a survey, found {name}")
