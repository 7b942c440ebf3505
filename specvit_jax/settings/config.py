"""Every setting of a run: frozen dataclasses and the presets."""

from dataclasses import dataclass, field, replace
from typing import Literal

from crlb.errors import ConfigError, DataError, UsageError
from crlb.labels import check_label_names


def _check_positive(section: object, *keys: str) -> None:
    name = type(section).__name__.removesuffix("Config").lower()
    for key in keys:
        if not getattr(section, key) > 0:
            raise ConfigError(f"{name}.{key} must be positive, found {getattr(section, key)}")


@dataclass(frozen=True)
class ModelConfig:
    """Settings of the network, named as in timm; the defaults are the published network."""

    network: Literal["vit", "mlp", "cnn"] = "vit"  # SpecViT, or what it is compared with
    hidden: tuple[int, ...] = (1024, 512, 256)  # widths of the layers of mlp, and of cnn after its channels
    channels: tuple[int, ...] = (16, 32, 64, 64)  # of the convolutions of cnn; kernels of patch_size pixels
    input_size: int = 4096  # pixels, or components where data.preprocess is pca
    patch_size: int = 16  # pixels of one token
    stride: int | None = None  # pixels from token to token; null: patch_size, side by side; less: overlap
    chunk_norm: bool = False  # every window is brought to mean 0 and deviation 1 before it becomes a token
    tokenizer: Literal["conv", "linear"] = "conv"
    embed_dim: int = 256
    depth: int = 6
    num_heads: int = 8
    mlp_ratio: float = 4.0
    dropout: float = 0.1  # after the position and at the end of each branch
    attention_dropout: float = 0.1  # on the attention weights
    # attention: a learned query weighs the tokens; flat: the head reads every token by its place
    pool: Literal["cls", "mean", "attention", "flat"] = "cls"
    # wavelength: a function of log wavelength, so that the network can be read at another sampling
    pos_embed: Literal["learned", "sinusoidal", "rotary", "wavelength", "none"] = "learned"
    wave_range: tuple[float, float] = (7100.21362, 8849.78638)  # first and last pixel, vacuum Å
    gelu: Literal["exact", "tanh"] = "exact"
    init: Literal["published", "scaled"] = "published"
    token_std: float = 1.0  # standard deviation the class and position tokens start with
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the matrix products; parameters are float32
    label_names: tuple[str, ...] = ("log_g",)  # one output each, in this order
    predict_sigma: bool = False  # a second output for each label: log of its 1-sigma uncertainty, scaled

    def __post_init__(self) -> None:
        _check_positive(self, "input_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
        if self.stride is not None:
            _check_positive(self, "stride")
        for name in ("hidden", "channels"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ConfigError(f"model.{name} must be positive numbers, found {getattr(self, name)}")
        if self.network != "vit" and self.pos_embed == "wavelength":
            raise ConfigError(
                "model.pos_embed wavelength belongs to model.network vit, found " + self.network
            )
        if self.patch_size > self.input_size:
            raise ConfigError(
                f"model.patch_size must be at most input_size {self.input_size}, found {self.patch_size}"
            )
        if self.embed_dim % self.num_heads:
            raise ConfigError(
                f"model.num_heads must divide embed_dim {self.embed_dim}, found {self.num_heads}"
            )
        if self.patch_stride > self.patch_size:
            raise ConfigError(
                f"model.stride must be at most patch_size {self.patch_size}, or pixels go unread; "
                f"found {self.stride}"
            )
        if not 0 < self.wave_range[0] < self.wave_range[1]:
            raise ConfigError(
                f"model.wave_range must be (first, last) in Å, first < last, found {self.wave_range}"
            )
        if self.pos_embed in ("sinusoidal", "wavelength") and self.embed_dim % 2:
            raise ConfigError(
                f"model.embed_dim must be even with pos_embed {self.pos_embed}, found {self.embed_dim}"
            )
        if self.pos_embed == "rotary" and self.embed_dim // self.num_heads % 2:
            raise ConfigError(
                "model.embed_dim / num_heads must be even with pos_embed rotary, "
                f"found {self.embed_dim} / {self.num_heads}"
            )
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"model.{name} must lie in [0, 1), found {getattr(self, name)}")
        if not self.label_names or len(set(self.label_names)) < len(self.label_names):
            raise ConfigError(f"model.label_names must name each label once, found {self.label_names}")
        try:
            check_label_names(self.label_names)
        except DataError as error:
            raise ConfigError(f"model.{error}") from error

    @property
    def patch_stride(self) -> int:
        """Pixels from one token to the next."""
        return self.patch_size if self.stride is None else self.stride

    @property
    def num_patches(self) -> int:
        """Tokens cut from a spectrum; pixels after the last whole window are not read."""
        return (self.input_size - self.patch_size) // self.patch_stride + 1

    @property
    def num_tokens(self) -> int:
        """Tokens the blocks see: the patches, and the class token when it is the one pooled."""
        return self.num_patches + (self.pool == "cls")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training; the loss is in scaled label units."""

    steps: int = 100_000
    batch_size: int = 256  # spectra of one step, over all devices
    accumulate: int = (
        1  # pieces each device's share is taken in, one after the other; same gradient, less memory
    )
    optimizer: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    b1: float = 0.9  # decay of the gradient's mean; momentum of sgd
    b2: float = 0.999  # decay of the gradient's square
    learning_rate: float = 3e-4  # after the warm-up
    schedule: Literal["cosine", "one_cycle", "plateau", "constant"] = "cosine"
    min_lr: float = 1e-5  # at the end of cosine and one_cycle; where plateau stops
    warmup: float = (
        0.02  # fraction of the steps over which the learning rate rises (one_cycle: at least 1 step)
    )
    plateau_factor: float = 0.8  # of the learning rate when the validation R2 has not risen ...
    plateau_patience: int = 10  # ... for so many evaluations
    weight_decay: float = 0.01  # adamw and muon
    decay: Literal["all", "kernels"] = "all"  # kernels: not biases, norms, class token and position
    clip_norm: float = 0.5  # of the gradient over all parameters
    # nll: Gaussian, with the sigma the network predicts; mse_nll: mse, and nll for sigma alone
    loss: Literal["l1", "mse", "huber", "nll", "mse_nll"] = "l1"
    teacher: str | None = None  # weights file whose predictions of the same noisy spectra are the target
    huber_delta: float = 1.0  # in scaled label units
    ema: float = 0.0  # decay per step of the average of the weights that is scored and kept; 0: none
    init_weights: str | None = None  # weights file a run begins with, its scalers as well; null: at random
    early_stopping: int | None = None  # evaluations without a better validation R2 after which a run ends
    seed: int = 42
    log_every: int = 50  # steps; the loss is fetched from the device this often
    eval_every: int = 500  # steps
    checkpoint_every: int = 500  # steps; what is saved is scored as well

    def __post_init__(self) -> None:
        _check_positive(self, "steps", "batch_size", "learning_rate", "clip_norm", "huber_delta")
        _check_positive(self, "log_every", "eval_every", "checkpoint_every", "accumulate", "plateau_patience")
        if self.early_stopping is not None:
            _check_positive(self, "early_stopping")
        for name in ("b1", "b2", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"train.{name} must lie in [0, 1), found {getattr(self, name)}")
        if not 0 < self.plateau_factor < 1:
            raise ConfigError(f"train.plateau_factor must lie in (0, 1), found {self.plateau_factor}")
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"train.warmup is a fraction of the steps in [0, 1), found {self.warmup}")
        if not 0 <= self.min_lr <= self.learning_rate:
            raise ConfigError(
                f"train.min_lr must lie in [0, learning_rate = {self.learning_rate}], found {self.min_lr}"
            )


@dataclass(frozen=True)
class DataConfig:
    """Settings of the spectra: where they come from and how they are observed."""

    source: str = (
        "emulator"  # or clean spectra (pfsspec layout): a file, several with commas, shard_index.txt
    )
    validation: str | None = None  # a file of observed spectra to score on; null: drawn with a key of its own
    residency: Literal["auto", "device", "host", "stream"] = "auto"  # where the spectra of files are kept
    memory_gb: float = (
        4.0  # GiB the spectra may take there; auto goes on to the next place, stream stays below
    )
    grid: str | None = None  # grid file of the emulator; null: the embedded one
    noise: str | None = None  # noise curves; null: the built-in ones
    mag: tuple[float, float] = (20.5, 22.5)  # magnitudes drawn uniformly
    labels: tuple[str, ...] = ()  # that vary; none given: all of the grid's but a_M and C_M, held at 0
    ranges: tuple[str, ...] = ()  # T_eff=4000:5000, say; K for T_eff, dex for the others; else the grid's
    prior: Literal["continuous", "snapped"] = "continuous"  # snapped: on nodes but for one random axis
    beta: tuple[str, ...] = ()  # log_g=2:5, say: Beta(2, 5) over the label's range instead of uniform
    conditions: str = "published"  # or survey, or YAML: what is unknown of a star besides its labels
    noise_level: float = 1.0  # factor on the 1-sigma noise
    exptime_s: float = 900.0  # of one exposure
    n_exp: int = 12
    seeing_arcsec: float = 0.8
    label_scaling: Literal["zscore", "minmax", "none"] = "zscore"
    # mean and deviation per pixel, or one for all; noise: the scale is the noise of each pixel
    input_scaling: Literal["pixel", "overall", "noise", "none"] = "pixel"
    preprocess: Literal["none", "pca", "zca"] = "none"  # of scaled input: components, or spectra whitened
    components: int = 64  # kept by pca and zca
    noise_component: bool = False  # one more: log of the scatter outside of the components
    n_scaling: int = 2000  # noisy spectra the scaling is measured on
    n_validation: int = 2000  # noisy spectra, drawn once

    def __post_init__(self) -> None:
        _check_positive(self, "exptime_s", "n_exp", "seeing_arcsec", "n_scaling", "n_validation")
        _check_positive(self, "noise_level", "memory_gb", "components")
        if self.preprocess != "none" and self.components > self.n_scaling:
            raise ConfigError(
                f"data.components must be at most the n_scaling = {self.n_scaling} spectra they are "
                f"measured on, found {self.components}"
            )
        if not self.mag[0] <= self.mag[1]:
            raise ConfigError(f"data.mag must be (bright, faint) with bright <= faint, found {self.mag}")


@dataclass(frozen=True)
class Config:
    """All settings of a run: network, training, data."""

    preset: str = "paper"  # the preset it started from
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        with_sigma = self.train.loss in ("nll", "mse_nll")
        if with_sigma != self.model.predict_sigma:
            raise ConfigError(
                "train.loss=nll or mse_nll and model.predict_sigma=true belong together, found "
                f"loss {self.train.loss} and predict_sigma {self.model.predict_sigma}"
            )
        if self.data.preprocess == "pca" and self.model.pos_embed == "wavelength":
            raise ConfigError("model.pos_embed wavelength has no meaning for the components of pca")
        if self.data.noise_component and self.data.preprocess == "none":
            raise ConfigError("data.noise_component needs components, data.preprocess pca or zca; found none")
        kept = self.data.components + self.data.noise_component
        if self.data.preprocess == "pca" and self.model.input_size != kept:
            raise ConfigError(
                "model.input_size must be the data.components that pca keeps, and one more with "
                f"data.noise_component: {kept}, found {self.model.input_size}"
            )


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
# tiny: learns on two CPU cores. Whitened spectra, a head that reads every token by its place, and Muon each
# make it learn several times faster; other labels learned beside log g come free (experiments/LOG.md).
# Whitened pixels hold 41 numbers: eight tokens of 512 pixels read them as well as 64 of 64, in a tenth of the
# time. Best with train.teacher=FILE, the weights of a `teacher`.
TINY = Config(
    preset="tiny",
    model=ModelConfig(
        patch_size=512,
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
        predict_sigma=True,
    ),
    train=TrainConfig(
        steps=6_000,
        batch_size=256,
        optimizer="muon",
        learning_rate=5e-3,
        clip_norm=1.0,
        loss="mse_nll",
        ema=0.999,
        eval_every=500,
        checkpoint_every=500,
    ),
    data=DataConfig(input_scaling="noise", preprocess="zca", components=40, noise_component=True),
)
# survey: the same for stars as a survey observes them. Velocity and width take components of their own.
# Best with the weights of a `survey-teacher`.
SURVEY = replace(TINY, preset="survey", data=replace(TINY.data, conditions="survey", components=64))
# teacher: a perceptron on the components, cheap enough to see millions of spectra; others learn from it.
TEACHER = Config(
    preset="teacher",
    model=replace(TINY.model, network="mlp", hidden=(256, 256, 256), input_size=41, patch_size=16),
    train=replace(TINY.train, batch_size=1024, eval_every=250, checkpoint_every=250),
    data=replace(TINY.data, preprocess="pca"),
)
SURVEY_TEACHER = replace(
    TEACHER,
    preset="survey-teacher",
    model=replace(TEACHER.model, input_size=65),
    data=replace(SURVEY.data, preprocess="pca"),
)
PRESETS: dict[str, Config] = {
    config.preset: config for config in (PAPER, SMALL, TINY, SURVEY, TEACHER, SURVEY_TEACHER)
}


def preset(name: str) -> Config:
    """The preset of that name.

    Raises:
        UsageError: no such preset.
    """
    if name not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, found {name!r}")
    return PRESETS[name]
