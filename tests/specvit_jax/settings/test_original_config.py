"""Configs of the original PyTorch system, read in this project's words."""

import random
import re

import pytest

from crlb.errors import ConfigError, MissingInputError
from specvit_jax.settings.config_file import from_yaml, load, parse, to_yaml, words
from specvit_jax.settings.epochs import in_steps
from specvit_jax.settings.original_config import reworded
from specvit_jax.settings.original_keys import DEFAULTS, IGNORED, SWITCHED, TABLE, TOGETHER

FULL = """
project: SpecViT-sweeps
model:
  name: vit
  task_type: reg
  image_size: 4096
  patch_size: 32
  hidden_size: 192
  num_hidden_layers: 4
  num_attention_heads: 6
  stride_ratio: 0.5
  proj_fn: SW
  num_labels: 2
  hidden_dropout_prob: 0.05
  attention_probs_dropout_prob: 0.2
  pos_encoding_type: rope
train:
  batch_size: 128
  ep: 200
  precision: 16-mixed
  gradient_clip: 0.7
  seed: 7
  workers: 24
  debug: false
  save: true
loss:
  name: huber
  delta: 0.5
opt:
  type: AdamW
  lr: 1e-4
  lr_sch: plateau
  factor: 0.7
  patience: 5
  weight_decay: 1e-3
data:
  file_path: ${SPECTRA}/train/dataset.h5
  val_path: ${SPECTRA}/val/dataset.h5
  test_path: ${SPECTRA}/test/dataset.h5
  num_samples: 100000
  num_test_samples: 1000
  param: T_eff, log_g
  label_norm: minmax
noise:
  noise_level: 2.0
viz:
  enable: true
mask:
  mask_ratio: 0.75
warmup:
  global: false
  r: null
"""

SHORT = """
model:
  hidden_size: 256
  image_size: 4096
loss: {name: l1}
opt: {type: adam, lr: 0.0003, lr_sch: }
train: {precision: 32, grad_clip: 0}
data: {file_path: /data/train.h5, val_path: , num_samples: 1e6}
"""


def with_key(name: str, value: object) -> str:
    section, _, key = name.partition(".")
    start = {} if section == "opt" else {"opt": {"lr": "1e-4"}}
    return str(start | {section: {key: value}})


def with_warmup(**more: str) -> str:
    return str({"opt": {}, "warmup": {"preprocessor": "pca", "r": "64"} | more})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, (0, None)),
        ({"freeze_epochs": "0"}, (0, None)),
        ({"freeze_epochs": "-1", "bias": "true", "eps": "1e-5"}, (None, None)),
        ({"freeze_epochs": "5", "shrinkage": "0.1"}, (0, 5)),
    ],
)
def test_a_preprocessor_becomes_an_input_layer_frozen_as_long(more, expected):
    config, notes = parse(with_warmup(**more))
    assert (config.model.input_layer, config.model.input_components) == ("pca", 64)
    assert (config.model.input_size, config.model.num_patches) == (4096, 4)
    assert (config.train.freeze_input, config.train.freeze_input_epochs) == expected
    assert config.data.preprocess == "none"
    assert "components that are measured here" in "\n".join(notes)


def test_frozen_epochs_become_steps_with_those_of_the_training():
    plain = {"data": {"num_samples": "1000"}, "train": {"batch_size": "90"}}
    text = str(plain | {"opt": {}, "warmup": {"preprocessor": "zca", "r": "64", "freeze_epochs": "3"}})
    train = in_steps(parse(text).config, 1000).config.train
    assert (train.freeze_input, train.freeze_input_epochs, train.epochs) == (30, None, None)


