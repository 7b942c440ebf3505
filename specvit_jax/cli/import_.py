"""`specvit import`: a checkpoint of the original PyTorch system taken over."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from crlb.errors import ConfigError
from crlb.files.input import check_inputs
from crlb.files.output import check_outputs, writing
from specvit_jax.cli.arguments import File

if TYPE_CHECKING:
    from specvit_jax.exchange.original import Given


@dataclass(frozen=True)
class Import:
    """Takes over a checkpoint of the original PyTorch system: Lightning's .ckpt, or a state dict.

    PyTorch is not needed, and nothing in the file is run. A network of two classes, giants and dwarfs,
    becomes one that says P_log_g_above_2.5, the probability of the second. The run that is written is read by
    specvit predict, evaluate, info, export, and by train as --init-weights.

    To copy and paste:
      specvit import epoch=128.ckpt --out runs/original --label-mean 2.9975 --label-std 1.1683
      specvit import state.pt --out runs/original --config vit.yaml --label-mean 2.9975 --label-std 1.1683
    """

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CKPT")]
    """File of Lightning or torch.save, PyTorch 1.6 or later."""
    out: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Run directory to write the weights into, as weights/best.safetensors."""
    label_mean: tuple[float, ...] = ()
    """What was subtracted from every label for the training; of minmax the lowest. [K for T_eff, dex];
    default: as the checkpoint has it."""
    label_std: tuple[float, ...] = ()
    """What every label was divided by then; of minmax the range. [K for T_eff, dex]; default: as the
    checkpoint has it."""
    labels: tuple[str, ...] = ()
    """Names of the labels, where the checkpoint has none: log_g, say; default: its own."""
    config: File = None
    """The original's YAML, where the checkpoint holds no hyper_parameters; default: none is needed."""
    overwrite: bool = False
    """Allow the weights to be replaced."""

    def __call__(self) -> None:
        from specvit_jax.cli.checks import check_labels

        weights = self.out / "weights" / "best.safetensors"
        check_labels("--labels", self.labels)
        inputs = {"CKPT": self.checkpoint, "--config": self.config}
        check_inputs(inputs)
        if weights.parent.is_dir():
            check_outputs({"--out": weights}, inputs, self.overwrite)
        from specvit_jax.exchange.checkpoint_file import read_checkpoint
        from specvit_jax.exchange.original import imported
        from specvit_jax.network.weights import save_weights

        found = read_checkpoint(self.checkpoint)
        network = imported(found, self._given())
        with writing(weights.parent):
            weights.parent.mkdir(parents=True, exist_ok=True)
        about = {"step": found.counts.get("global_step", 0), "epoch": found.counts.get("epoch", 0)}
        save_weights(weights, network, about)
        print(f"wrote {weights}: {', '.join(network.config.model.output_names)}")

    def _given(self) -> "Given":
        """What is said besides the checkpoint."""
        from crlb.files import yaml_input
        from crlb.files.text_input import read_text
        from specvit_jax.exchange.original import Given
        from specvit_jax.settings.config_file import parse_yaml

        plain = None
        if self.config is not None:
            found = parse_yaml(read_text(self.config, "config", yaml_input.MOST_BYTES))
            if not isinstance(found, dict):
                raise ConfigError(f"config {self.config} must be a mapping of model, data and noise")
            plain = found
        return Given(plain, self.labels, self.label_mean, self.label_std)
