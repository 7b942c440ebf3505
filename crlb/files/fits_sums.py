"""Whether the data of a FITS file are those that its DATASUM was made of."""

from typing import TYPE_CHECKING

from crlb.errors import DataError

if TYPE_CHECKING:
    from astropy.io.fits import HDUList


def check_datasums(hdus: "HDUList") -> None:
    """Compares the data of every HDU that has a DATASUM with it; one without, or without a number, passes.

    Args:
        hdus: opened with `disable_image_compression`, so that data are as they lie in the file.

    Raises:
        DataError: they differ.

    Source: FITS standard 4.0, section 4.4.2.7.
    """
    for number, hdu in enumerate(hdus):
        known = str(hdu.header.get("DATASUM", "")).strip()
        if known.isdecimal() and hdu.verify_datasum() == 0:
            raise DataError(
                f"the data of HDU {number} are not those that its DATASUM {known} was made of: it is damaged "
                "or was changed; fetch it again"
            )
