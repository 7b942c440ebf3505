"""How large BOSZ files are: for plans, and for limits when they are unpacked."""

from crlb.bosz.catalogue import ORIGINAL
from crlb.bosz.names import Node
from crlb.bosz.wave_grid import rows_of

# Bytes per row in the archive, compressed where the archive does.
ROW_BYTES = {
    # one float64 and two float32 columns: the README of webbpsf_ext gives 23 GB for the spectra of R = 20,000
    # with solar ratios, about 430 pairs of T_eff and log g at 13 metallicities and 247,000 rows each
    "fits": 16.0,
    # bzip2 of wave, flux, continuum with 3 decimals and 5 digits, flux of real BOSZ 2017 spectra (R = 5000)
    "bz2": 8.2,
    # gzip of flux and continuum with 5 digits: 5.5 for 320 real rows at R = 500, 4.6 for real flux at 5000
    "gz": 5.0,
}
ORIGINAL_ROW_BYTES = 9.0  # gzip of three such columns
# Unpacked, a row of the archive takes 22 to 36 bytes; users add columns, digits and blanks.
LIMIT_PER_ROW = 200  # bytes
LIMIT_BESIDE = 1_000_000  # bytes, for headers and comments


def bytes_per_file(node: Node) -> float:
    """Rough size of a node's file in the archive, bytes: rows times what a row takes after compression."""
    suffix = node.name.rsplit(".", 1)[-1]
    return rows_of(node) * (ORIGINAL_ROW_BYTES if node.resolving_power == ORIGINAL else ROW_BYTES[suffix])


def unpacked_limit(node: Node) -> int:
    """More bytes than any honest file of a node holds when unpacked."""
    return LIMIT_PER_ROW * rows_of(node) + LIMIT_BESIDE