def test_a_whole_config_of_the_original(monkeypatch):
    monkeypatch.setenv("SPECTRA", "/data/pfs")
    config, notes = parse(FULL)
    model, train, data = config.model, config.train, config.data
    assert (config.preset, model.init, model.token_std) == ("paper", "published", 1.0)
    assert (model.input_size, model.patch_size, model.stride) == (4096, 32, 16)
    assert (model.embed_dim, model.depth, model.num_heads, model.mlp_ratio) == (192, 4, 6, 4.0)
    assert (model.tokenizer, model.pos_embed, model.dtype) == ("linear", "rotary", "bfloat16")
    assert (model.dropout, model.attention_dropout) == (0.05, 0.2)
    assert model.label_names == ("T_eff", "log_g")
    assert (train.steps, train.batch_size, train.seed) == (200 * 100_000 // 128, 128, 7)
    assert train.eval_every == train.checkpoint_every == 100_000 // 128
    assert (train.clip_norm, train.loss, train.huber_delta) == (0.7, "huber", 0.5)
    assert (train.optimizer, train.learning_rate, train.weight_decay) == ("adamw", 1e-4, 1e-3)
    assert (train.schedule, train.plateau_factor, train.plateau_patience) == ("plateau", 0.7, 5)
    assert (data.source, data.validation) == ("/data/pfs/train/dataset.h5", "/data/pfs/val/dataset.h5")
    assert (data.n_validation, data.label_scaling, data.noise_level) == (1000, "minmax", 2.0)
    said = "\n".join(notes)
    named = ("project", "train.workers", "train.debug", "train.save", "data.test_path", "viz")
    for name in (*named, "mask.mask_ratio", "warmup.global", "warmup.r", "16-mixed", "156250 steps"):
        assert name in said
    for name in ("a plateau is one of", "the noise of training"):
        assert name in said
    assert "left out" not in said
    assert len(notes) == 13
    assert (train.epochs, data.rows, data.validation_rows) == (200, 100_000, 1000)
    assert from_yaml(to_yaml(config)) == config


def test_what_a_config_leaves_out_is_as_in_the_original():
    config, notes = parse(SHORT)
    model, train, data = config.model, config.train, config.data
    assert (train.optimizer, train.schedule, train.warmup, train.weight_decay) == ("adam", "constant", 0, 0)
    assert (train.min_lr, train.epochs, train.batch_size, train.clip_norm) == (0, 10, 256, float("inf"))
    assert (model.pos_embed, model.dtype, model.dropout) == ("none", "float32", 0.1)
    assert (data.label_scaling, data.input_scaling, data.preprocess) == ("none", "none", "none")
    assert (data.noise_level, data.validation, data.validation_rows) == (1, None, None)
    said = "\n".join(notes)
    for name in (
        "train.ep 10",
        "train.batch_size 256",
        "model.pos_encoding_type none",
        "data.label_norm none",
    ):
        assert name in said
    for name in ("model.patch_size", "data.param", "data.val_path is left out", "a gradient clip of 0"):
        assert name in said
    assert "opt.weight_decay is ignored" not in said


def test_nothing_but_what_a_config_says_comes_from_a_preset():
    """Every value that the original has for a key left out is the one that the key would give."""
    empty, _ = parse("opt: {}")
    train = empty.train
    assert (train.learning_rate, train.loss, train.clip_norm, train.plateau_factor) == (1e-3, "mse", 0.5, 0.1)
    for name, value in DEFAULTS.items():
        given, _ = parse(config_of({name: value}))
        assert given == empty, name


@pytest.mark.parametrize(
    ("name", "theirs", "ours", "expected"),
    [
        ("model.stride_size", "8", "model.stride", 8),
        ("model.stride_ratio", "0.25", "model.stride", 4),
        ("model.stride_ratio", "1", "model.stride", 16),
        ("model.stride_ratio", "0.3", "model.stride", 4),
        ("model.stride_ratio", "0.01", "model.stride", 1),
        ("model.stride_size", "0", "model.stride", None),
        ("model.proj_fn", "C1D", "model.tokenizer", "conv"),
        ("model.proj_fn", "CNN", "model.tokenizer", "conv"),
        ("model.rope_base", "500", "model.rotary_base", 500.0),
        ("model.param_names", "T_eff, M_H", "model.label_names", ("T_eff", "M_H")),
        ("noise.noise_level", "0", "data.noise_level", 0.0),
        ("data.num_samples", "-1", "data.rows", None),
        ("data.num_samples", "5e4", "data.rows", 50_000),
        ("data.num_test_samples", "-1", "data.n_validation", 2000),
        ("opt.warmup", {"ratio": "0.2"}, "train.warmup", 0.2),
        ("opt.warmup", {"epochs": "3"}, "train.warmup", 0.3),
        ("opt.warmup_ratio", "0.2", "train.warmup", 0.2),
        ("opt.lr", "1e-6", "train.min_lr", 0.0),
        ("model.mlp_ratio", "2", "model.mlp_ratio", 2.0),
        ("model.intermediate_size", "512", "model.mlp_ratio", 2.0),
        ("model.num_labels", "1", "model.label_names", ("log_g",)),
        *[
            ("model.pos_encoding_type", theirs, "model.pos_embed", ours)
            for theirs, ours in (("learned", "learned"), ("sinusoidal", "sinusoidal"), ("none", "none"))
        ],
        *[
            ("train.precision", theirs, "model.dtype", ours)
            for theirs, ours in (("32", "float32"), ("bf16-mixed", "bfloat16"), ("16-mixed", "bfloat16"))
        ],
        *[
            ("loss.name", theirs, "train.loss", ours)
            for theirs, ours in (
                ("mae", "l1"),
                ("l1", "l1"),
                ("mse", "mse"),
                ("l2", "mse"),
                ("smoothl1", "huber"),
                ("smooth_l1", "huber"),
            )
        ],
        *[
            ("opt.lr_sch", theirs, "train.schedule", ours)
            for theirs, ours in (
                ("cosine", "cosine"),
                ("warmup_cosine", "cosine"),
                ("onecycle", "one_cycle"),
                ("OneCycleLR", "one_cycle"),
                ("ReduceLROnPlateau", "plateau"),
                ("constant", "constant"),
                ("none", "constant"),
                ("null", "constant"),
            )
        ],
        ("opt.type", "SGD", "train.optimizer", "sgd"),
        ("opt.type", "Adam", "train.optimizer", "adam"),
        ("opt.lr", "5E-5", "train.learning_rate", 5e-5),
        ("opt.warmup", "0.1", "train.warmup", 0.1),
        ("data.param", "[log_g, M_H]", "model.label_names", ("log_g", "M_H")),
        ("data.label_norm", "standard", "data.label_scaling", "zscore"),
        ("data.label_norm", "zscore", "data.label_scaling", "zscore"),
        ("data.label_norm", "none", "data.label_scaling", "none"),
        ("data.num_test_samples", "1e4", "data.n_validation", 10_000),
    ],
)
def test_every_word_for_a_value(name, theirs, ours, expected):
    listed = isinstance(theirs, str) and theirs[0] == "["
    text = f"opt: {{lr: 1e-4}}\ndata: {{param: {theirs}}}" if listed else with_key(name, theirs)
    section, _, key = ours.partition(".")
    assert getattr(getattr(parse(text).config, section), key) == expected


def test_a_gaussian_likelihood_makes_the_network_predict_its_uncertainty():
    assert parse(with_key("loss.name", "nll")).config.model.predict_sigma


@pytest.mark.parametrize("word", ["cls", "classification", "class"])
def test_the_task_cls_becomes_two_classes_of_log_g_whatever_param_and_loss_say(word):
    given = {"model": {"task_type": word, "num_labels": "2"}, "opt": {}, "data": {"label_norm": "standard"}}
    config, notes = parse(str(given | {"loss": {"name": "mae"}, "train": {"ep": "3"}}))
    assert (config.model.label_names, config.model.threshold) == (("log_g",), 2.5)
    assert (config.train.loss, config.data.label_scaling) == ("cross_entropy", "none")
    assert from_yaml(to_yaml(config)) == config
    said = "\n".join(notes)
    assert "loss.name mae is ignored: classes are learned by cross entropy" in said
    assert "data.label_norm standard is ignored" in said
    assert "the probability that log_g lies above 2.5 dex" in said
    assert "highest accuracy" in said


def test_of_the_task_cls_nothing_is_said_that_it_does_not_read():
    given = {"model": {"task_type": "cls"}, "opt": {}, "loss": {"name": "ce"}}
    said = "\n".join(parse(str(given)).notes)
    assert "is ignored" not in said
    assert "data.param" not in said
    assert "loss.name" not in said.replace("data.", "")
    param = parse(str(given | {"data": {"param": "T_eff"}}))
    assert param.config.model.label_names == ("log_g",)
    assert "data.param is ignored: the classes are those of log_g" in "\n".join(param.notes)


def test_no_key_is_read_and_ignored_at_once():
    assert not set(TABLE) & (set(TOGETHER) | set(IGNORED))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (with_key("opt.gamma", "0.9"), r"opt\.gamma is not known; opt may hold type, lr, lr_sch, factor"),
        ("opt: {}\noptimiser: {lr: 1}", r"section must be one of data, .*'optimiser'"),
        ("opt: {}\ntrain: fast", r"section train must be a mapping"),
        (with_key("opt.lr", "fast"), r"opt\.lr must be a number, found 'fast'"),
        (with_key("opt.type", "lbfgs"), r"opt\.type must be one of adam, adamw, sgd, .*, found 'lbfgs'"),
        (with_key("train.batch_size", "2.5"), r"train\.batch_size must be a whole number"),
        (with_key("train.ep", "0"), r"train\.ep must be positive, found 0"),
        (with_key("data.num_samples", "0"), r"data\.num_samples must be positive, found 0"),
        (with_key("data.num_test_samples", "-2"), r"data\.num_test_samples must be a number from 1"),
        (with_key("data.param_idx", "1"), r"data\.param_idx counts columns .*data\.param"),
        (with_key("noise.noise_level", "-1"), r"^noise\.noise_level must be .*, or 0, found -1"),
        (with_key("opt.warmup", {"epochs": "10"}), r"opt\.warmup\.epochs must be less than train\.ep 10"),
        (with_key("opt.warmup", {"steps": "3"}), r"opt\.warmup\.steps is not known.*ratio, epochs"),
        (with_key("warmup.preprocessor", "attention"), r"warmup\.preprocessor .*data\.preprocess"),
        (with_key("warmup.preprocessor", "zca"), r"warmup\.r must say how many components"),
        (with_warmup(cov_path="cov.pt"), r"warmup\.cov_path names a file .* measured here.*remove it"),
        (with_warmup(bias="false"), r"warmup\.bias must be true"),
        (with_warmup(embed="true"), r"warmup\.embed asks for a start"),
        (with_warmup(r="8"), r"model\.patch_size must be at most warmup\.r 8"),
        (with_warmup(freeze_epochs="-2"), r"warmup\.freeze_epochs must be 0, more"),
        (with_key("warmup.embed", "true"), r"warmup\.embed .*data\.preprocess"),
        ("method: grid\nparameters: {model.patch_size: {values: [8, 16]}}", r"a sweep .*`specvit sweep`"),
        ("preset: tiny\ndata: emulator\ngrid: {train.seed: [1, 2]}", r"a sweep .*`specvit sweep`"),
        (with_key("train.precision", "8"), r"train\.precision must be one of 32, "),
        (with_key("data.file_path", "${NO_SUCH_THING}/x.h5"), r"data\.file_path.*export NO_SUCH_THING="),
        (with_key("model.name", "cnn"), r"model\.name must be vit, found 'cnn'"),
        (with_key("model.task_type", "denoise"), r"model\.task_type must be one of reg, .*found 'denoise'"),
        (
            str({"opt": {}, "model": {"task_type": "cls", "task": "reg"}}),
            r"model\.task_type and model\.task ask for different tasks; keep one",
        ),
        (
            str({"opt": {}, "model": {"task_type": "cls", "num_labels": "3"}}),
            r"model\.num_labels must be 2 with task cls, log_g above 2\.5 or not; found 3",
        ),
        (with_key("loss.name", "ce"), r"loss\.name ce belongs to model\.task_type cls"),
        (with_key("model.num_labels", "3"), r"model\.num_labels is 3.*data\.param"),
        (with_key("model.stride_ratio", "0"), r"model\.stride_ratio must be positive"),
        (with_key("model.stride_ratio", "3"), r"model\.stride_ratio must be at most patch_size 16"),
        (str({"opt": {}, "model": {"stride_ratio": "0.5", "stride_size": "4"}}), r"stride_ratio.*keep one"),
        (str({"opt": {}, "model": {"intermediate_size": "512", "mlp_ratio": "4"}}), r"mlp_ratio.*keep one"),
        (
            str({"opt": {}, "train": {"grad_clip": "1", "gradient_clip": "2"}}),
            r"train\.gradient_clip is 2, train\.grad_clip is 1.*keep",
        ),
        (with_key("warmup.global", "true"), r"warmup\.global .*data\.preprocess=pca or zca"),
        (with_key("warmup.global_pca_path", "pca.pt"), r"warmup\.global_pca_path .*data\.preprocess"),
        (with_key("warmup.freeze_qk_epochs", "3"), r"warmup\.freeze_qk_epochs .*data\.preprocess"),
        (with_key("warmup.lora", "{r: 4}"), r"warmup\.lora"),
        (with_key("warmup.epochs", "3"), r"warmup\.epochs is not known; warmup may hold global, "),
    ],
)
def test_what_has_no_meaning_here_is_refused_by_name(text, said, monkeypatch):
    monkeypatch.delenv("NO_SUCH_THING", raising=False)
    with pytest.raises(ConfigError, match=said):
        parse(text)


