"""Every setting of a run: frozen dataclasses, the three presets, YAML in and out."""

import dataclasses
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from crlb.errors import DataError, UsageError


def _check_positive(section: Any, *keys: str) -> None:
    name = type(section).__name__.removesuffix("Config").lower()
    for key in keys:
        if not getattr(section, key) > 0:
            raise UsageError(f"{name}.{key} must be positive, got {getattr(section, key)}")


@dataclass(frozen=True)
class ModelConfig:
    """The network. Words as in timm; defaults are the published network."""

    input_size: int = 4096  # pixels
    patch_size: int = 16  # pixels of one token
    stride: int | None = None  # pixels from token to token; null: patch_size, tokens side by side
    tokenizer: Literal["conv", "linear"] = "conv"
    embed_dim: int = 256
    depth: int = 6
    num_heads: int = 8
    mlp_ratio: float = 4.0
    dropout: float = 0.1  # after the position and at the end of each branch
    attention_dropout: float = 0.1  # on the attention weights
    pool: Literal["cls", "mean", "flat"] = "cls"  # flat: the head reads every token by its place
    pos_embed: Literal["learned", "none"] = "learned"
    gelu: Literal["exact", "tanh"] = "exact"
    init: Literal["published", "scaled"] = "published"
    token_std: float = 1.0  # standard deviation the class and position tokens start with
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the matrix products; parameters are float32
    label_names: tuple[str, ...] = ("log_g",)  # one output each, in this order

    def __post_init__(self) -> None:
        _check_positive(self, "input_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
        if self.stride is not None:
            _check_positive(self, "stride")
        if self.patch_size > self.input_size:
            raise UsageError(
                f"model.patch_size must be at most input_size {self.input_size}, got {self.patch_size}"
            )
        if self.embed_dim % self.num_heads:
            raise UsageError(f"model.num_heads must divide embed_dim {self.embed_dim}, got {self.num_heads}")
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"model.{name} must lie in [0, 1), got {getattr(self, name)}")
        if not self.label_names or len(set(self.label_names)) < len(self.label_names):
            raise UsageError(f"model.label_names must name each label once, got {self.label_names}")

    @property
    def step(self) -> int:
        """Pixels from one token to the next."""
        return self.patch_size if self.stride is None else self.stride

    @property
    def num_patches(self) -> int:
        """Tokens cut from a spectrum; pixels after the last whole window are not read."""
        return (self.input_size - self.patch_size) // self.step + 1

    @property
    def num_tokens(self) -> int:
        """Tokens the blocks see: the patches, and the class token when it is the one pooled."""
        return self.num_patches + (self.pool == "cls")


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained. The loss is in scaled label units."""

    steps: int = 100_000
    batch_size: int = 256  # over all devices
    learning_rate: float = 3e-4  # after the warm-up
    min_lr: float = 1e-5  # at the end of the cosine
    warmup: float = 0.02  # fraction of the steps over which the learning rate rises from 0
    weight_decay: float = 0.01
    clip_norm: float = 0.5  # of the gradient over all parameters
    loss: Literal["l1", "mse", "huber"] = "l1"
    huber_delta: float = 1.0  # in scaled label units
    seed: int = 42
    log_every: int = 50  # steps; the loss is fetched from the device this often
    eval_every: int = 500  # steps
    checkpoint_every: int = 500  # steps; what is saved is scored as well

    def __post_init__(self) -> None:
        _check_positive(self, "steps", "batch_size", "learning_rate", "clip_norm", "huber_delta")
        _check_positive(self, "log_every", "eval_every", "checkpoint_every")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"train.warmup is a fraction of the steps in [0, 1), got {self.warmup}")
        if not 0 <= self.min_lr <= self.learning_rate:
            raise UsageError(
                f"train.min_lr must lie in [0, learning_rate = {self.learning_rate}], got {self.min_lr}"
            )


@dataclass(frozen=True)
class DataConfig:
    """Where spectra come from and how they are observed."""

    source: str = "emulator"  # or an HDF5 file of clean spectra (pfsspec layout)
    grid: str | None = None  # grid file of the emulator; null: the embedded one
    noise: str | None = None  # noise curves; null: the built-in ones
    mag: tuple[float, float] = (20.5, 22.5)  # magnitudes drawn uniformly
    exptime_s: float = 900.0  # of one exposure
    n_exp: int = 12
    seeing_arcsec: float = 0.8
    input_scaling: Literal["pixel", "overall"] = "pixel"  # one mean and scale per pixel, or one for all
    n_scaling: int = 2000  # noisy spectra the input scaling is measured on
    n_validation: int = 2000  # noisy spectra, drawn once

    def __post_init__(self) -> None:
        _check_positive(self, "exptime_s", "n_exp", "seeing_arcsec", "n_scaling", "n_validation")
        if not self.mag[0] <= self.mag[1]:
            raise UsageError(f"data.mag must be (bright, faint) with bright <= faint, got {self.mag}")


@dataclass(frozen=True)
class Config:
    """A run: network, training, data."""

    preset: str = "paper"  # the preset it started from
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)


# paper: the published network and training: one A100, 31 h for 200 epochs of 1M spectra; R2 0.71
PAPER = Config(
    preset="paper",
    train=TrainConfig(steps=781_400, eval_every=2000, checkpoint_every=2000),
)
SMALL = Config(
    preset="small",
    model=ModelConfig(embed_dim=384, num_heads=6),
    train=PAPER.train,
)
# tiny: learns on two CPU cores. A head that reads every token by its place learns ten times faster than one
# that reads their mean, and other labels learned beside log g help it a little (experiments/LOG.md).
TINY = Config(
    preset="tiny",
    model=ModelConfig(
        patch_size=64,
        embed_dim=64,
        depth=3,
        num_heads=4,
        dropout=0.0,
        attention_dropout=0.0,
        pool="flat",
        gelu="tanh",
        init="scaled",
        token_std=0.02,
        label_names=("log_g", "T_eff", "M_H"),
    ),
    train=TrainConfig(
        steps=9_000,
        batch_size=128,
        learning_rate=2e-3,
        clip_norm=1.0,
        loss="mse",
        eval_every=250,
        checkpoint_every=250,
    ),
)
PRESETS: dict[str, Config] = {config.preset: config for config in (PAPER, SMALL, TINY)}


def preset(name: str) -> Config:
    """The preset of that name.

    Raises:
        UsageError: no such preset.
    """
    if name not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def override(config: Config, settings: Iterable[str]) -> Config:
    """The config with dotted settings applied, all at once: ``["train.steps=100", "model.pool=mean"]``.

    Raises:
        UsageError: not of the form section.key=value, unknown section or key, or a value of another type.
    """
    changes: dict[str, dict[str, Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot:
            raise UsageError(f"a setting must read section.key=value, say train.steps=100; got {setting!r}")
        changes.setdefault(section, {})[key] = _parse_yaml(text)
    sections = {"model": config.model, "train": config.train, "data": config.data}
    for section in changes:
        if section not in sections:
            raise UsageError(f"a setting's section must be one of {', '.join(sections)}, got {section!r}")
    return replace(
        config, **{section: _updated(sections[section], new, section) for section, new in changes.items()}
    )


def to_yaml(config: Config) -> str:
    """The config as YAML, every setting written out."""
    plain = dataclasses.asdict(config)
    for section in plain.values():
        if isinstance(section, dict):
            section.update({key: list(value) for key, value in section.items() if isinstance(value, tuple)})
    return yaml.safe_dump(plain, sort_keys=False)


def from_yaml(text: str) -> Config:
    """The config that ``to_yaml`` wrote; keys left out keep the value of the preset named in it.

    Raises:
        UsageError: an unknown or duplicate key, or a value of another type than its field's.
        DataError: not YAML.
    """
    plain = _parse_yaml(text)
    if not isinstance(plain, dict):
        raise DataError(f"a config must be a mapping of preset, model, train and data, got {plain!r}")
    config = preset(plain.pop("preset", "paper"))
    sections = {"model": config.model, "train": config.train, "data": config.data}
    for section, new in plain.items():
        if section not in sections:
            raise UsageError(f"config key must be one of preset, {', '.join(sections)}, got {section!r}")
        if not isinstance(new, dict):
            raise UsageError(f"config section {section} must be a mapping, got {new!r}")
    return replace(config, **{name: _updated(sections[name], new, name) for name, new in plain.items()})


class _TextLoader(yaml.BaseLoader):
    """Reads every scalar as text, so that its field's type decides (1e-4, on, 010); no duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise UsageError(f"config key {key!r} appears twice; keep one")
        return super().construct_mapping(node, deep=deep)


