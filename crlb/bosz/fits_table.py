"""FITS files with wavelength, intensity and continuum: as columns, vector cells or images."""

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from crlb.bosz.columns import CONT, FLUX, WAVE, positions
from crlb.bosz.fits_headers import check_headers
from crlb.errors import DataError
from crlb.files.fits_sums import check_datasums

if TYPE_CHECKING:
    from astropy.io import fits

NEEDED = (WAVE, FLUX, CONT)
WORDS = "Wavelength, SpecificIntensity and Continuum"


def parse_fits(raw: bytes, needed: tuple[str, ...] = NEEDED) -> dict[str, Float[np.ndarray, " n_pix"]]:
    """Returns the columns `wave`, `flux` and `cont` of a FITS file, in float64, as stored.

    They are columns of one table (any case and order; one row whose cells are vectors will do), images of
    these names, or the three rows of one image. Scaled columns are scaled; undefined values (TNULL, BLANK)
    become NaN.

    Args:
        raw: the bytes of the file.
        needed: which of the columns must be there.

    Raises:
        DataError: the file is truncated or damaged, its data are not those of their DATASUM; it lacks a
            column, or holds something else in it.
    """
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyError

    check_headers(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of astropy, about matters of style
        warnings.filterwarnings("error", message=".*truncated.*")
        try:
            with fits.open(
                io.BytesIO(raw), memmap=False, lazy_load_hdus=False, disable_image_compression=True
            ) as hdus:
                check_datasums(hdus)
                return _columns(hdus, needed)
        except DataError:
            raise
        except (*_BROKEN, VerifyError) as error:
            raise DataError(f"it is truncated or damaged ({error}); download it again") from error


# What astropy and numpy raise for headers that contradict their data.
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    Warning,
)


def _columns(hdus: "fits.HDUList", needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    from astropy.io import fits

    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
    for hdu in tables:
        where = positions(hdu.columns.names)
        if set(needed) <= set(where):
            return _same_length({name: _table_column(hdu, at) for name, at in where.items()})
    images = [hdu for hdu in hdus if hdu.is_image and hdu.header.get("NAXIS", 0) > 0]
    where = positions([hdu.name for hdu in images])
    if set(needed) <= set(where):
        return _same_length({name: _vector(images[at].data, name) for name, at in where.items()})
    if len(images) == 1 and not tables:
        return _rows_of_image(images[0])
    raise DataError(_absent(tables, images, needed))


def _absent(tables: list[Any], images: list[Any], needed: tuple[str, ...]) -> str:
    if not tables and not images:
        return "the FITS file must hold a table or images, found none"
    if not tables:
        names = ", ".join(hdu.name or "unnamed" for hdu in images)
        return f"images named {WORDS} are needed, or one image of three rows; found {names}"
    absent = next(name for name in needed if name not in positions(tables[0].columns.names))
    word = dict(zip(NEEDED, ("Wavelength", "SpecificIntensity", "Continuum"), strict=True))[absent]
    return f"column {word} is missing; the table has {', '.join(tables[0].columns.names)}"


def _table_column(hdu: Any, at: int) -> np.ndarray:
    column = hdu.columns[at]
    values = _vector(hdu.data.field(at), column.name)
    if column.null is None:
        return values
    null = 0.0  # what astropy gives for the undefined cells of a table in ASCII
    if not isinstance(column.null, str):
        null = column.null * (column.bscale or 1) + (column.bzero or 0)
    return np.where(values == null, np.nan, values)


def _vector(data: object, name: str) -> np.ndarray:
    """One row of numbers from a column, a vector cell or an image."""
    values = np.asarray(data)
    if values.dtype == object and values.size == 1:  # a cell of variable length
        values = np.asarray(values.reshape(-1)[0])
    if values.dtype.kind not in "fiu":
        kind = {"c": "complex numbers", "b": "truth values"}.get(values.dtype.kind, "no numbers")
        raise DataError(f"column {name} must hold real numbers, found {kind} ({values.dtype})")
    if max(values.shape, default=0) != values.size:
        raise DataError(f"column {name} must hold one spectrum, found an array of shape {values.shape}")
    return values.reshape(-1).astype(np.float64)


def _rows_of_image(hdu: Any) -> dict[str, np.ndarray]:
    data = np.asarray(hdu.data)
    if data.ndim != 2 or len(NEEDED) not in data.shape or data.dtype.kind not in "fiu":
        raise DataError(
            f"an image must have three rows ({WORDS}), found the shape {data.shape} of {data.dtype}"
        )
    rows = data if data.shape[0] == len(NEEDED) else data.T
    return {name: _vector(row, name) for name, row in zip(NEEDED, rows, strict=True)}


def _same_length(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns must be of one length, found {lengths}")
    return columns
