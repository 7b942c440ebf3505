"""Every setting of a run: frozen dataclasses."""

from dataclasses import dataclass, field
from typing import Literal

from crlb.detector import DEFAULT_INSTRUMENT
from crlb.errors import ConfigError, DataError
from crlb.labels import check_label_names
from crlb.limits import check_limits
from specvit_jax.settings.outputs import output_names


def _check_positive(section: object, *keys: str) -> None:
    name = type(section).__name__.removesuffix("Config").lower()
    for key in keys:
        if not getattr(section, key) > 0:
            raise ConfigError(f"{name}.{key} must be positive, found {getattr(section, key)}")


@dataclass(frozen=True)
class ModelConfig:
    """Settings of the network, named as in timm; the defaults are the published network."""

    network: Literal["vit", "mlp", "cnn"] = "vit"
    """SpecViT, or what it is compared with: a perceptron, a convolutional network."""
    hidden: tuple[int, ...] = (1024, 512, 256)
    """Widths of the layers of mlp, and of cnn after its channels."""
    channels: tuple[int, ...] = (16, 32, 64, 64)
    """Channels of the convolutions of cnn, whose kernels have patch_size pixels."""
    input_size: int = 4096
    """Pixels of a spectrum, or components where data.preprocess is pca. [pixel]"""
    input_layer: Literal["none", "pca", "zca"] = "none"
    """A first layer that begins as the whitening data.preprocess would be, and is learned: components, or
    spectra whitened."""
    input_components: int = 64
    """Components of input_layer."""
    patch_size: int = 16
    """Width of one token, in components where input_layer is pca. [pixel]"""
    stride: int | None = None
    """From token to token; null: patch_size, side by side; less: they overlap. [pixel]"""
    chunk_norm: bool = False
    """Bring every window to mean 0 and deviation 1 before it becomes a token."""
    tokenizer: Literal["conv", "linear"] = "conv"
    """How a window of pixels becomes a token: a convolution, or a linear layer on windows."""
    embed_dim: int = 256
    """Width of a token, and of the network."""
    depth: int = 6
    """Number of blocks."""
    num_heads: int = 8
    """Attention heads of a block; they share embed_dim."""
    mlp_ratio: float = 4.0
    """Width of the hidden layer of a block, in embed_dim."""
    dropout: float = 0.1
    """Share of activations left out, after the position and at the end of each branch."""
    attention_dropout: float = 0.1
    """Share of attention weights left out."""
    pool: Literal["cls", "mean", "attention", "flat"] = "cls"
    """What the head reads: the class token, the mean of all; attention: a learned query weighs the tokens;
    flat: every token by its place."""
    pos_embed: Literal["learned", "sinusoidal", "rotary", "wavelength", "none"] = "learned"
    """How a token knows its place; wavelength: a function of log wavelength, so that the network can be read
    at another sampling."""
    rotary_base: float = 10_000.0
    """Base of the angles of rotary: the slowest goes round once in 2 pi times as many tokens."""
    wave_range: tuple[float, float] = (7100.21362, 8849.78638)
    """First and last pixel, in vacuum. [Å]"""
    gelu: Literal["exact", "tanh"] = "exact"
    """Form of the activation; tanh is the faster one."""
    init: Literal["published", "scaled"] = "published"
    """How the weights start."""
    token_std: float = 1.0
    """Standard deviation that the class and position tokens start with."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix products; parameters are float32."""
    label_names: tuple[str, ...] = ("log_g",)
    """What is predicted, one output each, in this order."""
    predict_sigma: bool = False
    """A second output for each label: log of its 1-sigma uncertainty, scaled."""
    threshold: float | None = None
    """Value that divides the one label into two classes: the network says the probability that the label lies
    above it; null: it says the label. [K for T_eff, dex]"""

    def __post_init__(self) -> None:
        check_limits(self, "model", ConfigError)
        _check_positive(self, "input_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
        _check_positive(self, "rotary_base")
        if self.stride is not None:
            _check_positive(self, "stride")
        for name in ("hidden", "channels"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ConfigError(f"model.{name} must be positive numbers, found {getattr(self, name)}")
        if self.network != "vit" and self.pos_embed == "wavelength":
            raise ConfigError(
                "model.pos_embed wavelength belongs to model.network vit, found " + self.network
            )
        self._check_layer()
        if self.patch_size > self.read_size:
            named = "input_size" if self.read_size == self.input_size else "input_components"
            raise ConfigError(
                f"model.patch_size must be at most {named} {self.read_size}, found {self.patch_size}"
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
        self._check_classes()

    def _check_classes(self) -> None:
        """Refuses what has no meaning where the output is a probability."""
        if self.threshold is None:
            return
        if len(self.label_names) > 1:
            raise ConfigError(
                f"model.threshold divides one label, found {', '.join(self.label_names)}; take "
                f"model.label_names={self.label_names[0]}"
            )
        if self.predict_sigma:
            raise ConfigError(
                "model.predict_sigma must be false with model.threshold: a probability says by itself how "
                "certain it is"
            )

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what is predicted: the labels, or with a threshold the probability to lie above it."""
        return output_names(self.label_names, self.threshold)

    def _check_layer(self) -> None:
        """Refuses an input layer that cannot be."""
        _check_positive(self, "input_components")
        if self.input_layer != "none" and self.input_components > self.input_size:
            raise ConfigError(
                f"model.input_components must be at most the input_size {self.input_size} pixels, found "
                f"{self.input_components}"
            )
        if self.input_layer == "pca" and self.pos_embed == "wavelength":
            raise ConfigError("model.pos_embed wavelength has no meaning for components of input_layer pca")

    @property
    def read_size(self) -> int:
        """Pixels, or components of an input layer, that tokens are cut from."""
        return self.input_components if self.input_layer == "pca" else self.input_size

    @property
    def patch_stride(self) -> int:
        """Pixels from one token to the next."""
        return self.patch_size if self.stride is None else self.stride

    @property
    def num_patches(self) -> int:
        """Tokens cut from a spectrum; pixels after the last whole window are not read."""
        return (self.read_size - self.patch_size) // self.patch_stride + 1

    @property
    def num_tokens(self) -> int:
        """Tokens the blocks see: the patches, and the class token when it is the one pooled."""
        return self.num_patches + (self.pool == "cls")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training; the loss is in scaled label units."""

    steps: int = 100_000
    """Steps of the optimiser. [step]"""
    epochs: int | None = None
    """Passes over the files. As a run begins, steps follow from their rows, and it is scored and saved once
    in each; null: as steps, eval_every and checkpoint_every say. [epoch]"""
    batch_size: int = 256
    """Spectra of one step, over all devices. [spectra]"""
    accumulate: int = 1
    """Pieces that each device's share is taken in, one after the other; same gradient, less memory."""
    optimizer: Literal[
        "adamw", "adam", "sgd", "muon", "nadam", "nadamw", "radam", "amsgrad", "adamax", "adamaxw",
        "adabelief", "yogi", "adan", "lion", "lamb", "lars", "novograd", "adafactor", "adagrad", "adadelta",
        "rmsprop",
    ] = "adamw"  # fmt: skip
    """Rule of the steps, as in optax. A run says which of the settings that were given it does not read."""
    b1: float = 0.9
    """Decay per step of the gradient's mean; momentum of sgd and lars."""
    b2: float = 0.999
    """Decay per step of the gradient's square; of lion, which has none, that of its mean."""
    learning_rate: float = 3e-4
    """The highest, after the warm-up."""
    schedule: Literal["cosine", "one_cycle", "plateau", "constant"] = "cosine"
    """Course of the learning rate."""
    min_lr: float = 1e-5
    """Learning rate at the end of cosine and one_cycle; where plateau stops."""
    warmup: float = 0.02
    """Fraction of the steps over which the learning rate rises (one_cycle: at least 1 step)."""
    plateau_factor: float = 0.8
    """Of the learning rate when the validation R2 (skill with model.threshold) has not risen for
    plateau_patience evaluations."""
    plateau_patience: int = 10
    """Evaluations without a better R2 (skill) after which plateau lowers the learning rate. [evaluation]"""
    weight_decay: float = 0.01
    """Of adamw, muon, nadamw, adamaxw, adan, lion, lamb and adafactor, times the learning rate; lars,
    novograd and adadelta add it to the gradient."""
    decay: Literal["all", "kernels"] = "all"
    """Which weights decay; kernels: not biases, norms, class token and position."""
    clip_norm: float = 0.5
    """Largest norm of the gradient over all parameters."""
    loss: Literal["l1", "mse", "huber", "nll", "mse_nll", "cross_entropy"] = "l1"
    """What is made small, in scaled label units; nll: Gaussian, with the sigma the network predicts; mse_nll:
    mse, and nll for sigma alone; cross_entropy: of the two classes of model.threshold, in nats."""
    teacher: str | None = None
    """Weights file whose predictions of the same noisy spectra are the target; null: the true labels are."""
    huber_delta: float = 1.0
    """Error at which huber turns from squares to magnitudes, in scaled label units."""
    ema: float = 0.0
    """Decay per step of the average of the weights that is scored and kept; 0: none."""
    freeze_input: int | None = 0
    """Steps over which model.input_layer stays as it begins; 0: learned from the start; null: it stays so.
    [step]"""
    freeze_input_epochs: int | None = None
    """The same as passes over the files, with train.epochs: as a run begins, freeze_input follows; null: as
    that says. [epoch]"""
    init_weights: str | None = None
    """Weights file a run begins with, its scalers as well; null: at random."""
    early_stopping: int | None = None
    """Evaluations without a better validation R2 (skill with model.threshold) after which a run ends; null:
    it does not. [evaluation]"""
    seed: int = 42
    """Of the start, the noise, dropout and order."""
    deterministic: bool = False
    """The same bits from run to run on GPUs as well, which is slower; on CPUs they always are."""
    log_every: int = 50
    """Between two lines of the log, for which the loss is fetched from the device. [step]"""
    eval_every: int = 500
    """Between two scores on the validation set. [step]"""
    checkpoint_every: int = 500
    """Between two checkpoints; what is saved is scored as well. [step]"""

    def __post_init__(self) -> None:
        check_limits(self, "train", ConfigError)
        _check_positive(self, "steps", "batch_size", "learning_rate", "clip_norm", "huber_delta")
        _check_positive(self, "log_every", "eval_every", "checkpoint_every", "accumulate", "plateau_patience")
        for name in ("epochs", "early_stopping"):
            if getattr(self, name) is not None:
                _check_positive(self, name)
        for name in ("freeze_input", "freeze_input_epochs"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"train.{name} must be 0, more, or null, found {getattr(self, name)}")
        if self.freeze_input_epochs is not None and self.epochs is None:
            raise ConfigError("train.freeze_input_epochs needs train.epochs; without, use train.freeze_input")
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

    source: str = "emulator"
    """The emulator, or clean spectra (pfsspec layout): a file, several with commas, shard_index.txt."""
    rows: int | None = None
    """Spectra of the files that are used, from the first; others are never read; null: all. [row]"""
    validation: str | None = None
    """File of observed spectra to score on; null: drawn with a key of its own."""
    validation_rows: int | None = None
    """Spectra of that file that are scored, from the first; null: all. [row]"""
    residency: Literal["auto", "device", "host", "stream"] = "auto"
    """Where the spectra of files are kept."""
    memory_gb: float = 4.0
    """Room for spectra there; auto goes on to the next place, stream stays below. [GiB]"""
    grid: str | None = None
    """Grid file of the emulator; null: the embedded one."""
    instrument: str = DEFAULT_INSTRUMENT
    """Spectrograph: a name that `crlb instruments` lists, or a YAML file. Its pixels that the grid shows, in
    the order of wavelength, are what the network reads."""
    noise: str | None = None
    """File of noise curves of the PFS red arm; null: the built-in ones."""
    mag: tuple[float, float] = (20.5, 22.5)
    """Magnitudes in i, bright and faint, drawn uniformly. [AB mag]"""
    snr: tuple[float, float] | None = None
    """Signal-to-noise ratios per pixel, low and high, between which the median star lies, instead of mag; the
    logarithm of brightness is drawn uniformly. null: mag counts."""
    labels: tuple[str, ...] = ()
    """Those that vary; none given: all of the grid's but a_M and C_M, held at 0."""
    ranges: tuple[str, ...] = ()
    """Of labels, T_eff=4000:5000, say; else the grid's. [K for T_eff, dex]"""
    prior: Literal["continuous", "snapped"] = "continuous"
    """How labels are drawn; snapped: on nodes but for one random axis."""
    beta: tuple[str, ...] = ()
    """Labels that are not uniform: log_g=2:5 is Beta(2, 5) over the label's range."""
    population: str | None = None
    """Table of stars (CSV, ECSV) whose labels are drawn, by its column weight; null: prior and ranges."""
    population_mag: bool = False
    """Draw the magnitudes of the table, too (column mag), instead of data.mag."""
    population_outside: Literal["refuse", "drop"] = "refuse"
    """Stars of the table outside the grid: an error, or left out."""
    conditions: str = "published"
    """What is unknown of a star besides its labels: published, survey, or YAML."""
    noise_level: float = 1.0
    """Factor on the 1-sigma noise; 0: spectra without noise."""
    exptime_s: float = 900.0
    """Length of one exposure. [s]"""
    n_exp: int = 12
    """Number of exposures."""
    seeing_arcsec: float = 0.8
    """Width of the seeing. [arcsec]"""
    label_scaling: Literal["zscore", "minmax", "none"] = "zscore"
    """How labels are scaled for the network."""
    input_scaling: Literal["pixel", "overall", "noise", "none"] = "pixel"
    """How flux is scaled: mean and deviation per pixel, or one for all; noise: by the noise of each pixel."""
    preprocess: Literal["none", "pca", "zca"] = "none"
    """Of scaled input: components, or spectra whitened."""
    components: int = 64
    """Kept by pca and zca."""
    noise_component: bool = False
    """One more: log of the scatter outside of the components."""
    n_scaling: int = 2000
    """Noisy spectra that the scaling is measured on. [spectra]"""
    n_validation: int = 2000
    """Noisy spectra to score on, drawn once. [spectra]"""

    def __post_init__(self) -> None:
        check_limits(self, "data", ConfigError, or_zero=("noise_level",))
        _check_positive(self, "exptime_s", "n_exp", "seeing_arcsec", "n_scaling", "n_validation")
        _check_positive(self, "memory_gb", "components")
        for name in ("rows", "validation_rows"):
            if getattr(self, name) is not None:
                _check_positive(self, name)
        if self.noise_level == 0:
            self._check_noiseless()
        if self.preprocess != "none" and self.components > self.n_scaling:
            raise ConfigError(
                f"data.components must be at most the n_scaling = {self.n_scaling} spectra they are "
                f"measured on, found {self.components}"
            )
        self._check_population()
        self._check_instrument()
        if not self.mag[0] <= self.mag[1]:
            raise ConfigError(f"data.mag must be (bright, faint) with bright <= faint, found {self.mag}")

    def _check_instrument(self) -> None:
        """Refuses noise curves of another instrument, and signal-to-noise ratios that cannot be."""
        if self.instrument != DEFAULT_INSTRUMENT and self.noise is not None:
            raise ConfigError(
                f"data.noise is about the PFS red arm, found instrument {self.instrument}; leave it out, or "
                "write the noise into the instrument's file"
            )
        if self.snr is None:
            return
        if not 0 < self.snr[0] <= self.snr[1]:
            raise ConfigError(f"data.snr must be (low, high), 0 < low <= high, found {self.snr}")
        if self.population_mag:
            raise ConfigError("data.snr and data.population_mag both say how bright stars are; give one")

    def _check_population(self) -> None:
        """Refuses what has no effect beside a table of stars, or without one."""
        if self.population is None:
            if self.population_mag or self.population_outside != "refuse":
                raise ConfigError(
                    "data.population_mag and population_outside are about data.population: give it"
                )
        elif self.ranges or self.beta or self.prior != "continuous":
            raise ConfigError(
                "data.population brings its own labels; leave out data.ranges, data.beta and prior snapped"
            )

    def _check_noiseless(self) -> None:
        """Refuses what is measured in noise where there is none."""
        if self.input_scaling == "noise":
            raise ConfigError(
                "data.input_scaling=noise divides by the noise, but with data.noise_level 0 there is none; "
                "take data.input_scaling=pixel, overall or none"
            )
        if self.noise_component:
            raise ConfigError(
                "data.noise_component tells the network how noisy a spectrum is, but with data.noise_level 0 "
                "none is; leave it out"
            )


@dataclass(frozen=True)
class Config:
    """All settings of a run: network, training, data."""

    preset: str = "paper"
    """The preset it started from."""
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
        self._check_classes()
        self._check_layer()
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

    def _check_classes(self) -> None:
        """Refuses half a classification: threshold, loss and unscaled labels belong together."""
        threshold, loss = self.model.threshold, self.train.loss
        if (threshold is None) != (loss != "cross_entropy"):
            way = "train.loss=cross_entropy, or model.threshold=null"
            way = "model.threshold=2.5, say, or another loss" if threshold is None else way
            raise ConfigError(
                "train.loss=cross_entropy and model.threshold belong together, found "
                f"loss {loss} and threshold {'null' if threshold is None else f'{threshold:g}'}; take {way}"
            )
        if threshold is not None and self.data.label_scaling != "none":
            raise ConfigError(
                "data.label_scaling must be none with model.threshold, a value of the label in its unit; "
                f"found {self.data.label_scaling}; take data.label_scaling=none"
            )
        if threshold is not None and self.train.teacher is not None:
            raise ConfigError(
                "train.teacher has no meaning with model.threshold: classes are learned from the true labels"
            )

    def _check_layer(self) -> None:
        """Refuses an input layer beside whitening, or one frozen that is none."""
        layer, frozen = self.model.input_layer, self.train.freeze_input_epochs or self.train.freeze_input != 0
        if layer == "none":
            if frozen:
                raise ConfigError("train.freeze_input needs model.input_layer pca or zca, found none")
            return
        if self.data.preprocess != "none":
            raise ConfigError(
                f"model.input_layer {layer} whitens, as data.preprocess {self.data.preprocess} does; keep one"
            )
        if self.model.input_components > self.data.n_scaling:
            raise ConfigError(
                f"model.input_components must be at most the data.n_scaling = {self.data.n_scaling} spectra "
                f"they are measured on, found {self.model.input_components}"
            )
