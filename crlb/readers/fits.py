"""FITS files opened with care: whole, within memory, their headers as plain words."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from crlb.errors import DataError, UsageError
from crlb.files.fits_sums import check_datasums
from crlb.readers.content import MOST

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

SIGN = b"SIMPLE  ="
# What astropy raises for damaged headers and data.
ERRORS = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError)


@contextmanager
def open_fits(content: bytes) -> "Iterator[HDUList]":
    """Yields the HDUs of a FITS file in memory, checked to be there to the last byte and by their DATASUM.

    Raises:
        DataError: the file is damaged or truncated, also where this shows only inside the block.
    """
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        # Cards that break the standard are passed over; what is missing at the end is measured below.
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            # Tile-compressed images are measured as they lie in the file, then as they are unpacked.
            given = {"memmap": False, "lazy_load_hdus": False}
            with fits.open(BytesIO(content), disable_image_compression=True, **given) as packed:
                _check_whole(packed, len(content))
                check_datasums(packed)
            with fits.open(BytesIO(content), **given) as hdus:
                _check_sizes(hdus)
                yield hdus
        except (DataError, UsageError):
            raise
        except (*ERRORS, fits.VerifyError) as error:
            raise DataError(f"damaged FITS file: {error}") from error
        except Exception as error:  # what unpacks images has an error without a public name
            if type(error).__name__ == "CfitsioException":
                raise DataError(f"damaged FITS file: {error}") from error
            raise


def _check_whole(hdus: "HDUList", n_bytes: int) -> None:
    for i, hdu in enumerate(hdus):
        place = hdu.fileinfo()
        end = place["datLoc"] + hdu.size if place else 0
        if end > n_bytes:
            raise DataError(
                f"HDU {i} needs the first {end:,} bytes of the file, which has {n_bytes:,}: it is truncated "
                "or its header is damaged; fetch it again"
            )


def _check_sizes(hdus: "HDUList") -> None:
    for i, hdu in enumerate(hdus):
        if hdu.size > MOST:
            raise DataError(
                f"HDU {i} has {hdu.size:,} bytes once unpacked, more than the {MOST:,} that are read"
            )


def words(header: "Header") -> dict[str, object]:
    """Returns the keywords of a header; those that break the FITS standard are left out."""
    from astropy.io.fits import VerifyError

    found: dict[str, object] = {}
    for card in header.cards:
        try:
            if card.keyword not in ("", "COMMENT", "HISTORY"):
                found[card.keyword] = card.value
        except (VerifyError, ValueError):
            continue
    return found


def contents(hdus: "HDUList") -> str:
    """Returns what the HDUs hold, in one line for a message."""
    shown = []
    for i, hdu in enumerate(hdus[:20]):
        if hasattr(hdu, "columns"):
            what = f"table of {hdu.header.get('NAXIS2')} rows ({', '.join(hdu.columns.names[:12])})"
        else:
            axes = [hdu.header.get(f"NAXIS{k}") for k in range(hdu.header.get("NAXIS", 0), 0, -1)]
            what = f"image {' x '.join(map(str, axes))}" if axes else "no data"
        shown.append(f"{i} {hdu.name}: {what}" if hdu.name else f"{i}: {what}")
    return "; ".join(shown) + ("; ..." if len(hdus) > 20 else "")


def chosen(hdus: "HDUList", hdu: str) -> int:
    """Returns the number of the HDU that an option names by name or number.

    Raises:
        DataError: there is none.
    """
    for i, one in enumerate(hdus):
        if one.name.lower() == hdu.lower() or hdu == str(i):
            return i
    raise DataError(f"--hdu {hdu}: no such HDU; the file holds {contents(hdus)}")


def native(values: np.ndarray) -> np.ndarray:
    """Returns an array in the machine's byte order."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)
