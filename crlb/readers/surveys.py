"""Spectra of known surveys: which one a FITS file is of, by what is in it, and its spectra."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from crlb.errors import DataError, UsageError
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.survey import calspec, desi, eso, gaia, lamost, mastar, pfs, pfs_sets, sdss
from crlb.readers.survey.hdus import Hdus, rows_of
from crlb.suggest import meant

# In the order in which a file is tried.
SURVEYS: dict[str, ModuleType] = {
    pfs.OBJECT: pfs,
    pfs.GA_OBJECT: pfs,
    pfs_sets.ARM: pfs,
    pfs_sets.MERGED: pfs,
    pfs_sets.COADD: pfs,
    sdss.SPEC: sdss,
    sdss.SPSPEC: sdss,
    desi.DESI: desi,
    lamost.LRS: lamost,
    lamost.MRS: lamost,
    gaia.RVS: gaia,
    mastar.TEMPLATE: mastar,
    mastar.VISITS: mastar,
    calspec.CALSPEC: calspec,
    eso.ESO: eso,
}
# Formats whose files have more than one HDU that could be meant by the option --hdu.
SEVERAL_HDUS = (
    pfs.OBJECT,
    pfs.GA_OBJECT,
    pfs_sets.ARM,
    pfs_sets.MERGED,
    pfs_sets.COADD,
    sdss.SPEC,
    lamost.MRS,
)


def survey_of(hdus: Hdus, path: Path) -> str | None:
    """Returns the name of the format of an opened FITS file, None if it is of no survey that is known.

    By HDU names, keywords and columns, never by the name of the file.

    Raises:
        DataError: what recognises it is broken; the file is named.
    """
    with _broken(path):
        for module in dict.fromkeys(SURVEYS.values()):
            name = module.format_of(hdus)
            if name is not None:
                return str(name)
    return None


def count(name: str, hdus: Hdus, options: ReadOptions) -> int:
    """Returns the number of spectra that `read_survey` yields."""
    return len(rows_of(options, SURVEYS[name].count(hdus)))


def read_survey(name: str, hdus: Hdus, path: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yields the spectra of a survey's file one by one; those of `options.rows` where they are given.

    Args:
        name: of the format, a key of `SURVEYS`.
        hdus: the opened file, an astropy HDUList; not closed while the spectra are read.
        path: of the file, for messages and for the origin of every spectrum.
        options: what the user says.

    Raises:
        DataError: the file is not of this format, or something it needs is missing or has another shape.
        UsageError: an option has a value that this format has not; there is no such format.
    """
    if name not in SURVEYS:
        raise UsageError(
            f"the format must be one of {', '.join(SURVEYS)}, found {name}{meant(name, SURVEYS)}"
        )
    if options.hdu is not None and name not in SEVERAL_HDUS:
        raise UsageError(f"--hdu has no meaning for files of the format {name}; leave it out")
    if options.columns:
        raise UsageError(
            f"the columns of the format {name} are known; leave --columns out, or give --format 'FITS table'"
        )
    with _broken(path):
        found = SURVEYS[name].format_of(hdus)
        if found != name:
            raise DataError(
                f"is no file of the format {name}, by its content {found or 'none of its survey'}"
            )
        yield from SURVEYS[name].read(name, hdus, path, options)


@contextmanager
def _broken(path: Path) -> Iterator[None]:
    """Names the file in what is raised where its content is not as its format has it."""
    try:
        yield
    except UsageError:
        raise
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (KeyError, IndexError, AttributeError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{path} is damaged or not as its format has it ({error})") from error
