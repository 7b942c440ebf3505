"""What a config of the original system does differently here, in words."""

from collections.abc import Mapping

from specvit_jax.settings.optimizers import reads
from specvit_jax.settings.original_keys import LABEL, LOSSES, SCALINGS, names, number, text, whole

Settings = Mapping[str, str | list[str]]


def remarks(values: Mapping[str, object], settings: Settings) -> list[str]:
    """Notes on settings that are taken over with a change.

    Args:
        values: of the original's keys, those left out as they are there.
        settings: of this project, section.key -> text, that they became.
    """
    return [
        *_classes(values, settings),
        *_data(values, settings),
        *_rate(values, settings),
        *_optimiser(values, settings),
    ]


def _classes(values: Mapping[str, object], settings: Settings) -> list[str]:
    """What the original reads of a config of two classes, and what it does not."""
    if "model.threshold" not in settings:
        return []
    notes = [
        f"task cls: the probability that log_g lies above {settings['model.threshold']} dex, one output for "
        "the original's two; the best weights have the highest validation skill (least cross entropy), in "
        "the original the highest accuracy"
    ]
    ignored = {
        "loss.name": ("cross_entropy", LOSSES, "classes are learned by cross entropy"),
        "data.label_norm": ("none", SCALINGS, "classes are not scaled"),
    }
    for name, (meant, read, why) in ignored.items():
        if name in values and read(name, values[name]) != meant:
            notes.append(f"{name} {values[name]} is ignored: {why}, as in the original")
    if "data.param" in values and names("data.param", values["data.param"]) != [LABEL]:
        notes.append(f"data.param is ignored: the classes are those of {LABEL}, as in the original")
    return notes


def _data(values: Mapping[str, object], settings: Settings) -> list[str]:
    notes = []
    if float(number("noise.noise_level", values["noise.noise_level"])) > 0:
        notes.append(
            "the noise of training is that of the instrument at every star's magnitude (data.noise); the "
            "original takes the errors of the file. Errors are no input of a network: those of noiseless "
            "models give the labels away (experiments.leak, docs/howto/original.md)"
        )
    if "data.val_path" not in values:
        notes.append(
            "data.val_path is left out: the last spectra, at most a tenth, are kept for validation and not "
            "trained on; the original scores on spectra it trains on"
        )
    if settings.get("model.tokenizer") == "linear" and _cut_short(settings):
        notes.append(
            "pixels after the last whole window are not read; the original adds a token of zeros there"
        )
    return notes


def _cut_short(settings: Settings) -> bool:
    size, patch = (settings.get(f"model.{key}") for key in ("input_size", "patch_size"))
    step = settings.get("model.stride", patch)
    if not (isinstance(size, str) and isinstance(patch, str) and isinstance(step, str)) or int(step) < 1:
        return False
    return (int(size) - int(patch)) % int(step) > 0


def _rate(values: Mapping[str, object], settings: Settings) -> list[str]:
    schedule, notes = settings["train.schedule"], []
    epochs = whole("train.ep", values["train.ep"])
    if schedule == "cosine" and whole("opt.T_max", values.get("opt.T_max", epochs)) != epochs:
        notes.append(
            f"opt.T_max {values['opt.T_max']} is ignored: cosine falls over all {epochs} epochs here"
        )
    elif schedule != "cosine" and "opt.T_max" in values:
        notes.append("opt.T_max is ignored: it belongs to cosine")
    if schedule == "plateau":
        notes.append(
            "a plateau is one of the validation R2 (with classes: skill) here, and lowers the rate after "
            "opt.patience epochs; in the original one of the validation loss, and after one more"
        )
    if schedule == "one_cycle":
        notes.append(
            "onecycle begins at opt.lr / 25 and changes the rate alone; the original moves beta1 too"
        )
    elif float(text("opt.warmup", settings["train.warmup"])) > 0:
        notes.append("a warm-up rises from 0, step by step; in the original from opt.lr / 10, epoch by epoch")
    return notes


def _optimiser(values: Mapping[str, object], settings: Settings) -> list[str]:
    notes = []
    precision = str(values["train.precision"])
    if precision.startswith("16"):
        notes.append(f"train.precision {precision} becomes bfloat16, which needs no loss scaling")
    decays = float(text("opt.weight_decay", settings["train.weight_decay"])) > 0
    name = text("opt.type", settings["train.optimizer"])
    if decays and not reads(name, "weight_decay"):
        notes.append(f"opt.weight_decay is ignored: {name} does not decay weights here, adamw does")
    if name == "nadam":
        notes.append("nadam has the same momentum in all steps here; in PyTorch it rises (momentum_decay)")
    if settings["train.clip_norm"] == "inf":
        notes.append("a gradient clip of 0 is read as no clipping")
    return notes