def test_a_file_is_named_in_what_is_wrong_with_it(tmp_path):
    file = tmp_path / "vit.yaml"
    file.write_text(SHORT)
    assert load(file).config.data.source == "/data/train.h5"
    for text in (SHORT.replace("l1", "l7"), SHORT.replace("image_size: 4096", "image_size: 8"), "[1, 2"):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"vit\.yaml"):
            load(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"vit\.yaml must be text"):
        load(file)
    with pytest.raises(MissingInputError, match=r"none\.yaml"):
        load(tmp_path / "none.yaml")


LISTING = """
project: scaling
model: {name: vit, task_type: reg, image_size: 4096, patch_size: 16, hidden_size: 256, num_hidden_layers: 6,
  num_attention_heads: 8, stride_size: 16, proj_fn: C1D, pos_encoding_type: learned,
  max_position_embeddings: 512, num_labels: 1, param_names: [log_g]}
train: {batch_size: 256, ep: 200, debug: 0, num_workers: 8, precision: 16-mixed, deterministic: true}
loss: {name: mae}
opt: {type: AdamW, lr: 0.0003, weight_decay: 0.01, lr_sch: cosine, eta_min: 0.00001, T_max: 200}
data: {file_path: a.h5, val_path: b.h5, test_path: c.h5, param: log_g, label_norm: standard}
noise: {noise_level: 1.0}
warmup: {preprocessor: null, r: 128, freeze_epochs: 5, cov_path: cov.pt}
"""


