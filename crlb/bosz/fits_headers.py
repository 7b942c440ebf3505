"""Whether the headers of a FITS file agree with its size: before memory is taken for what they claim."""

import math

from crlb.errors import DataError

BLOCK = 2880  # bytes
CARD = 80  # bytes
MAX_COLUMNS = 999  # of a table, FITS standard 4.0, section 7.3.1


def check_headers(raw: bytes) -> None:
    """Walks over headers and data of a FITS file.

    Args:
        raw: the bytes of the file.

    Raises:
        DataError: a header has no end or impossible numbers, or the data that it announces are not all there.
    """
    at = 0
    while at < len(raw) and (at == 0 or raw[at : at + 8] == b"XTENSION"):
        cards, at = _header(raw, at)
        size = _data_bytes(cards)
        if at + size > len(raw):
            raise DataError(
                f"it is truncated or damaged (a header announces {size} bytes of data, {len(raw) - at} are "
                "there); download it again"
            )
        at += math.ceil(size / BLOCK) * BLOCK


def _header(raw: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """Returns the values of a header's keywords, and where its data start."""
    cards: dict[bytes, bytes] = {}
    for start in range(at, len(raw) - CARD + 1, CARD):
        card = raw[start : start + CARD]
        key = card[:8].rstrip()
        if key == b"END":
            return cards, at + math.ceil((start + CARD - at) / BLOCK) * BLOCK
        if card[8:10] == b"= ":
            cards[key] = card[10:].split(b"/")[0].strip()
    raise DataError("it is truncated or damaged (a FITS header has no end); download it again")


def _number(cards: dict[bytes, bytes], key: str, default: int) -> int:
    word = cards.get(key.encode(), str(default).encode())
    try:
        return int(word)
    except ValueError as error:
        text = word.decode("latin-1")
        raise DataError(f"the FITS header must give a whole number for {key}, found {text}") from error


def _data_bytes(cards: dict[bytes, bytes]) -> int:
    n_axes = _number(cards, "NAXIS", 0)
    n_columns = _number(cards, "TFIELDS", 0)
    if not (0 <= n_axes <= MAX_COLUMNS and 0 <= n_columns <= MAX_COLUMNS):
        raise DataError(
            f"the FITS header must have 0 to {MAX_COLUMNS} axes and columns, found {n_axes} and {n_columns}"
        )
    axes = [_number(cards, f"NAXIS{i + 1}", 0) for i in range(n_axes)]
    extra, groups = _number(cards, "PCOUNT", 0), _number(cards, "GCOUNT", 1)
    if min([extra, groups, *axes]) < 0:
        raise DataError(f"the FITS header must have sizes of 0 and more, found {axes}, {extra} and {groups}")
    item = abs(_number(cards, "BITPIX", 8)) // 8
    return item * groups * (extra + math.prod(axes)) if axes else 0
