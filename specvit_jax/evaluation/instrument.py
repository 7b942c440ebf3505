"""How the spectra that networks read are taken: pixels and width of the lines.

A door to crlb beside `spectra/source.py`: a spectrum of another instrument is brought to the pixels of the
forward model, and compared with what that makes of lines, before any simulator or jax is loaded.
"""

import numpy as np
from jaxtyping import Float

from crlb.detector import DEFAULT_LSF_FWHM, DETECTOR_WAVE
from crlb.errors import DataError

LSF_FWHM = DEFAULT_LSF_FWHM  # Å


def pixels(n_pix: int) -> Float[np.ndarray, " n_pix"]:
    """The wavelengths, vacuum Å, of the pixels that a network reads.

    Raises:
        DataError: it reads another number of pixels than the detector has: where they lie is not known.
    """
    if n_pix != len(DETECTOR_WAVE):
        raise DataError(
            f"the network reads {n_pix} pixels, the detector has {len(DETECTOR_WAVE)}: files of spectra "
            "cannot be brought to its pixels; give it arrays of flux"
        )
    return DETECTOR_WAVE