def test_epochs_of_a_file_of_unknown_length_are_kept_until_the_run_begins():
    config, notes = parse(LISTING)
    assert (config.train.epochs, config.data.rows, config.data.source) == (200, None, "a.h5")
    assert (config.train.min_lr, config.train.schedule, config.train.warmup) == (1e-5, "cosine", 0)
    said = "\n".join(notes)
    assert "train.ep: the file says, as the run begins" in said
    assert config.train.deterministic
    for name in ("max_position_embeddings", "num_workers", "warmup.r", "warmup.cov_path"):
        assert f"{name} is ignored" in said
    assert "T_max" not in said  # as long as the epochs


def test_deterministic_stands_at_the_top_or_among_the_settings_of_the_training():
    for text, expected in (
        ("deterministic: true", True),
        ("deterministic: warn", True),
        ("deterministic:", False),
    ):
        assert parse(f"opt: {{}}\n{text}").config.train.deterministic == expected
    assert not parse("opt: {}\ndeterministic: false\ntrain: {deterministic: 0}").config.train.deterministic
    with pytest.raises(ConfigError, match=r"deterministic is .*keep one"):
        parse("opt: {}\ndeterministic: false\ntrain: {deterministic: true}")
    with pytest.raises(ConfigError, match="deterministic must be true or false, found 'often'"):
        parse("opt: {}\ndeterministic: often")


