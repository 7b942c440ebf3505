"""The pfsspec file layout: HDF5 arrays of spectra beside a pandas table of labels, read without unpickling.

    spectrumdataset/wave, wave_edges                   vacuum Å
    dataset/arrays/{flux,error,noisy,mask}/value       (n, n_pix)
    dataset/params/table                               what `pandas.read_hdf(file)` opens

Pandas keeps the column names of a table as pickles, and `pandas.read_hdf` executes them. Here such a pickle
is taken apart with a whitelist of string and list opcodes instead; anything else in it is refused.
"""

import pickle
import pickletools
from collections.abc import Mapping

import h5py
import numpy as np
from jaxtyping import Float

from crlb.errors import DataError
from crlb.files.hdf5 import dataset, read_numbers
from crlb.files.hdf5_attributes import attribute, text, write_texts
from crlb.files.memory import check_memory

WAVE, WAVE_EDGES, TABLE = "spectrumdataset/wave", "spectrumdataset/wave_edges", "dataset/params/table"
ARRAYS = {name: f"dataset/arrays/{name}/value" for name in ("flux", "error", "noisy", "mask")}
CONDITIONS = "conditions"  # attribute of a file: the conditions its spectra were drawn under, as text
WAVE_TOLERANCE = 0.004  # Å, a hundredth of a pixel; a float32 wavelength is good to 0.0005 Å
NAME_OPCODES = {"UNICODE", "STRING"}  # protocol 0: the names themselves ...
LIST_OPCODES = {"MARK", "LIST", "PUT", "APPEND", "STOP"}  # ... and the list around them
ROWS_PER_CHUNK = 4096  # of the table; PyTables wants it chunked


def read_wave(file: h5py.File, expected: Float[np.ndarray, " n_pix"] | None) -> Float[np.ndarray, " n_pix"]:
    """Wavelengths of the pixels (vacuum Å), checked against `expected` to a hundredth of a pixel.

    Raises:
        DataError: the wavelengths are others, or are not increasing numbers.
    """
    wave = read_numbers(file, WAVE, ("n_pix",)).astype(np.float64)
    if not (np.isfinite(wave).all() and (np.diff(wave) > 0).all()):
        raise DataError(f"'{WAVE}' must hold finite, increasing wavelengths")
    if expected is None:
        return wave
    if len(wave) != len(expected) or np.abs(wave - expected).max() > WAVE_TOLERANCE:
        raise DataError(
            f"wavelengths must be the {len(expected)} pixels from {expected[0]:.3f} to {expected[-1]:.3f} Å, "
            f"found {len(wave)} from {wave[0]:.3f} to {wave[-1]:.3f} Å; resample the spectra"
        )
    return wave


def read_array(
    file: h5py.File, name: str, shape: tuple[int, int], part: slice = slice(None)
) -> Float[np.ndarray, "n n_pix"]:
    """One array of `ARRAYS`, or a part of its rows, as float32, spectra by pixels.

    Raises:
        DataError: the array is missing, has another shape, or numbers beyond float32.
    """
    found = dataset(file, ARRAYS[name]).shape
    if found != shape:
        raise DataError(f"'{ARRAYS[name]}' must have shape {shape} (labels, wave), found {found}")
    values = read_numbers(file, ARRAYS[name], ("n", "n_pix"), part)
    with np.errstate(over="ignore"):
        found32 = values.astype(np.float32, copy=False)
    if (beyond := np.isinf(found32) & np.isfinite(values)).any():
        row, pixel = np.argwhere(beyond)[0]
        raise DataError(
            f"'{ARRAYS[name]}' must fit into float32, found {values[row, pixel]:g} in row {row}, "
            f"pixel {pixel}"
        )
    return found32


def read_usable(
    file: h5py.File, shape: tuple[int, int], part: slice = slice(None)
) -> Float[np.ndarray, "n n_pix"] | None:
    """1 for pixels that can be used, 0 for those that the mask marks; None: no mask, or none is marked.

    Of all rows, or of a part of them.

    Raises:
        DataError: the mask has another shape.
    """
    if ARRAYS["mask"] not in file:
        return None
    marked = read_array(file, "mask", shape, part) != 0
    return 1 - marked.astype(np.float32) if marked.any() else None


def read_conditions(file: h5py.File) -> str | None:
    """The conditions that the spectra of a file were drawn under, as text; None: the file does not say."""
    return text(file, CONDITIONS)


def read_table(file: h5py.File, part: slice = slice(None)) -> dict[str, Float[np.ndarray, " n"]]:
    """The numeric columns of the label table, or of a part of its rows, in float64.

    Columns of text or dates are left out.

    Raises:
        DataError: the table is missing, is not a table, has no rows, or has no names of columns, or names
            that are more than a list of strings.
    """
    table = _table(file)
    if table.dtype.hasobject:
        raise DataError(f"'{TABLE}' must hold numbers and texts of fixed length, found {table.dtype}")
    n = len(range(*part.indices(len(table))))
    check_memory(n * (table.dtype.itemsize + 8 * len(table.dtype.names)), f"'{TABLE}' of {n} rows")
    rows, columns = table[part], {}
    for field in table.dtype.names[1:]:  # the first one is the index
        names = column_names(attribute(table, f"{field}_kind"), field)
        block = rows[field].reshape(len(rows), -1)
        if block.shape[1] != len(names):
            raise DataError(f"block '{field}' has {block.shape[1]} columns but {len(names)} names")
        if block.dtype.kind in "fiub":
            columns.update({name: block[:, i].astype(np.float64) for i, name in enumerate(names)})
    return columns


