"""Pickles of PyTorch read as data: their opcodes are interpreted, nothing is imported and nothing called.

What a pickle would import is kept as its `Name`; what it would make by calling one is a `Made`, a note of the
call, unless the call is among `CALLS`: tensors, ordered dictionaries, numpy's scalars.
"""

import pickletools
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from crlb.errors import DataError

MOST_BYTES = 2**24  # of a pickle; that of a network of 12 blocks with Adam's state has 2^17
MOST_OPCODES = 200_000  # of a pickle: a second; the same network has 40,000
MOST_KEY = 2**31  # of a dictionary: larger whole numbers can be chosen to make it slow
MOST_TEXT = 500  # characters of a name, or of a text that is turned into bytes
MOST_AXES, MOST_SIZE = 8, 2**62  # of a tensor; of an axis, a stride, a storage
# Of Python's own library, what stands for a value; any other name of it has no use in a checkpoint.
HARMLESS = {
    *("argparse.Namespace", "collections.Counter", "collections.OrderedDict", "collections.defaultdict"),
    *("collections.deque", "copyreg._reconstructor", "datetime.date", "datetime.datetime"),
    *("datetime.timedelta", "datetime.timezone", "decimal.Decimal", "fractions.Fraction"),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.PurePath", "pathlib.PurePosixPath"),
    *("pathlib.PureWindowsPath", "pathlib.WindowsPath", "types.SimpleNamespace", "uuid.UUID"),
    "_codecs.encode",
    *(
        f"builtins.{name}"
        for name in (
            *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"),
            *("object", "range", "set", "slice", "str", "tuple"),
        )
    ),
}
OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # of Python 2, as protocols 0 to 2 write them


@dataclass(frozen=True)
class Name:
    """What a pickle would import."""

    text: str  # module.name


@dataclass(eq=False)
class Made:
    """What a pickle would make by a call that was not made.

    Args:
        name: of what would be called.
        args: of the call.
        state: what the object would be given afterwards.
    """

    name: str
    args: tuple[object, ...] = ()
    state: object = None


@dataclass(frozen=True)
class Storage:
    """Numbers outside of the pickle.

    Args:
        key: of the file in the archive.
        kind: class of PyTorch: FloatStorage.
        count: how many they are.
    """

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """Where the numbers of a tensor lie in its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def load_pickle(content: bytes) -> object:
    """What a pickle describes: values, lists, dictionaries, `Tensor`, `Name` and `Made`; nothing is run.

    Raises:
        DataError: no pickle, or a damaged, too large or hostile one.
    """
    if len(content) > MOST_BYTES:
        raise DataError(f"its pickle has {len(content):,} bytes, more than the {MOST_BYTES:,} that are read")
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count > MOST_OPCODES:
                raise DataError(f"its pickle has more than the {MOST_OPCODES:,} opcodes that are read")
            machine.step(opcode.name, argument)
        return machine.stack.pop()
    except DataError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise DataError(f"its pickle is damaged: {type(error).__name__}: {error}") from error


@dataclass
class _Machine:
    """The stack of a pickle, its marks and its memory."""

    stack: list[object] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    def step(self, opcode: str, argument: object) -> None:
        """Does what an opcode says."""
        if opcode in PUSHED:
            self.stack.append(argument)
        elif opcode in EMPTY:
            self.stack.append(EMPTY[opcode]())
        elif opcode in STEPS:
            STEPS[opcode](self, argument)
        elif opcode not in ("PROTO", "FRAME", "STOP"):
            raise DataError(f"its pickle has the opcode {opcode}, which no checkpoint has any use for")

    def since_mark(self) -> list[object]:
        """What was pushed since the last mark."""
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def last(self, count: int) -> list[object]:
        """So many values from the top, in the order they were pushed."""
        found = [self.stack.pop() for _ in range(count)]
        return found[::-1]

    def collect(self, items: list[object], kind: Callable[[list[object]], object]) -> None:
        """Pushes a container of values."""
        self.stack.append(kind(items))

    def extend(self, items: list[object]) -> None:
        """Adds values to the list on the top, or to what stands for one."""
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)
        elif not isinstance(self.stack[-1], Made):
            raise DataError(f"its pickle adds values to a {type(self.stack[-1]).__name__}")

    def set_items(self, items: list[object]) -> None:
        """Adds keys and values to the dictionary on the top, or to what stands for one."""
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(_pairs(items))
        elif not isinstance(self.stack[-1], Made):
            raise DataError(f"its pickle sets keys of a {type(self.stack[-1]).__name__}")

    def keep(self, index: object) -> None:
        """Remembers the top under an index."""
        if _whole(index) >= MOST_KEY:
            raise DataError(f"its pickle remembers a value under {index}")
        self.memo[_whole(index)] = self.stack[-1]

    def recall(self, index: object) -> None:
        """Pushes what was remembered."""
        self.stack.append(self.memo[_whole(index)])

    def name(self, module: object, name: object) -> None:
        """Pushes a name."""
        self.stack.append(_checked(module, name))

    def make(self, name: object, args: object) -> None:
        """Pushes what a call stands for."""
        if not isinstance(name, Name | Made) or not isinstance(args, tuple):
            raise DataError(f"its pickle calls a {type(name).__name__}")
        text = name.text if isinstance(name, Name) else name.name
        known = CALLS.get(text) if isinstance(name, Name) else None
        self.stack.append(Made(text, args) if known is None else known(*args))

    def build(self) -> None:
        """Gives an object its state: what belongs to a dictionary besides its keys is left out."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Made):
            self.stack[-1].state = state
        elif not isinstance(self.stack[-1], dict):
            raise DataError(f"its pickle gives a {type(self.stack[-1]).__name__} a state")

    def stored(self) -> None:
        """Replaces a reference to a storage by it."""
        reference = self.stack.pop()
        if not isinstance(reference, tuple) or len(reference) != 5 or reference[0] != "storage":
            raise DataError("its pickle refers to something outside that is no storage")
        _, kind, key, _, count = reference
        if not isinstance(kind, Name) or not isinstance(key, str):
            raise DataError("its pickle refers to a storage without kind or key")
        self.stack.append(Storage(key, kind.text.rpartition(".")[2], _whole(count)))


