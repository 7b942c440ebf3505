"""`specvit info`: what a network consists of and costs."""

from dataclasses import dataclass

from crlb.files.records import Record, json_text
from specvit_jax.cli.arguments import Preset, Settings
from specvit_jax.network.memory import Memory, memory
from specvit_jax.settings.config import Config, preset
from specvit_jax.settings.config_file import override


@dataclass(frozen=True)
class Info:
    """Shows a preset's parameters, tokens, memory and FLOPs.

    To copy and paste:
      specvit info paper
      specvit info tiny --json --set model.patch_size=32
    """

    preset: Preset
    """paper, small, tiny, survey or teacher."""
    json: bool = False
    """Print JSON instead of a table."""
    set: Settings = ()
    """Settings to change."""

    def __call__(self) -> None:
        from specvit_jax.cli.checks import check_labels

        config = override(preset(self.preset), self.set)
        check_labels("model.label_names", config.model.label_names)
        about = describe(config)
        print(json_text(about) if self.json else about.table())


@dataclass(frozen=True)
class Parameters(Record):
    """Numbers of parameters: of all, and by module."""

    total: int
    modules: dict[str, int]


@dataclass(frozen=True)
class Flops(Record):
    """Floating-point operations of the matrix products."""

    forward_per_spectrum: int
    training_per_step: int


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
        memory, flops = self.memory_bytes, self.flops
        return text.get() + (
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
    batch = config.train.batch_size
    return Description(
        preset=config.preset,
        parameters=Parameters(sum(modules.values()), modules),
        tokens=per_spectrum["tokens"],
        batch_size=batch,
        conditions=config.data.conditions,
        memory_bytes=memory(config.model, batch),
        flops=Flops(per_spectrum["forward_flops"], batch * per_spectrum["train_flops"]),
    )
