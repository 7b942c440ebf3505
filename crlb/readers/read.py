"""The one door to files of spectra: recognises the format by what is in the file, and reads it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files.observed import Observed, Origin
from crlb.readers.columns import Table
from crlb.readers.combine import combined
from crlb.readers.content import HDF5_SIGN, content_of, head_of
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.rows import raws_of
from crlb.readers.survey.gaia import RVS, gaia_rvs
from crlb.readers.surveys import SURVEYS
from crlb.readers.understand import observed_of

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

HDF5, TEXT, ECSV, FITS_TABLE, FITS_IMAGE = "pfsspec HDF5", "text", "ECSV", "FITS table", "FITS image"
FORMATS = (HDF5, TEXT, ECSV, FITS_TABLE, FITS_IMAGE, *SURVEYS)
TRIED = 20  # spectra: so many at most are tried to find one that shows how a file was understood

Each = Callable[[range], Iterator[Observed | DataError]]


@dataclass(frozen=True, eq=False)
class SpectraFile:
    """A file of spectra that was recognised, and its spectra on request.

    Args:
        path: the file.
        format: name of its format.
        n: number of spectra (of those asked for by `ReadOptions.rows`).
        understood: how it was understood, in sentences.
        first: row of the file that is its first spectrum.
        read: yields the spectra of some rows, and why for those that cannot be used.
    """

    path: Path
    format: str
    n: int
    understood: tuple[str, ...]
    first: int
    read: Each

    def __len__(self) -> int:
        """Returns the number of spectra."""
        return self.n

    def each(self, first: int = 0, stop: int | None = None) -> Iterator[Observed | DataError]:
        """Yields every spectrum from `first` to before `stop`; for one that cannot be used, the reason.

        One spectrum that cannot be used costs no other one.
        """
        stop = self.n if stop is None else min(stop, self.n)
        return self.read(range(self.first + first, self.first + stop))

    def spectra(self, first: int = 0, stop: int | None = None) -> Iterator[Observed]:
        """Yields the spectra from `first` to before `stop`.

        Raises:
            DataError: one cannot be used; see `each`.
        """
        for spectrum in self.each(first, stop):
            if isinstance(spectrum, DataError):
                raise spectrum
            yield spectrum


def open_observed(path: str | Path, options: ReadOptions = ReadOptions()) -> SpectraFile:  # noqa: B008
    """Returns the spectra of a file: HDF5, FITS (also compressed by gzip or bzip2), ECSV, CSV or text.

    Raises:
        MissingInputError: there is no such file, or it cannot be read.
        DataError: it is no file of spectra that is known, is damaged, or does not say what must be known
            (unit and medium of the wavelengths); the message says what was found and which option helps.
        UsageError: an option has a value that the file does not allow, or there is no such format.
    """
    path = Path(path)
    if not path.exists():
        raise MissingInputError(f"file of spectra {path} does not exist")
    if not path.is_file():
        raise DataError(f"{path} is not a file (a folder?); give the files of spectra in it")
    try:
        return _opened(path, options)
    except DataError as error:
        raise (error if str(path) in str(error) else DataError(f"{path}: {error}")) from None


def _opened(path: Path, options: ReadOptions) -> SpectraFile:
    if head_of(path, len(HDF5_SIGN)) == HDF5_SIGN:
        _check_format(options, HDF5)
        _check_unused(HDF5, columns=bool(options.columns), hdu=options.hdu is not None)
        name, n, each = _hdf5(path, options)
    else:
        name, raws = _small(path, options)
        n, each = len(raws), _each(raws, options)
    if not n:
        raise DataError("no spectrum in it")
    first, stop = options.rows or (0, n)
    if not 0 <= first < min(stop, n):
        raise UsageError(f"--rows {first} {stop}: {path} has the rows 0 to {n - 1}")
    each = _combining(each) if options.combine else each
    rows = range(first, min(stop, n))
    return SpectraFile(path, name, len(rows), _understood(each, rows), first, each)


def _check_format(options: ReadOptions, found: str) -> None:
    if options.format is not None and options.format.lower() != found.lower():
        raise DataError(f"format must be {options.format} as asked, found {found}; leave --format out")


def _check_unused(found: str, **given: bool) -> None:
    """Refuses options that a format has no use for."""
    for name, is_given in given.items():
        if is_given:
            raise UsageError(f"--{name} has no meaning for the format {found}; leave it out")


def _understood(each: Each, rows: range) -> tuple[str, ...]:
    """What was done to the first spectrum that can be used.

    Raises:
        DataError: none of the first ones can: why the first cannot.
    """
    reason = None
    for spectrum in each(range(rows.start, min(rows.stop, rows.start + TRIED))):
        if isinstance(spectrum, Observed):
            return spectrum.done
        reason = reason or spectrum
    raise reason or DataError("no spectrum in it")


def _hdf5(path: Path, options: ReadOptions) -> tuple[str, int, Each]:
    from crlb.readers import pfsspec

    layout = pfsspec.layout_of(path)
    return pfsspec.FORMAT, layout.n, lambda rows: pfsspec.read(path, layout, options, rows)


def _small(path: Path, options: ReadOptions) -> tuple[str, list[Raw]]:
    """Format and spectra of a file that is read into memory."""
    from crlb.readers import text
    from crlb.readers.fits import SIGN, open_fits

    content = content_of(path)
    options = replace(options, rows=None)
    if content.startswith(SIGN):
        with open_fits(content) as hdus:
            return _fits(hdus, path, options)
    if content.startswith(HDF5_SIGN):
        raise DataError("a compressed HDF5 file; decompress it first (gunzip, bunzip2)")
    if not text.is_text(content[:8192]):
        raise DataError(f"no FITS, HDF5 or text file: it begins with {content[:8]!r}")
    if content[:512].lstrip().startswith(b"<"):
        raise DataError("a page of HTML or XML (a VOTable?), which is not read; save it as FITS, ECSV or CSV")
    name = ECSV if content.startswith(text.ECSV.encode()) else TEXT
    _check_unused(name, hdu=options.hdu is not None)
    table = text.table_of(content, Origin(str(path), name))
    generic = options.columns or (options.format or "").lower() == name.lower()
    stars = [] if generic else gaia_rvs(table.columns, path)
    _check_format(options, RVS if stars else name)
    return (RVS, stars) if stars else (name, list(raws_of(table, options)))


def _fits(hdus: "HDUList", path: Path, options: ReadOptions) -> tuple[str, list[Raw]]:
    """Format and spectra of a FITS file: of a survey, else of its tables, else of its images."""
    from crlb.readers import images, surveys, tables
    from crlb.readers.fits import chosen, contents

    generic = (FITS_TABLE.lower(), FITS_IMAGE.lower())
    asked = options.format and options.format.lower()
    survey = None if asked in generic else surveys.survey_of(hdus, path)
    if survey is not None:
        _check_format(options, survey)
        return survey, list(surveys.read_survey(survey, hdus, path, options))
    origin = Origin(str(path), FITS_TABLE)
    only = None if options.hdu is None else chosen(hdus, options.hdu)
    in_tables, why = tables.spectral_tables(hdus, options, origin, only)
    if in_tables and asked != FITS_IMAGE.lower():
        _check_format(options, FITS_TABLE)
        table = tables.table_of(hdus, in_tables[0], _at(origin, hdus, in_tables[0]))
        return FITS_TABLE, list(raws_of(_saying(table, in_tables), options))
    in_images = images.spectral_images(hdus, only)
    if not in_images or asked == FITS_TABLE.lower():
        raise DataError(why or f"no spectrum in this FITS file; it holds {contents(hdus)}{_rows_hint(hdus)}")
    _check_format(options, FITS_IMAGE)
    place = replace(_at(origin, hdus, in_images[0]), format=FITS_IMAGE)
    return FITS_IMAGE, list(raws_of(_saying(images.table_of(hdus, in_images[0], place), in_images), options))


def _rows_hint(hdus: "HDUList") -> str:
    """What to do where the rows of a picture are spectra and nothing says so."""
    pictures = [i for i, hdu in enumerate(hdus) if hdu.header.get("NAXIS") == 2 and "CRVAL1" in hdu.header]
    return f"; if the rows of an image are spectra, give --hdu {pictures[0]}" if pictures else ""


def _at(origin: Origin, hdus: "HDUList", number: int) -> Origin:
    return replace(origin, hdu=hdus[number].name or str(number))


def _saying(table: Table, numbers: list[int]) -> Table:
    """A table with a word on the HDUs that were not chosen."""
    if len(numbers) == 1:
        return table
    others = ", ".join(map(str, numbers[1:11]))
    said = f"HDU {numbers[0]} read; spectra could be in {others}, too: choose with --hdu"
    return replace(table, about=replace(table.about, notes=(*table.about.notes, said)))


def _each(raws: list[Raw], options: ReadOptions) -> Each:
    def each(rows: range) -> Iterator[Observed | DataError]:
        for raw in raws[rows.start : rows.stop]:
            try:
                yield observed_of(raw, options)
            except DataError as error:
                yield error

    return each


def _combining(each: Each) -> Each:
    def combining(rows: range) -> Iterator[Observed | DataError]:
        for spectrum in each(rows):
            yield combined(spectrum) if isinstance(spectrum, Observed) else spectrum

    return combining
