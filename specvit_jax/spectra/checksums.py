"""Whether files of spectra are as they were written, asked once in a run, since it takes a while."""

from pathlib import Path

from crlb.errors import DataError
from crlb.files.hdf5 import open_input
from crlb.files.hdf5_checksum import check_seal
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra.shard_set import MANIFEST, read_set
from specvit_jax.spectra.shards import DATASET, INDEX, KIND, count_rows, find_shards


def check_sums(config: DataConfig, part: slice = slice(None)) -> str:
    """Compares files to train on with their checksums, whatever their size; how many have one, in words.

    Shards are compared as files with the manifest of their set, others by the SHA-256 of their content. Files
    that are used in part only are not compared.

    Args:
        config: names the files.
        part: those of them that this process looks at.

    Raises:
        MissingInputError, DataError: as `find_shards`; or a file is not as it was written.
    """
    if config.source == "emulator":
        return ""
    paths = find_shards(config.source)
    whole = paths if config.rows is None else _whole(paths, config.rows)
    paths, used = [path for path in paths if path in whole][part], len(paths[part])
    have = sum(map(_agrees, paths))
    line = f"checksums: {have} of {len(paths)} file(s) of spectra agree, {len(paths) - have} have none"
    return line if used == len(paths) else f"{line}; files used in part (data.rows) are not compared"


def _whole(paths: list[Path], rows: int) -> set[Path]:
    """Those of the files whose rows are all among the first `rows`."""
    used, lengths = count_rows(paths, rows), count_rows(paths)
    return {path for path, use, length in zip(paths, used, lengths, strict=True) if use == length}


def _agrees(path: Path) -> bool:
    """Whether a file has a checksum, which then agrees."""
    folder, name = path.parent.parent, path.parent.name
    if path.name == DATASET and (folder / MANIFEST).is_file() and (folder / INDEX).is_file():
        made = read_set(folder)
        if name in made.done:
            if what := made.wrong(name):
                raise DataError(f"{what}; write it again with specvit simulate --resume")
            return True
    with open_input(path, KIND) as file:
        return check_seal(file)
