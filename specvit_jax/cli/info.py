"""`specvit info`: what a network consists of and costs, and what a weights file is worth."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from crlb.errors import UsageError
from crlb.files.checksum import CHECKSUM, said_of
from crlb.files.records import Json, Record, json_text
from specvit_jax.cli.arguments import Settings
from specvit_jax.network.memory import Memory, memory
from specvit_jax.settings.config import Config, ModelConfig
from specvit_jax.settings.config_file import override
from specvit_jax.settings.presets import preset


@dataclass(frozen=True)
class Info:
    """Shows the parameters, tokens, memory and FLOPs of a preset or of a trained network.

    Of a trained network also its steps, its score and whether its file still holds what was written.

    To copy and paste:
      specvit info paper
      specvit info tiny --json --set model.patch_size=32
      specvit info outputs/run
    """

    network: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PRESET|RUN|WEIGHTS")]
    """paper, small, tiny, survey or teacher; or a run directory or a weights file."""
    json: bool = False
    """Print JSON instead of a table."""
    set: Settings = ()
    """Settings to change; `specvit settings` lists all; default: none."""

    def __call__(self) -> None:
        from specvit_jax.cli.checks import check_labels

        if Path(self.network).exists() or len(Path(self.network).parts) > 1:
            about = self.stored()
        else:
            config = override(preset(self.network), self.set)
            check_labels("model.label_names", config.model.label_names)
            about = describe(config)
        print(json_text(about) if self.json else about.table())

    def stored(self) -> "Description":
        """What a weights file holds; all of it is read and compared with its checksum."""
        from specvit_jax.network.find import find_weights
        from specvit_jax.network.weights import load_weights

        if self.set:
            raise UsageError("--set changes a preset, not a network that is trained; leave it out")
        path = find_weights(self.network)
        return replace(describe(load_weights(path).config), weights=describe_file(path))


@dataclass(frozen=True)
class Parameters(Record):
    """Numbers of parameters: of all, by module, and as the original's documents count them."""

    total: int
    modules: dict[str, int]
    with_unused_pooler: (
        int | None
    )  # of HuggingFace's ViT, which has one; None: the original has no such network

    def line(self) -> str:
        """Why the documents of the original give another number."""
        if self.with_unused_pooler is None:
            return ""
        pooler = self.with_unused_pooler - self.total
        return (
            f"The original's documents count {self.with_unused_pooler:,}: its ViT has {pooler:,} more, in a "
            "pooler that nothing reads.\n"
        )


@dataclass(frozen=True)
class Flops(Record):
    """Floating-point operations of the matrix products."""

    forward_per_spectrum: int
    training_per_step: int


@dataclass(frozen=True)
class WeightsFile(Record):
    """What a weights file says of itself."""

    file: str
    labels: tuple[str, ...]
    about: dict[str, Json]  # step and scores, when it was written
    checksum: bool  # whether it holds the SHA-256 of its content, which was compared

    def line(self) -> str:
        """All of it in a sentence or two."""
        about = ", ".join(f"{name} {value}" for name, value in self.about.items())
        return f"Weights {self.file}: {', '.join(self.labels)}; {about}; {said_of(self.checksum)}."


@dataclass(frozen=True)
class Description(Record):
    """What a network consists of and costs."""

    preset: str
    parameters: Parameters
    tokens: int
    batch_size: int
    conditions: str  # that its spectra are drawn under
    memory_bytes: Memory
    flops: Flops
    weights: WeightsFile | None = None  # of a trained network

    def table(self) -> str:
        """The description as text: parameters by module, then memory and operations."""
        from rich import box
        from rich.table import Table

        from crlb.files.console import console

        table = Table(box=box.SIMPLE, title=f"SpecViT, preset {self.preset}")
        table.add_column("module")
        table.add_column("parameters", justify="right")
        for name, count in self.parameters.modules.items():
            table.add_row(name, f"{count:,}")
        table.add_section()
        table.add_row("total", f"{self.parameters.total:,}")
        page = console()
        with page.capture() as text:
            page.print(table)
        stored = "" if self.weights is None else self.weights.line() + "\n"
        return text.get() + self.parameters.line() + stored + self._costs()

    def _costs(self) -> str:
        memory, flops = self.memory_bytes, self.flops
        return (
            f"{self.tokens} tokens. Conditions of the spectra: {self.conditions}. "
            f"Memory, float32: parameters {memory.parameters / 2**20:.1f} MiB; "
            f"training state {memory.training_state / 2**20:.1f} MiB and, for a batch of {self.batch_size}, "
            f"activations of about {memory.activations_of_a_batch / 2**20:.0f} MiB. Matrix products: "
            f"{flops.forward_per_spectrum / 1e6:.1f} MFLOP a spectrum forward, "
            f"{flops.training_per_step / 1e9:.1f} GFLOP a training step."
        )


def describe(config: Config) -> Description:
    """What a network consists of and costs."""
    from specvit_jax.network.networks import cost, parameter_counts

    modules, per_spectrum = parameter_counts(config.model), cost(config.model)
    total = sum(modules.values())
    batch = config.train.batch_size
    return Description(
        preset=config.preset,
        parameters=Parameters(total, modules, with_pooler(config.model, total)),
        tokens=per_spectrum["tokens"],
        batch_size=batch,
        conditions=config.data.conditions,
        memory_bytes=memory(config.model, batch),
        flops=Flops(per_spectrum["forward_flops"], batch * per_spectrum["train_flops"]),
    )


def with_pooler(model: ModelConfig, total: int) -> int | None:
    """The number of parameters with HuggingFace's pooler; None: the original has no such network."""
    from specvit_jax.exchange.names import check_original

    try:
        check_original(model)
    except UsageError:
        return None
    of_classes = 0 if model.threshold is None else model.embed_dim + 1  # it has an output for each of two
    return total + model.embed_dim * (model.embed_dim + 1) + of_classes


def describe_file(path: Path) -> WeightsFile:
    """What a weights file says of itself; whether its checksum agrees was seen by who loaded it."""
    from crlb.files.text_input import parse_json
    from specvit_jax.network.find import outputs_of, read_metadata

    texts = read_metadata(path)
    return WeightsFile(
        str(path), outputs_of(path)[0], parse_json(texts.get("about", "{}")), CHECKSUM in texts
    )
