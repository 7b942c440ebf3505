"""Networks of the original PyTorch system: from its checkpoints, and as checkpoints for it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from crlb.errors import DataError, UsageError
from specvit_jax.exchange.checkpoint_file import Checkpoint
from specvit_jax.exchange.names import BLOCKS, CLASSES, PATCHES, POSITION, from_state
from specvit_jax.network.networks import make_network
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights
from specvit_jax.settings.config import Config, ModelConfig
from specvit_jax.settings.config_file import parse
from specvit_jax.settings.original_keys import LABEL, THRESHOLD

# What its config says of a network and of what it was trained on; the rest is of the training.
READ = {
    "model": (
        *("image_size", "patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
        *("stride_size", "stride_ratio", "proj_fn", "hidden_dropout_prob", "attention_probs_dropout_prob"),
        *("pos_encoding_type", "rope_base"),
    ),
    "data": ("file_path", "param", "label_norm"),
    "noise": ("noise_level",),
}
MOST_PIXELS = 2**18  # of a spectrum
UNSTATED = "spectra that the checkpoint does not name"
Plain = Mapping[str, object]


@dataclass(frozen=True)
class Given:
    """What a user says besides the checkpoint; None or empty: what the checkpoint says.

    Args:
        config: the original's config, as a mapping.
        labels: names of the labels.
        mean: what was subtracted from every label for the training, in its unit.
        std: what the labels were divided by then.
    """

    config: Plain | None = None
    labels: Sequence[str] = ()
    mean: Sequence[float] = ()
    std: Sequence[float] = ()


def imported(checkpoint: Checkpoint, given: Given = Given()) -> Weights:
    """The network of a checkpoint of the original.

    It reads flux as it is, as the original does, or scaled as the file says where this project wrote it.

    Raises:
        UsageError: something has to be said besides: labels, their scaling, the config.
        DataError: the network is none that is offered here, or does not fit its settings.
        ConfigError: a setting has a value without a meaning here.
    """
    try:
        return _imported(checkpoint, given)
    except (DataError, UsageError) as error:
        raise type(error)(f"checkpoint {checkpoint.path}: {error}") from error


def _imported(checkpoint: Checkpoint, given: Given) -> Weights:
    own = checkpoint.settings.get("config", checkpoint.settings)
    plain = given.config if given.config is not None else own if isinstance(own, Mapping) else {}
    config = _config(plain, checkpoint, given)
    n_pix, model = config.model.input_size, config.model
    x = jax.ShapeDtypeStruct((1, n_pix), jnp.float32)
    shapes = jax.eval_shape(make_network(model).init, jax.random.key(0), x)["params"]
    like = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes)
    params = from_state(checkpoint.tensors, like, model)
    scaler = InputScaler(np.zeros(n_pix, np.float32), np.ones(n_pix, np.float32))
    if checkpoint.scaler:
        scaler = _input_scaler(checkpoint.scaler, n_pix)
    return Weights(params, config, _label_scaler(plain, model, config.data.label_scaling, given), scaler)


def _config(plain: Plain, checkpoint: Checkpoint, given: Given) -> Config:
    """The settings of the network; those of its training are not read."""
    sections = {name: _texts(plain.get(name), keys) for name, keys in READ.items()}
    sections["model"] = _shapes(checkpoint.tensors, sections["model"])
    if classes := f"{CLASSES}.weight" in checkpoint.tensors:
        _check_classes(given)
    sections["model"]["task_type"] = "cls" if classes else "reg"
    sections["data"]["param"] = [LABEL] if classes else list(given.labels) or _labels(plain)
    sections["data"].setdefault("file_path", UNSTATED)
    config = parse(json.dumps({name: section for name, section in sections.items() if section})).config
    _check_windows(config.model)
    scaled = replace(config.data, input_scaling="pixel" if checkpoint.scaler else "none")
    return replace(config, data=scaled)


def _section(plain: Plain, name: str) -> Plain:
    found = plain.get(name)
    return found if isinstance(found, Mapping) else {}


def _texts(section: object, keys: Sequence[str]) -> dict[str, str | list[str]]:
    """The values of a section's keys as text; those that are not there are left out."""
    found: dict[str, str | list[str]] = {}
    values = section if isinstance(section, Mapping) else {}
    for key in keys:
        value = values.get(key)
        if isinstance(value, list):
            found[key] = [str(item) for item in value if isinstance(item, str | int | float)]
        elif isinstance(value, str | int | float):
            found[key] = str(value)
    return found


def _labels(plain: Plain) -> list[str]:
    """The labels that a config names."""
    for section, key in (("data", "param"), ("model", "param_names")):
        value = _texts(plain.get(section), (key,)).get(key)
        names = value.split(",") if isinstance(value, str) else value or []
        if found := [name.strip() for name in names if name.strip()]:
            return found
    raise UsageError("it does not name its labels (data.param); say them: --labels log_g")


