"""`specvit info`: what a network consists of and costs."""

import json as json_module
from dataclasses import dataclass
from typing import Any

from specvit_jax.cli.arguments import Preset, Settings
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
    """paper, small or tiny."""
    json: bool = False
    """Print JSON instead of a table."""
    set: Settings = ()
    """Settings to change."""

    def __call__(self) -> None:
        config = override(preset(self.preset), self.set)
        about = describe(config)
        if self.json:
            print(json_module.dumps(about, indent=1))
        else:
            _print_info(about)


def describe(config: Config) -> dict[str, Any]:
    """What a network consists of and costs: parameters by module, tokens, memory in bytes, FLOPs."""
    from specvit_jax.network.networks import cost, parameter_counts

    modules, per_spectrum = parameter_counts(config.model), cost(config.model)
    total, batch = sum(modules.values()), config.train.batch_size
    return {
        "preset": config.preset,
        "parameters": {"total": total, "modules": modules},
        "tokens": per_spectrum["tokens"],
        "batch_size": batch,
        "memory_bytes": {
            "parameters": 4 * total,
            "training_state": 16 * total,  # parameters, gradient and the two moments of AdamW, float32
            "activations_of_a_batch": batch * per_spectrum["activation_bytes"],
        },
        "flops": {
            "forward_per_spectrum": per_spectrum["forward_flops"],
            "training_per_step": batch * per_spectrum["train_flops"],
        },
    }


def _print_info(about: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"SpecViT, preset {about['preset']}")
    table.add_column("module")
    table.add_column("parameters", justify="right")
    for name, count in about["parameters"]["modules"].items():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("total", f"{about['parameters']['total']:,}")
    console = Console()
    console.print(table)
    memory, flops, batch = about["memory_bytes"], about["flops"], about["batch_size"]
    console.print(
        f"{about['tokens']} tokens. Memory, float32: parameters {memory['parameters'] / 2**20:.1f} MiB; "
        f"training state {memory['training_state'] / 2**20:.1f} MiB and, for a batch of {batch}, "
        f"activations of about {memory['activations_of_a_batch'] / 2**20:.0f} MiB. Matrix products: "
        f"{flops['forward_per_spectrum'] / 1e6:.1f} MFLOP a spectrum forward, "
        f"{flops['training_per_step'] / 1e9:.1f} GFLOP a training step.",
        soft_wrap=True,
        highlight=False,
    )
