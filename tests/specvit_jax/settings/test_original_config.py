"""Configs of the original PyTorch system, read in this project's words."""

import pytest

from crlb.errors import ConfigError, MissingInputError
from specvit_jax.settings.config import preset
from specvit_jax.settings.config_file import from_yaml, load, parse, to_yaml
from specvit_jax.settings.original_keys import IGNORED, TABLE, TOGETHER

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


def with_key(name: str, value: str) -> str:
    section, _, key = name.partition(".")
    start = {} if section == "opt" else {"opt": {"lr": "1e-4"}}
    return str(start | {section: {key: value}})


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
    assert len(notes) == 11
    assert from_yaml(to_yaml(config)) == config


def test_what_a_short_config_leaves_out_is_as_in_the_preset_paper():
    config, notes = parse(SHORT)
    paper = preset("paper")
    assert (config.model.dtype, config.model.patch_size) == ("float32", 16)
    assert (config.train.optimizer, config.train.schedule) == ("adam", "constant")
    assert (config.train.clip_norm, config.train.steps) == (float("inf"), paper.train.steps)
    assert config.data.validation is None
    assert len(notes) == 1  # of the clip; the weight decay of adam was not asked for


@pytest.mark.parametrize(
    ("name", "theirs", "ours", "expected"),
    [
        ("model.stride_size", "8", "model.stride", 8),
        ("model.stride_ratio", "0.25", "model.stride", 4),
        ("model.stride_ratio", "1", "model.stride", 16),
        ("model.proj_fn", "C1D", "model.tokenizer", "conv"),
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
    text = with_key(name, theirs) if theirs[0] != "[" else f"opt: {{lr: 1e-4}}\ndata: {{param: {theirs}}}"
    section, _, key = ours.partition(".")
    assert getattr(getattr(parse(text).config, section), key) == expected


def test_a_gaussian_likelihood_makes_the_network_predict_its_uncertainty():
    assert parse(with_key("loss.name", "nll")).config.model.predict_sigma


def test_no_key_is_read_and_ignored_at_once():
    assert not set(TABLE) & (set(TOGETHER) | set(IGNORED))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (with_key("opt.gamma", "0.9"), r"opt\.gamma is not known; opt may hold type, lr, lr_sch, factor"),
        ("opt: {}\noptimiser: {lr: 1}", r"section must be one of data, .*'optimiser'"),
        ("opt: {}\ntrain: fast", r"section train must be a mapping"),
        (with_key("opt.lr", "fast"), r"opt\.lr must be a number, found 'fast'"),
        (with_key("opt.type", "lion"), r"opt\.type must be one of adam, adamw, sgd, found 'lion'"),
        (with_key("train.batch_size", "2.5"), r"train\.batch_size must be a whole number"),
        (with_key("train.ep", "5"), r"train\.ep needs data\.num_samples"),
        (with_key("train.precision", "8"), r"train\.precision must be one of 32, "),
        (with_key("data.file_path", "${NO_SUCH_THING}/x.h5"), r"data\.file_path.*export NO_SUCH_THING="),
        (with_key("model.name", "cnn"), r"model\.name must be vit, found 'cnn'"),
        (with_key("model.task_type", "cls"), r"model\.task_type must be reg"),
        (with_key("model.num_labels", "3"), r"model\.num_labels is 3.*data\.param"),
        (with_key("model.stride_ratio", "0.3"), r"model\.stride_ratio must give a whole number.*4\.8"),
        (str({"opt": {}, "model": {"stride_ratio": "0.5", "stride_size": "4"}}), r"stride_ratio.*keep one"),
        (str({"opt": {}, "model": {"intermediate_size": "512", "mlp_ratio": "4"}}), r"mlp_ratio.*keep one"),
        (str({"opt": {}, "train": {"grad_clip": "1", "gradient_clip": "2"}}), r"train\.clip_norm.*keep one"),
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