def test_what_belongs_to_a_start_that_is_switched_off_is_ignored():
    for switch in ("global", "embed", "preprocessor"):
        for key in SWITCHED:
            parse(str({"opt": {}, "warmup": {switch: "false", key: "3"}}))
            with pytest.raises(ConfigError, match=r"warmup\.\w+ asks for"):
                parse(str({"opt": {}, "warmup": {switch: "attention", key: "3"}}))


@pytest.mark.parametrize(
    ("opt", "expected", "said"),
    [
        ({"lr_sch": "plateau"}, ("plateau", 0.0, 0.0, 0.1, 10), "after one more"),
        ({"lr_sch": "plateau", "patience": "0"}, ("plateau", 0.0, 0.0, 0.1, 1), "validation R2"),
        ({"lr_sch": "onecycle", "lr": "1"}, ("one_cycle", 0.3, 4e-6, 0.1, 10), "moves beta1"),
        (
            {"lr_sch": "onecycle", "lr": "1", "pct_start": "0.2"},
            ("one_cycle", 0.2, 4e-6, 0.1, 10),
            "opt.lr / 25",
        ),
        (
            {"lr_sch": "onecycle", "lr": "1", "final_div_factor": "4"},
            ("one_cycle", 0.3, 0.01, 0.1, 10),
            "beta1",
        ),
        ({"lr_sch": "cosine", "T_max": "7"}, ("cosine", 0.0, 0.0, 0.1, 10), "opt.T_max 7 is ignored"),
        ({"T_max": "7"}, ("constant", 0.0, 0.0, 0.1, 10), "opt.T_max is ignored"),
        ({"eta_min": "1e-5"}, ("constant", 0.0, 0.0, 0.1, 10), "opt.eta_min is ignored"),
        ({"pct_start": "0.2"}, ("constant", 0.0, 0.0, 0.1, 10), "opt.pct_start is ignored"),
        ({"lr_sch": "cosine", "warmup": "0.1"}, ("cosine", 0.1, 0.0, 0.1, 10), "rises from 0"),
    ],
)
def test_a_learning_rate_takes_the_course_it_has_there_or_a_note_says_otherwise(opt, expected, said):
    config, notes = parse(str({"opt": opt}))
    train = config.train
    found = (train.schedule, train.warmup, train.min_lr, train.plateau_factor, train.plateau_patience)
    assert found == pytest.approx(expected)
    assert said in "\n".join(notes)