def _parse_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_TextLoader)
    except yaml.YAMLError as error:
        raise DataError(f"a config must be YAML; {' '.join(str(error).split())}") from error


def _updated(section: Any, new: dict[str, Any], name: str) -> Any:
    hints = typing.get_type_hints(type(section))
    for key in new:
        if key not in hints:
            raise UsageError(f"{name} has no setting {key!r}; it has {', '.join(hints)}")
    return replace(
        section, **{key: _convert(value, hints[key], f"{name}.{key}") for key, value in new.items()}
    )


def _convert(value: Any, hint: Any, name: str) -> Any:
    """Text, or a list of texts, as the field's type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:  # T | None
        return None if value in ("null", "~", "") else _convert(value, args[0], name)
    if origin is tuple:
        items = value if isinstance(value, list) else str(value).split(",")
        if args[-1] is not Ellipsis and len(items) != len(args):
            raise UsageError(f"{name} needs {len(args)} values, got {len(items)}: {value}")
        return tuple(_convert(item, args[0], name) for item in items)
    if origin is Literal:
        if value not in args:
            raise UsageError(f"{name} must be one of {', '.join(args)}, got {value!r}")
        return value
    if not isinstance(value, str):
        raise UsageError(f"{name} must be one {hint.__name__}, got {value!r}")
    try:
        return hint(value)
    except ValueError as error:
        raise UsageError(f"{name} must be of type {hint.__name__}, got {value!r}") from error
