"""The published network in PyTorch, as it was trained: HuggingFace's ViT behind a 1-D convolution.

Needs the extra `torch` (PyTorch and transformers); nothing else in the project imports either.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from specvit_jax import Config, ModelConfig
from specvit_jax.exchange.names import to_state


class ExtraMissing(RuntimeError):
    """PyTorch or transformers is not installed."""


def package(name: str) -> Any:
    """Returns a package of the extra.

    Raises:
        ExtraMissing: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExtraMissing(
            f"the PyTorch side needs {name}; install the extra: pip install 'specvit-jax[torch]'"
        ) from error


def make_vit(cfg: ModelConfig) -> Any:
    """Returns the network as a torch module from spectra (batch, n_pix) to scaled labels.

    Raises:
        ValueError: HuggingFace's ViT has no such option.
    """
    check(cfg)
    torch, transformers = package("torch"), package("transformers")
    vit = transformers.ViTModel(vit_config(cfg), add_pooling_layer=False)
    vit.embeddings = make_embeddings(cfg)
    regressor = torch.nn.Linear(cfg.embed_dim, len(cfg.label_names))

    class SpecViT(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vit, self.regressor = vit, regressor

        def forward(self, x: Any) -> Any:
            hidden = self.vit(x.unsqueeze(1)).last_hidden_state
            pooled = hidden[:, 0] if cfg.pool == "cls" else hidden.mean(dim=1)
            return self.regressor(pooled)

    return SpecViT()


def check(cfg: ModelConfig) -> None:
    """Refuses options that HuggingFace's ViT with a class token does not have."""
    wanted = {"pool": "cls", "pos_embed": "learned", "chunk_norm": False, "predict_sigma": False}
    for name, value in wanted.items():
        if getattr(cfg, name) != value:
            raise ValueError(f"the PyTorch network has {name} = {value}, found {getattr(cfg, name)}")


def vit_config(cfg: ModelConfig) -> Any:
    """Returns the transformers config; attention is their default (scaled_dot_product_attention)."""
    return package("transformers").ViTConfig(
        hidden_size=cfg.embed_dim,
        num_hidden_layers=cfg.depth,
        num_attention_heads=cfg.num_heads,
        intermediate_size=int(cfg.mlp_ratio * cfg.embed_dim),
        hidden_act={"exact": "gelu", "tanh": "gelu_pytorch_tanh"}[cfg.gelu],
        hidden_dropout_prob=cfg.dropout,
        attention_probs_dropout_prob=cfg.attention_dropout,
        layer_norm_eps=1e-12,
        qkv_bias=True,
    )


def make_embeddings(cfg: ModelConfig) -> Any:
    """Returns patches by a strided Conv1d, class token and position, in the place of ViT's own for images."""
    torch = package("torch")

    class PatchEmbeddings(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.projection = torch.nn.Conv1d(1, cfg.embed_dim, cfg.patch_size, cfg.patch_stride)

        def forward(self, x: Any) -> Any:
            return self.projection(x).transpose(1, 2)

    class Embeddings(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch_embeddings = PatchEmbeddings()
            self.cls_token = torch.nn.Parameter(torch.randn(1, 1, cfg.embed_dim))
            self.position_embeddings = torch.nn.Parameter(torch.randn(1, cfg.num_tokens, cfg.embed_dim))
            self.dropout = torch.nn.Dropout(cfg.dropout)

        def forward(self, x: Any, **_: Any) -> Any:
            tokens = torch.cat((self.cls_token.expand(len(x), -1, -1), self.patch_embeddings(x)), dim=1)
            return self.dropout(tokens + self.position_embeddings)

    return Embeddings()


def load(model: Any, params: dict[str, Any], cfg: ModelConfig) -> None:
    """Puts this project's weights into the torch module, every one of them under its name there."""
    torch = package("torch")
    state = to_state(params, cfg, newer=not hasattr(model.vit, "encoder"))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})


def make_step(
    config: Config, params: dict[str, Any], x: np.ndarray, target: np.ndarray, device: str, compiled: bool
) -> Callable[[int], float]:
    """Returns a call that takes so many training steps on a batch and gives the last loss.

    Forward with dropout, L1 loss, backward, clipping of the gradient, AdamW; under autocast where the config
    asks for bfloat16.
    """
    torch = package("torch")
    model = make_vit(config.model)
    load(model, params, config.model)
    model = model.to(device).train()
    network = torch.compile(model) if compiled else model
    rates = {"lr": config.train.learning_rate, "weight_decay": config.train.weight_decay}
    optimizer = torch.optim.AdamW(model.parameters(), **rates)
    spectra, labels = torch.from_numpy(x).to(device), torch.from_numpy(target).to(device)
    half = config.model.dtype == "bfloat16"

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            out = network(spectra)
        loss = torch.nn.functional.l1_loss(out.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.train.clip_norm)
        optimizer.step()
        return loss

    def steps(count: int) -> float:
        for _ in range(count):
            loss = step()
        return float(loss.item())

    return steps