def test_sgd_has_no_momentum_there():
    assert parse(with_key("opt.type", "sgd")).config.train.b1 == 0


@pytest.mark.parametrize(
    ("name", "expected", "said"),
    [
        ("RMSprop", (0.9, 0.99), "rmsprop does not decay weights here"),
        ("Adadelta", (0.9, 0.9), ""),
        ("Adagrad", (0.9, 0.999), "adagrad does not decay weights here"),
        ("Adamax", (0.9, 0.999), "adamax does not decay weights here"),
        ("NAdam", (0.9, 0.999), "momentum_decay"),
        ("RAdam", (0.9, 0.999), "radam does not decay weights here"),
        ("AdamW", (0.9, 0.999), ""),
    ],
)
def test_optimisers_have_the_decays_of_pytorch_or_a_note_says_otherwise(name, expected, said):
    config, notes = parse(str({"opt": {"type": name, "weight_decay": "0.1"}}))
    assert config.train.optimizer == name.lower()
    assert (config.train.b1, config.train.b2) == expected
    assert said in "\n".join(notes)
    assert ("opt.weight_decay is ignored" in "\n".join(notes)) == (name not in ("Adadelta", "AdamW"))


def test_windows_that_leave_pixels_over_are_a_difference_that_is_named():
    model = {"image_size": "4096", "patch_size": "200", "proj_fn": "SW"}
    for more, named in (({}, True), ({"proj_fn": "CNN"}, False), ({"patch_size": "64"}, False)):
        notes = parse(str({"opt": {}, "model": model | more})).notes
        assert ("token of zeros" in "\n".join(notes)) == named


# Values that the original takes; heads divide the width, windows fit into the spectrum.
VALID = {
    "model.name": ["vit", "ViT"],
    "model.task_type": ["reg", "regression"],
    "model.image_size": ["4096"],
    "model.patch_size": ["16", "32", "45", "100", "200"],
    "model.hidden_size": ["4", "32", "256"],
    "model.num_hidden_layers": ["1", "6"],
    "model.num_attention_heads": ["1", "2"],
    "model.proj_fn": ["SW", "C1D", "CNN"],
    "model.stride_ratio": ["1", "0.5", "0.33", "1e-3"],
    "model.pos_encoding_type": ["rope", "learned", "none", "null"],
    "model.rope_base": ["10000", "5e5"],
    "model.max_position_embeddings": ["512"],
    "model.num_labels": ["1", "3"],
    "train.batch_size": ["1", "8192"],
    "train.ep": ["2", "300"],
    "train.precision": ["32", "16-mixed", "bf16"],
    "train.grad_clip": ["0", "0.5"],
    "train.workers": ["0", "24"],
    "train.num_workers": ["8"],
    "train.debug": ["0", "false"],
    "train.deterministic": ["true"],
    "loss.name": ["l1", "mae", "mse", "huber"],
    "opt.type": ["adam", "AdamW", "SGD", "rmsprop", "adadelta", "adagrad", "adamax"],
    "opt.lr": ["0.001", "1e-4"],
    "opt.lr_sch": ["plateau", "cosine", "CosineAnnealingLR", "onecycle", "constant", "null"],
    "opt.factor": ["0.8", "0.1"],
    "opt.patience": ["0", "2"],
    "opt.T_max": ["8", "100"],
    "opt.eta_min": ["0", "1e-5"],
    "opt.pct_start": ["0.3"],
    "opt.warmup": ["0.1", {"ratio": "0.05"}, {"ratio": "null", "epochs": "1"}],
    "opt.weight_decay": ["0", "1e-2"],
    "data.file_path": ["train/dataset.h5"],
    "data.val_path": ["val/dataset.h5", "null"],
    "data.test_path": ["test/dataset.h5"],
    "data.num_samples": ["-1", "100", "1e6"],
    "data.num_test_samples": ["-1", "512"],
    "data.label_norm": ["standard", "minmax", "none", "null"],
    "noise.noise_level": ["0", "1.0", "2"],
    "mask.mask_ratio": ["0.85"],
    "warmup.preprocessor": ["null"],
    "warmup.global": ["false"],
}


