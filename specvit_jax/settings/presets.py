"""The presets: whole configs that a run begins with."""

from dataclasses import replace

from crlb.errors import UsageError
from crlb.suggest import meant
from specvit_jax.settings.config import Config, DataConfig, ModelConfig, TrainConfig

# paper: the published network and training: one A100, 31 h for 200 epochs of 1M spectra; R2 0.71
PAPER = Config(
    preset="paper",
    train=TrainConfig(steps=781_400, eval_every=2000, checkpoint_every=2000),
)
# small: the published network of 7.4 million, wider and with fewer blocks: 7,204,609 and, as its documents
# count, 147,840 of an unused pooler. That the original's hidden layers are always four times as wide leaves
# four blocks for that number. 50 epochs of 1M spectra
SMALL = Config(
    preset="small",
    model=ModelConfig(embed_dim=384, depth=4, num_heads=6),
    train=replace(PAPER.train, steps=195_350, loss="huber", huber_delta=0.5),
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
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, found {name!r}{meant(name, PRESETS)}")
    return PRESETS[name]