def table_length(file: h5py.File) -> int:
    """Rows of the label table: the number of spectra in a file.

    Raises:
        DataError: the table is missing, is not a table, or has no rows.
    """
    return len(_table(file))


def _table(file: h5py.File) -> h5py.Dataset:
    table = dataset(file, TABLE)
    if table.dtype.names is None or table.ndim != 1 or not len(table):
        raise DataError(f"'{TABLE}' must be a table with at least one row, found {table.dtype}")
    return table


def column_names(pickled: object, field: str) -> list[str]:
    """The strings of a pickled list of strings, found by reading its opcodes, never by running them.

    Raises:
        DataError: the pickle is damaged, or holds anything but a list of strings.
    """
    if not isinstance(pickled, bytes):
        raise DataError(f"attribute '{field}_kind' of the label table must hold its column names")
    names = []
    try:
        for opcode, argument, _ in pickletools.genops(bytes(pickled)):
            if opcode.name in NAME_OPCODES:
                names.append(str(argument))
            elif opcode.name not in LIST_OPCODES:
                raise DataError(
                    f"attribute '{field}_kind' of the label table is a pickle with {opcode.name}, refused: "
                    "only a list of column names is read, because a pickle can run any program"
                )
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"attribute '{field}_kind' of the label table is damaged: {error}") from error
    return names


def create(
    file: h5py.File, wave: Float[np.ndarray, " n_pix"], n: int, arrays: tuple[str, ...]
) -> dict[str, h5py.Dataset]:
    """Lays out an empty data set of `n` spectra and returns its arrays by name, to be filled.

    Contiguous, not chunked: rows are then read in any order at the speed of the disk.
    """
    write_texts(file, CLASS="GROUP", VERSION="1.0", PYTABLES_FORMAT_VERSION="2.1")
    file.attrs["TITLE"] = h5py.Empty("S1")
    middle = 0.5 * (wave[1:] + wave[:-1])
    file[WAVE] = wave
    file[WAVE_EDGES] = np.concatenate([[2 * wave[0] - middle[0]], middle, [2 * wave[-1] - middle[-1]]])
    kinds = {name: np.uint8 if name == "mask" else np.float32 for name in arrays}
    created = {name: file.create_dataset(ARRAYS[name], (n, len(wave)), kinds[name]) for name in arrays}
    if "mask" in created:
        write_texts(created["mask"], meaning="0 = usable pixel")
    return created


def write_table(file: h5py.File, columns: Mapping[str, Float[np.ndarray, " n"]]) -> None:
    """Writes float64 columns as a table that `pandas.read_hdf(file)` opens, without pandas or PyTables.

    Attributes as pandas 1 to 3 writes them with `DataFrame.to_hdf(format="table")`.
    """
    names, block = list(columns), np.stack(list(columns.values()), axis=1).astype(np.float64)
    row = np.dtype([("index", "<i8"), ("values_block_0", "<f8", (len(names),))])
    rows = np.empty(len(block), row)
    rows["index"], rows["values_block_0"] = np.arange(len(block)), block
    table = file.create_dataset(TABLE, data=rows, maxshape=(None,), chunks=(min(len(rows), ROWS_PER_CHUNK),))
    fields = {"index": np.int64(0), "values_block_0": np.float64(0)}
    write_texts(table, CLASS="TABLE", VERSION="2.7", index_kind="integer", values_block_0_dtype="float64")
    write_texts(table, values_block_0_kind=_pickled(names), values_block_0_meta=_pickled(None))
    table.attrs.update(TITLE=h5py.Empty("S1"), NROWS=np.int64(len(block)))
    for i, (name, fill) in enumerate(fields.items()):
        write_texts(table, **{f"FIELD_{i}_NAME": name})
        table.attrs[f"FIELD_{i}_FILL"] = fill
    group = table.parent
    write_texts(group, CLASS="GROUP", VERSION="1.0", pandas_type="frame_table", table_type="appendable_frame")
    write_texts(group, pandas_version="0.15.2")  # of the unchanged layout; pandas before 3.1 asks for it
    write_texts(group, encoding="UTF-8", errors="strict", nan_rep=_pickled("nan"), data_columns=_pickled([]))
    write_texts(group, index_cols=_pickled([(0, "index")]), values_cols=_pickled(["values_block_0"]))
    write_texts(group, non_index_axes=_pickled([(1, names)]))
    write_texts(
        group, info=_pickled({1: {"names": [None], "type": "Index"}, "index": {}, "values_block_0": {}})
    )
    group.attrs.update(TITLE=h5py.Empty("S1"), levels=np.int64(1))


def _pickled(value: object) -> bytes:
    return pickle.dumps(value, protocol=0)
