"""An ONNX graph as it is built: nodes that follow each other, and constants."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from crlb.errors import UsageError

OPSET = 20  # of ONNX: the first with Gelu
IR_VERSION = 10  # of the file: read by onnxruntime 1.18 and later


def check_onnx() -> None:
    """Refuses to go on without the package that writes ONNX.

    Raises:
        UsageError: it is not installed.
    """
    if find_spec("onnx") is None:
        raise UsageError(
            "--format onnx needs the package onnx, which is not installed; "
            "install the extra: pip install 'specvit-jax[onnx]'"
        )


class Graph:
    """Nodes in the order they are computed; every value has a name, which the methods return."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def node(self, kind: str, inputs: Sequence[str], count: int = 1, **attributes: Any) -> Any:
        """Adds a node; returns the name of its output, or of all where there are several."""
        import onnx.helper

        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if count == 1 else names

    def constant(self, value: object, kind: type | None = None) -> str:
        """The name of an array; equal ones are kept once. Numbers are float32, whole ones int64."""
        import onnx.numpy_helper

        array = np.asarray(value, kind)
        array = np.ascontiguousarray(array, np.int64 if array.dtype.kind in "iu" else np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.known:
            self.known[key] = f"constant_{len(self.known)}"
            self.constants.append(onnx.numpy_helper.from_array(array, self.known[key]))
        return self.known[key]

    def add(self, one: str, other: str) -> str:
        """Their sum."""
        return str(self.node("Add", (one, other)))

    def times(self, one: str, other: str) -> str:
        """Their product, number by number."""
        return str(self.node("Mul", (one, other)))

    def matmul(self, one: str, other: str) -> str:
        """Their product as matrices."""
        return str(self.node("MatMul", (one, other)))

    def total(self, value: str, axis: int, keep: bool = True) -> str:
        """The sum over an axis."""
        return str(self.node("ReduceSum", (value, self.constant([axis], int)), keepdims=int(keep)))

    def reshaped(self, value: str, shape: Sequence[int]) -> str:
        """In another shape; 0: as long as it was, -1: what is left."""
        return str(self.node("Reshape", (value, self.constant(shape, int))))

    def sliced(self, value: str, start: int, end: int, axis: int = 1) -> str:
        """A part of an axis."""
        places = (self.constant([one], int) for one in (start, end, axis))
        return str(self.node("Slice", (value, *places)))

    def dense(self, value: str, layer: Mapping[str, Any]) -> str:
        """A linear map of the last axis."""
        return self.add(self.matmul(value, self.constant(layer["kernel"])), self.constant(layer["bias"]))