def _checked(module: object, name: object) -> Name:
    """A name that a checkpoint may hold.

    Raises:
        DataError: it is none, or of Python's own library and no value.
    """
    if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > MOST_TEXT:
        raise DataError("its pickle has a name that is no short text")
    module = OLD_NAMES.get(module, module)
    found = f"{module}.{name}"
    if module.partition(".")[0] in sys.stdlib_module_names and found not in HARMLESS:
        raise DataError(f"its pickle names {found}, which no checkpoint has any use for: it may be hostile")
    return Name(found)


def _pairs(items: list[object]) -> dict[str | int | bool | None, object]:
    """Keys and values in turn as a dictionary."""
    if len(items) % 2:
        raise DataError("its pickle has a key without a value")
    found: dict[str | int | bool | None, object] = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | None) or (isinstance(key, int) and abs(key) >= MOST_KEY):
            raise DataError(f"its pickle has a dictionary with a key of kind {type(key).__name__}")
        found[key] = value
    return found


def _whole(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < MOST_SIZE:
        raise DataError(f"its pickle needs a whole number, found a {type(value).__name__}")
    return value


def _sizes(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MOST_AXES:
        raise DataError(f"its pickle has a tensor without a shape of at most {MOST_AXES} axes")
    return tuple(_whole(size) for size in value)


def _tensor(storage: object, offset: object, shape: object, stride: object, *_: object) -> Tensor:
    if not isinstance(storage, Storage):
        raise DataError("its pickle has a tensor without a storage")
    found = Tensor(storage, _whole(offset), _sizes(shape), _sizes(stride))
    if len(found.shape) != len(found.stride):
        raise DataError("its pickle has a tensor with a shape and strides of different length")
    return found


def _parameter(tensor: object, *_: object) -> object:
    return tensor


def _ordered(*args: object) -> dict[str | int | bool | None, object]:
    """An ordered dictionary; its keys follow, as in any pickle of Python 3."""
    if args:
        raise DataError("its pickle has an ordered dictionary that is not empty when it is made")
    return {}


def _encoded(text: object, encoding: object = "utf-8") -> bytes:
    """The few bytes of a number, as old protocols write them."""
    if not isinstance(text, str) or len(text) > MOST_TEXT or encoding not in ("latin1", "utf-8"):
        raise DataError("its pickle has bytes in another form than a short text in latin1 or utf-8")
    return text.encode(str(encoding))


def _scalar(kind: object, raw: object) -> object:
    """A number of numpy as one of Python."""
    code = kind.args[0] if isinstance(kind, Made) and kind.name == "numpy.dtype" and kind.args else None
    if code not in ("f8", "f4", "f2", "i8", "i4", "b1", "u1") or not isinstance(raw, bytes):
        raise DataError("its pickle has a scalar of numpy that is no number")
    found: object = np.frombuffer(raw, f"<{code}", count=1)[0].item()
    return found


def _same(value: object = ()) -> object:
    return value


# What a checkpoint calls, and what stands for it here.
CALLS: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _same,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": lambda *_: {},
    "builtins.set": _same,
    "builtins.frozenset": _same,
    "_codecs.encode": _encoded,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
}
# Opcodes that push their argument.
PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
EMPTY: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}
STEPS: dict[str, Callable[[_Machine, object], object]] = {
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "TUPLE": lambda machine, _: machine.collect(machine.since_mark(), tuple),
    "TUPLE1": lambda machine, _: machine.collect(machine.last(1), tuple),
    "TUPLE2": lambda machine, _: machine.collect(machine.last(2), tuple),
    "TUPLE3": lambda machine, _: machine.collect(machine.last(3), tuple),
    "LIST": lambda machine, _: machine.collect(machine.since_mark(), list),
    "FROZENSET": lambda machine, _: machine.collect(machine.since_mark(), list),
    "DICT": lambda machine, _: machine.collect(machine.since_mark(), _pairs),
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.keep),
    "MEMOIZE": lambda machine, _: machine.keep(len(machine.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "GLOBAL": lambda machine, text: machine.name(*str(text).split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.last(2)),
    "REDUCE": lambda machine, _: machine.make(*machine.last(2)),
    "NEWOBJ": lambda machine, _: machine.make(*machine.last(2)),
    "NEWOBJ_EX": lambda machine, _: machine.make(*machine.last(3)[:2]),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.stored(),
}