def _shapes(
    tensors: Mapping[str, np.ndarray], said: Mapping[str, str | list[str]]
) -> dict[str, str | list[str]]:
    """The settings of a network: what its arrays say, and what only its config can.

    Raises:
        UsageError: the config does not say it.
        DataError: arrays that every such network has are missing.
    """
    projection = tensors.get(f"{PATCHES}.weight")
    depth = len({name.split(".")[3 - newer] for newer in (0, 1) for name in tensors
                 if name.startswith(BLOCKS[newer] + ".")})  # fmt: skip
    hidden = next(
        (a for name, a in tensors.items() if name.endswith((".intermediate.dense.bias", ".fc1.bias"))), None
    )
    if projection is None or projection.ndim not in (2, 3) or hidden is None or hidden.ndim != 1:
        raise DataError(f"it has no {PATCHES}.weight, or no blocks: it is no network of the original")
    if missing := [key for key in ("image_size", "num_attention_heads") if key not in said]:
        raise UsageError(
            f"it does not say model.{missing[0]}; give the config it was trained with: --config FILE"
        )
    rotary = str(said.get("pos_encoding_type", "")).lower() in ("rope", "rotary")
    found: dict[str, str | list[str]] = {
        "hidden_size": str(projection.shape[0]),
        "patch_size": str(projection.shape[-1]),
        "num_hidden_layers": str(depth),
        "intermediate_size": str(hidden.size),
        "proj_fn": "C1D" if projection.ndim == 3 else "SW",
        "pos_encoding_type": "learned" if POSITION in tensors else "rope" if rotary else "none",
    }
    return {**said, **found}


def _check_classes(given: Given) -> None:
    """Refuses what cannot be said of a network of two classes: it reads no label."""
    if given.mean or given.std or tuple(given.labels) not in ((), (LABEL,)):
        raise UsageError(
            f"it tells two classes apart ({LABEL} above {THRESHOLD:g} or not), and no label is scaled; leave "
            "out --labels, --label-mean and --label-std"
        )


def _check_windows(model: ModelConfig) -> None:
    """Refuses spectra that are too long, and windows of which the original adds an empty one."""
    if model.input_size > MOST_PIXELS:
        raise DataError(
            f"its model.image_size must be at most {MOST_PIXELS:,} pixels, found {model.input_size:,}"
        )
    rest = (model.input_size - model.patch_size) % model.patch_stride
    if model.tokenizer == "linear" and rest:
        raise DataError(
            f"its windows of {model.patch_size} pixels every {model.patch_stride} leave {rest} of "
            f"{model.input_size} pixels; the original adds an empty window for them, not offered here"
        )


def _input_scaler(arrays: Mapping[str, np.ndarray], n_pix: int) -> InputScaler:
    """The scaling of flux that this project wrote into a checkpoint."""
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != {"mean": (n_pix,), "scale": (n_pix,)} or not (arrays["scale"] > 0).all():
        raise DataError(
            f"its input_scaler must hold mean and a positive scale of {n_pix} pixels, found {shapes}"
        )
    return InputScaler(arrays["mean"], arrays["scale"])


def _label_scaler(plain: Plain, model: ModelConfig, scaling: str, given: Given) -> LabelScaler:
    """The scaling of the labels: as the user says, as the config says, or none where it says none."""
    count = len(model.label_names)
    if model.threshold is not None:
        return LabelScaler(np.zeros(count, np.float32), np.ones(count, np.float32))
    mean, std = given.mean or _numbers(plain, "label_mean"), given.std or _numbers(plain, "label_std")
    if not mean and not std and scaling == "none":
        mean, std = [0.0] * count, [1.0] * count
    if not mean or not std:
        raise UsageError(
            f"it does not hold what its labels were scaled with ({scaling}); say it in the units "
            f"of {', '.join(model.label_names)}: --label-mean and --label-std, for minmax the lowest label "
            "and the range; the published network has 2.9975 and 1.1683"
        )
    for name, values in (("--label-mean", mean), ("--label-std", std)):
        if len(values) != count or not np.isfinite(values).all():
            raise UsageError(
                f"{name} must be {count} finite numbers, one for each label, found {list(values)}"
            )
    if min(std) <= 0:
        raise UsageError(f"--label-std must be positive, found {list(std)}")
    return LabelScaler(np.array(mean, np.float32), np.array(std, np.float32))


def _numbers(plain: Plain, key: str) -> list[float]:
    """Numbers of the config's section data, or none."""
    value = _section(plain, "data").get(key)
    items = value if isinstance(value, list | tuple) else [value]
    try:
        return [float(item) for item in items if isinstance(item, str | int | float)]
    except ValueError as error:
        raise UsageError(f"data.{key} must be numbers, found {value!r}") from error