def config_of(given: dict[str, object]) -> str:
    sections: dict[str, dict[str, object]] = {"opt": {}}
    for name, value in given.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return str(sections)


def drawn(seed: int) -> dict[str, object]:
    """A config of keys and values drawn at random."""
    dice = random.Random(seed)
    chosen = {name: dice.choice(values) for name, values in VALID.items() if dice.random() < 0.6}
    chosen.setdefault("model.num_attention_heads", "2")
    return chosen | {"data.param": dice.choice(["log_g", "T_eff, log_g, M_H"])}


@pytest.mark.parametrize("seed", range(60))
def test_any_combination_of_their_keys_is_read(seed):
    given = drawn(seed)
    config, notes = parse(config_of(given))
    assert from_yaml(to_yaml(config)) == config
    said = "\n".join(notes)
    for name, value in given.items():
        assert name not in IGNORED or value == "null" or f"{name} is ignored" in said
    for name, (ours, _) in TABLE.items():
        if (
            given.get(name, "null") == "null"
            and name in DEFAULTS
            and name not in ("opt.factor", "opt.patience")
        ):
            assert ours in ("train.min_lr", "train.clip_norm") or f"{name} {DEFAULTS[name]}" in said


WRONG = {
    "model.image_size": "8",
    "model.patch_size": "0",
    "model.hidden_size": "255",
    "model.num_hidden_layers": "-1",
    "model.num_attention_heads": "7",
    "model.stride_size": "-3",
    "model.mlp_ratio": "0",
    "model.hidden_dropout_prob": "1.5",
    "model.attention_probs_dropout_prob": "-0.1",
    "train.batch_size": "0",
    "train.grad_clip": "-1",
    "train.seed": "-1",
    "loss.delta": "0",
    "opt.lr": "0",
    "opt.eta_min": "7",
    "opt.factor": "1.5",
    "opt.patience": "-1",
    "opt.weight_decay": "nan",
    "opt.warmup": "1.5",
    "data.num_samples": "-7",
    "noise.noise_level": "inf",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_limit_of_ours_is_told_in_the_words_of_the_file(name):
    course = {"lr_sch": "cosine"} if name in ("opt.eta_min", "opt.warmup") else {}
    section, _, key = name.partition(".")
    plain = {"opt": course, "model": {"num_attention_heads": "8"}}
    plain = plain | {section: plain.get(section, {}) | {key: WRONG[name]}}
    with pytest.raises(ConfigError) as caught:
        parse(str(plain))
    said = str(caught.value)
    assert name in said or key == "image_size"  # whose limit is that of the patches
    foreign = {ours for ours, _ in TABLE.values()} - set(TABLE) - set(TOGETHER)
    assert not [ours for ours in foreign if re.search(rf"(?<!\w){re.escape(ours)}\b", said)], said


def test_words_are_those_that_the_file_uses(tmp_path):
    file = tmp_path / "vit.yaml"
    file.write_text("opt: {warmup_epochs: 2}\ntrain: {gradient_clip: 1}\nmodel: {stride_ratio: 0.5}")
    theirs = words(file)
    assert (theirs["train.clip_norm"], theirs["train.warmup"]) == ("train.gradient_clip", "opt.warmup_epochs")
    assert (theirs["model.stride"], theirs["data.validation"]) == ("model.stride_ratio", "data.val_path")
    said = "data.validation /a/data.validation and learning_rate, seed: train.clip_norm=1, data.grid"
    expected = "data.val_path /a/data.validation and opt.lr, seed: train.gradient_clip=1, data.grid"
    assert reworded(said, theirs) == expected
    file.write_text("preset: tiny")
    assert words(file) == {}
