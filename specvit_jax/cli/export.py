"""`specvit export`: a trained network for other programs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from crlb.files.input import check_inputs
from crlb.files.output import check_outputs
from specvit_jax.cli.arguments import Out
from specvit_jax.network.find import find_weights


@dataclass(frozen=True)
class Export:
    """Writes a trained network for other programs: ONNX, or the original PyTorch system.

    onnx: flux in, labels and sigma in their units out, with all scaling; any number of spectra at once. Of a
    network that tells two classes apart the probability comes out.
    torch: a checkpoint that the original loads. safetensors: the same arrays under HuggingFace's names.
    The latter two are for networks that the original can have: class token, learned or rotary position.

    To copy and paste:
      specvit export tiny --format onnx --out tiny.onnx
      specvit export runs/paper --format torch --out paper.pt
      specvit export runs/paper --format safetensors --out paper.safetensors
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|WEIGHTS|PRESET")]
    """Run directory (its best weights are used), a weights file, or tiny for the shipped network."""
    format: Literal["onnx", "torch", "safetensors"]
    """What to write; onnx needs the extra of that name."""
    out: Out
    """The file to create."""
    overwrite: bool = False
    """Allow the file to be replaced."""

    def __call__(self) -> None:
        path = find_weights(self.run)
        check_outputs({"--out": self.out}, {"RUN": path}, self.overwrite)
        check_inputs({"RUN": path})
        for note in self._write(path):
            print(f"note: {note}", file=sys.stderr)
        print(f"wrote {self.out} ({self.out.stat().st_size / 1e6:.1f} MB)")

    def _write(self, path: Path) -> list[str]:
        """Writes the file; returns notes for the user."""
        from specvit_jax.exchange.graph import check_onnx

        if self.format == "onnx":
            check_onnx()
        from specvit_jax.exchange.onnx_network import save_onnx
        from specvit_jax.exchange.original_export import save_checkpoint, save_named
        from specvit_jax.network.find import trained_steps
        from specvit_jax.network.weights import load_weights

        weights = load_weights(path)
        if self.format == "onnx":
            save_onnx(self.out, weights, self.overwrite)
            return []
        if self.format == "torch":
            return save_checkpoint(self.out, weights, trained_steps(path), self.overwrite)
        return save_named(self.out, weights)
