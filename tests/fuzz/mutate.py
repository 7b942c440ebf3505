"""Damage to a file: what disks, transfers and strangers do to its bytes."""

import gzip
import io
import random
import re
import zipfile
import zlib

SIZES = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
NUMBERS = (b"0", b"-1", b"1e308", b"nan", b"inf", b"null", b"true", b"9" * 30, b"-" + b"9" * 400)
TOKENS = (b"[", b"{", b"}", b'"', b"\n", b"- ", b"&a *a ", b"? ", b"\0", b"\xff", b"\x1b[2J", b"#" * 50)
DIGITS = re.compile(rb"\d+")


def mutated(good: bytes, chance: random.Random) -> bytes:
    """A copy of a file with one to four of the `KINDS` of damage; most have one."""
    content = bytearray(good)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(KINDS)(content, chance)
    return bytes(content)


def flip(content: bytearray, chance: random.Random) -> None:
    """One bit of a byte, or all of it, of one byte or several."""
    for _ in range(chance.choice((1, 1, 2, 8))):
        if content:
            at = chance.randrange(len(content))
            content[at] ^= chance.choice((1 << chance.randrange(8), 255, chance.randrange(256)))


def truncate(content: bytearray, chance: random.Random) -> None:
    """The end is missing, often just a little of it."""
    lost = chance.choice((1, 8, 100, len(content)))
    del content[max(0, len(content) - 1 - chance.randrange(max(lost, 1))) :]


def insert(content: bytearray, chance: random.Random) -> None:
    """Something more: a token, or bytes at random."""
    at = chance.randrange(len(content) + 1)
    content[at:at] = chance.choice((*TOKENS, chance.randbytes(chance.choice((1, 8, 64)))))


def swap(content: bytearray, chance: random.Random) -> None:
    """Two blocks in each other's place."""
    size = chance.choice((1, 4, 16, 512))
    if len(content) > 2 * size:
        one, two = sorted(chance.randrange(len(content) - size) for _ in range(2))
        content[one : one + size], content[two : two + size] = (
            content[two : two + size],
            content[one : one + size],
        )


def declare(content: bytearray, chance: random.Random) -> None:
    """Another size, length or number: in binary, of either byte order, or the next one in digits."""
    at = chance.randrange(len(content) + 1)
    found = DIGITS.search(content, at) if chance.random() < 0.5 else None
    if found is not None:
        content[found.start() : found.end()] = chance.choice(NUMBERS)
        return
    width = chance.choice((1, 2, 4, 8))
    number = chance.choice(SIZES) % 2 ** (8 * width)
    content[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))


def blank(content: bytearray, chance: random.Random) -> None:
    """A block that was never written: zeros or ones."""
    size = min(chance.choice((1, 16, 512)), len(content))
    at = chance.randrange(len(content) - size + 1)
    content[at : at + size] = chance.choice((b"\0", b"\xff")) * size


KINDS = (flip, truncate, insert, swap, declare, blank)


def inside_gzip(good: bytes, chance: random.Random) -> bytes:
    """Damage to what is packed, or to the package."""
    if chance.random() < 0.5:
        return mutated(good, chance)
    return gzip.compress(mutated(gzip.decompress(good), chance), mtime=0)


def inside_zip(good: bytes, chance: random.Random) -> bytes:
    """Damage to one member of an archive, whose own sums agree; or to the archive."""
    if chance.random() < 0.5:
        return mutated(good, chance)
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        members = {name: file.read(name) for name in file.namelist()}
        packed = file.infolist()[0].compress_type
    name = chance.choice(sorted(members))
    members[name] = mutated(members[name], chance)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as file:
        for one, content in members.items():
            file.writestr(one, content)
    return out.getvalue()


def inside_png(good: bytes, chance: random.Random) -> bytes:
    """Damage to a picture, with the sums of most chunks made to agree again."""
    content = bytearray(mutated(good, chance))
    at = 8
    while chance.random() < 0.9 and at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        end = at + 8 + size
        if end + 4 > len(content):
            break
        content[end : end + 4] = zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(content)
