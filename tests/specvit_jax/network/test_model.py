"""The network: its size, its arithmetic, what depends on what."""

import json
from dataclasses import replace
from functools import partial
from math import erf

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from specvit_jax.network import model as vit
from specvit_jax.network.model import SpecViT, attention, attention_pool, split
from specvit_jax.network.networks import cost, parameter_counts
from specvit_jax.network.position import rotate
from specvit_jax.network.tokens import Tokens, chunk_norm, linear_init, windows
from specvit_jax.settings.config import ModelConfig
from specvit_jax.settings.presets import PAPER, SMALL

X = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)


def make(config: ModelConfig):
    """A network with random weights everywhere, also where it starts with zeros and ones."""
    model, rng = SpecViT(config), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, config.input_size)))["params"]
    return model, jax.tree.map(lambda s: jnp.asarray(0.3 * rng.normal(size=s.shape), s.dtype), shapes)


def apply(config: ModelConfig, params, x, **options):
    return SpecViT(config).apply({"params": params}, jnp.asarray(x), **options)


# --- size


def test_published_network_has_4809729_parameters():
    counts = parameter_counts(PAPER.model)
    assert sum(counts.values()) == 4_809_729
    assert counts["tokens/patches"] == 4352
    assert counts["tokens/position"] == 65_792
    assert counts["tokens/cls"] == 256
    assert [counts[f"block_{i}"] for i in range(6)] == [789_760] * 6
    assert counts["norm"] == 512
    assert counts["head"] == 257


def test_every_parameter_is_counted(toy_model):
    config = replace(toy_model, pool="attention", pos_embed="wavelength", predict_sigma=True)
    counts = parameter_counts(config)
    assert sum(counts.values()) == sum(leaf.size for leaf in jax.tree.leaves(make(config)[1]))
    assert (counts["query"], counts["tokens/position"], counts["head"]) == (16, 256, 34)


def test_published_counts_are_those_of_the_reference(reference):
    published = json.loads((reference / "published.json").read_text())["parameters"]
    counts = parameter_counts(PAPER.model)
    assert (
        sum(counts.values())
        == published["live"]
        == published["total_as_published"] - published["unused_pooler"]
    )
    found = [
        counts[name]
        for name in ("tokens/patches", "tokens/position", "tokens/cls", "block_5", "norm", "head")
    ]
    named = ("patch_embed_conv", "pos_embed", "cls_token", "per_block", "final_norm", "head")
    assert found == [published[name] for name in named]


def test_small_preset_is_384_wide_with_6_heads():
    assert (SMALL.model.embed_dim, SMALL.model.depth, SMALL.model.num_heads) == (384, 4, 6)
    assert sum(parameter_counts(SMALL.model).values()) == 7_204_609


def test_counted_flops_are_those_of_the_traced_network():
    model, x = SpecViT(PAPER.model), jax.ShapeDtypeStruct((1, 4096), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    traced = jax.jit(model.apply).lower(params, x).cost_analysis()["flops"]
    counted = cost(PAPER.model)["forward_flops"]
    assert counted <= traced < 1.1 * counted


# --- arithmetic


def layer_norm(x, p):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * p["scale"] + p["bias"]


def affine(x, p):
    return np.tensordot(x, p["kernel"], axes=1) + p["bias"]


def numpy_vit(x, p, cfg):
    """The published network written out in numpy float64, one spectrum and one head at a time."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), p)
    out = []
    for spectrum in x.astype(np.float64):
        starts = range(0, len(spectrum) - cfg.patch_size + 1, cfg.patch_stride)
        rows = [affine(spectrum[s : s + cfg.patch_size], p["tokens"]["patches"]) for s in starts]
        t = np.array([p["tokens"]["cls"][0, 0], *rows]) + p["tokens"]["position"][0]
        for i in range(cfg.depth):
            b = p[f"block_{i}"]
            y = layer_norm(t, b["norm_attention"])
            q, k, v = (affine(y, b[name]) for name in ("query", "key", "value"))
            heads, size = [], cfg.embed_dim // cfg.num_heads
            for h in range(0, cfg.embed_dim, size):
                scores = q[:, h : h + size] @ k[:, h : h + size].T / np.sqrt(size)
                weights = np.exp(scores - scores.max(1, keepdims=True))
                heads.append(weights / weights.sum(1, keepdims=True) @ v[:, h : h + size])
            t = t + affine(np.concatenate(heads, axis=1), b["out"])
            y = affine(layer_norm(t, b["norm_mlp"]), b["up"])
            y = y * 0.5 * (1 + np.vectorize(erf)(y / np.sqrt(2)))
            t = t + affine(y, b["down"])
        out.append(affine(layer_norm(t, p["norm"])[0], p["head"]))
    return np.array(out)


@pytest.mark.parametrize(
    "change", [{"depth": 2}, {"tokenizer": "linear", "stride": 5, "label_names": ("log_g", "M_H")}]
)
def test_network_equals_numpy_with_the_same_weights(toy_model, change):
    config = replace(toy_model, **change)
    _, params = make(config)
    np.testing.assert_allclose(apply(config, params, X), numpy_vit(X, params, config), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-5), ("bfloat16", 0.03)])
@pytest.mark.parametrize("is_rotated", [False, True])
def test_attention_and_its_gradient_are_the_same_head_by_head_and_at_once(dtype, atol, is_rotated):
    q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 7, 12)).astype(dtype)

    def told(form, q, k, v):
        q, k = (rotate(t, 3) if is_rotated else t for t in (q, k))
        out = form(q, k, v, 3).astype(jnp.float32)
        return jnp.sum(jnp.sin(out)), out

    found, expected = (
        jax.grad(partial(told, form), argnums=(0, 1, 2), has_aux=True)(q, k, v)
        for form in (vit.head_by_head, vit.all_heads)
    )
    assert max(float(jnp.abs(t).max()) for t in expected[0]) > 0.3
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), atol=atol)


@pytest.mark.parametrize(
    ("platform", "rate", "products"), [("cpu", 0.0, 6), ("cuda", 0.0, 2), ("cuda", 0.5, 6)]
)
def test_attention_is_chosen_by_the_device_that_it_is_compiled_for(platform, rate, products):
    """With dropout of the weights it is head by head."""
    q = jnp.zeros((2, 7, 12))
    keys = jax.random.split(jax.random.key(0), 2)
    traced = jax.jit(attention, static_argnums=(3, 4)).trace(q, q, q, 3, rate, keys)
    assert traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.dot_general") == products


@pytest.mark.parametrize("step", [5, 16])
def test_tokens_are_a_strided_convolution(step):
    kernel = jax.random.normal(jax.random.key(0), (16, 8))
    expected = jax.lax.conv_general_dilated(
        jnp.asarray(X)[:, :, None], kernel[:, None], (step,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )
    np.testing.assert_allclose(windows(jnp.asarray(X), 16, step) @ kernel, expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_keeps_parameters_and_output_in_float32(toy_model):
    _, params = make(replace(toy_model, dtype="bfloat16"))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    half = apply(replace(toy_model, dtype="bfloat16"), params, X)
    assert half.dtype == jnp.float32
    full = apply(toy_model, params, X)
    assert 0 < np.abs(half - full).max() < 0.05


def test_in_bfloat16_norms_residual_stream_and_head_are_float32(toy_model):
    config = replace(toy_model, dtype="bfloat16", pool="attention", predict_sigma=True)
    model, params = make(config)

    def outputs(params, x):
        return model.apply({"params": params}, x, capture_intermediates=True)[1]["intermediates"]

    found = jax.eval_shape(outputs, params, jnp.asarray(X))
    dtype = {
        jax.tree_util.keystr(path, simple=True, separator="/").split("/__call__")[0]: leaf.dtype
        for path, leaf in jax.tree_util.tree_leaves_with_path(found)
    }
    products = {"tokens/patches"} | {f"block_0/{n}" for n in ("query", "key", "value", "out", "up", "down")}
    assert {
        name for name, kind in dtype.items() if kind == jnp.bfloat16 and "query_key" not in name
    } == products
    others = {"tokens", "block_0", "block_0/norm_attention", "block_0/norm_mlp", "norm", "head", "__call__/0"}
    assert {name for name, kind in dtype.items() if kind == jnp.float32} == others


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def test_in_bfloat16_products_are_bfloat16_and_every_softmax_is_float32(toy_model):
    config = replace(toy_model, dtype="bfloat16", pool="attention")
    model, params = make(config)
    jaxpr = jax.make_jaxpr(model.apply)({"params": params}, jnp.asarray(X)).jaxpr
    found = {"dot_general": [], "exp": []}
    for equation in equations(jaxpr):
        if equation.primitive.name in found:
            found[equation.primitive.name].append(equation.invars[0].aval.dtype)
    # patches, query, key, value, scores and weighted sums of 2 heads and of both at once, out, up, down; then
    # the pooling and the head
    assert found["dot_general"] == [jnp.bfloat16] * 13 + [jnp.float32] * 2
    assert found["exp"] == [jnp.float32] * 4  # two heads, both at once, and the pooling


def test_a_zero_query_pools_to_the_mean_and_a_long_one_to_the_token_it_points_at():
    x = jax.random.normal(jax.random.key(0), (3, 7, 5))
    np.testing.assert_allclose(attention_pool(x, jnp.zeros(5)), x.mean(axis=1), atol=1e-6)
    nearest = x[np.arange(3), np.argmax(x[..., 2], axis=1)]
    np.testing.assert_allclose(attention_pool(x, jnp.zeros(5).at[2].set(1e4)), nearest, atol=1e-5)


def test_attention_pooling_starts_as_the_mean(toy_model):
    x, key = jnp.asarray(X), jax.random.key(0)
    config = replace(toy_model, pool="attention")
    params = jax.jit(SpecViT(config).init)(key, x)["params"]
    assert params["query"].shape == (16,)
    mean = {name: leaf for name, leaf in params.items() if name != "query"}
    found = apply(replace(config, pool="mean"), mean, X)
    np.testing.assert_allclose(apply(config, params, X), found, atol=1e-6)


def test_sigma_has_outputs_of_its_own_after_the_labels(toy_model):
    config = replace(toy_model, predict_sigma=True, label_names=("log_g", "M_H"))
    _, params = make(config)
    assert params["head"]["bias"].shape == (4,)
    labels, log_sigma = split(apply(config, params, X), 2)
    plain = {**params, "head": jax.tree.map(lambda leaf: leaf[..., :2], params["head"])}
    only = split(apply(replace(config, predict_sigma=False), plain, X), 2)
    np.testing.assert_allclose(labels, only[0], atol=1e-6)
    assert only[1] is None
    assert log_sigma.shape == (3, 2)
    assert np.abs(log_sigma - labels).max() > 1e-3
    with pytest.raises(ValueError, match="need 2 or 4 outputs"):
        split(jnp.zeros((3, 3)), 2)


def test_tanh_gelu_is_close_to_the_exact_one():
    x = jnp.linspace(-4, 4, 101)
    difference = np.abs(vit.gelu(x, "tanh") - vit.gelu(x, "exact")).max()
    assert 1e-5 < difference < 1e-3


# --- what depends on what


def shuffled(x):
    return x.reshape(len(x), 4, 16)[:, [2, 0, 3, 1]].reshape(len(x), 64)


def test_without_position_the_order_of_patches_does_not_matter(toy_model):
    config = replace(toy_model, pool="mean", pos_embed="none")
    _, params = make(config)
    np.testing.assert_allclose(apply(config, params, shuffled(X)), apply(config, params, X), atol=1e-5)


def test_with_position_the_order_of_patches_matters(toy_model):
    config = replace(toy_model, pool="mean")
    _, params = make(config)
    assert np.abs(apply(config, params, shuffled(X)) - apply(config, params, X)).max() > 1e-3


@pytest.mark.parametrize("step", [16, 6])
def test_a_pixel_touches_only_its_tokens(toy_model, step):
    tokens = Tokens(replace(toy_model, stride=step, pool="mean"))
    _, params = make(tokens.config)
    jac = jax.jit(jax.jacfwd(lambda x: tokens.apply({"params": params["tokens"]}, x[None])[0]))(
        jnp.asarray(X[0])
    )
    touched = np.abs(jac).max(axis=1) > 0
    first = step * np.arange(len(touched))[:, None]
    pixel = np.arange(64)[None, :]
    np.testing.assert_array_equal(touched, (pixel >= first) & (pixel < first + 16))


def test_chunk_norm_takes_level_and_scale_out_of_every_window(toy_model):
    rng = np.random.default_rng(2)
    level, scale = rng.normal(size=(3, 4, 1)), rng.uniform(0.5, 2.0, size=(3, 4, 1))
    other = (level + scale * X.reshape(3, 4, 16)).reshape(3, 64).astype(np.float32)
    config = replace(toy_model, chunk_norm=True)
    _, params = make(config)
    np.testing.assert_allclose(apply(config, params, other), apply(config, params, X), atol=1e-4)
    assert np.abs(apply(toy_model, params, other) - apply(toy_model, params, X)).max() > 1e-2


def test_normalised_windows_have_mean_zero_and_deviation_one():
    patches = chunk_norm(5 + 0.3 * jax.random.normal(jax.random.key(0), (2, 6, 16)))
    np.testing.assert_allclose(patches.mean(axis=2), 0, atol=1e-5)
    np.testing.assert_allclose(patches.std(axis=2), 1, rtol=1e-4)
    np.testing.assert_array_equal(chunk_norm(jnp.full((1, 1, 4), 3.0)), 0)
    assert chunk_norm(jnp.ones((1, 1, 4), jnp.bfloat16)).dtype == jnp.float32


@pytest.mark.parametrize(
    "change",
    [
        {"pool": "cls"},
        {"pool": "mean", "pos_embed": "rotary"},
        {"pool": "flat", "chunk_norm": True},
        {"pool": "attention", "pos_embed": "wavelength", "predict_sigma": True},
    ],
)
def test_every_parameter_gets_gradient(toy_model, change):
    config = replace(toy_model, **change)
    model, params = make(config)
    grads = jax.jit(jax.grad(lambda p: jnp.mean(model.apply({"params": p}, jnp.asarray(X)) ** 2)))(params)
    # A key's bias adds the same to all scores of a query, which softmax does not see.
    dead = {
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads)
        if np.abs(leaf).max() < 1e-7 and "['key']['bias']" not in jax.tree_util.keystr(path)
    }
    assert not dead


def test_a_spectrum_does_not_see_its_neighbours_in_the_batch(toy_model):
    _, params = make(toy_model)
    others = np.concatenate([-X[:1], X[1:2], 3 * X[2:]])
    np.testing.assert_allclose(apply(toy_model, params, others)[1], apply(toy_model, params, X)[1], atol=1e-5)


def test_dropout_follows_the_spectrum_and_not_its_place(toy_model):
    config = replace(toy_model, dropout=0.3, attention_dropout=0.3)
    _, params = make(config)

    def train(rows, seed=0):
        index, rngs = jnp.array(rows), {"dropout": jax.random.key(seed)}
        return np.asarray(apply(config, params, X[rows], train=True, index=index, rngs=rngs))

    np.testing.assert_allclose(train([2, 1, 0])[::-1], train([0, 1, 2]), atol=1e-5)
    assert np.abs(train([0, 1, 2]) - train([0, 1, 2], seed=1)).min() > 1e-4
    assert np.abs(train([0, 1, 2]) - apply(config, params, X)).min() > 1e-4


def test_dropout_keeps_the_mean_and_drops_the_stated_fraction():
    keys = jax.random.split(jax.random.key(0), 50)
    out = vit.dropout(jnp.ones((50, 20, 20)), 0.2, keys, 0)
    assert np.mean(out == 0) == pytest.approx(0.2, abs=0.01)  # 20,000 draws: 3.5 sigma
    assert np.mean(out) == pytest.approx(1.0, abs=0.013)


# --- start and refusals


def test_published_start(toy_model):
    config = replace(toy_model, init="published", token_std=1.0, embed_dim=256)
    x, key = jnp.asarray(X), jax.random.key(0)
    conv, linear = (
        Tokens(replace(config, tokenizer=name)).init(key, x)["params"] for name in ("conv", "linear")
    )
    kernel, bias = (conv["patches"][name] for name in ("kernel", "bias"))
    for leaf in (kernel, bias):  # U(+-1/sqrt(16))
        assert 0.95 * 0.25 < np.abs(leaf).max() <= 0.25
    assert np.std(kernel) == pytest.approx(0.25 / np.sqrt(3), rel=0.05)
    assert np.std(linear["patches"]["kernel"]) == pytest.approx(0.02, rel=0.05)
    assert np.abs(linear["patches"]["bias"]).max() == 0
    assert np.std(conv["position"]) == pytest.approx(1.0, rel=0.1)
    assert np.std(conv["cls"]) == pytest.approx(1.0, rel=0.15)
    assert np.std(linear_init(config)(key, (256, 256))) == pytest.approx(0.02, rel=0.02)


def test_scaled_start_keeps_the_variance_through_a_linear_map(toy_model):
    kernel = linear_init(toy_model)(jax.random.key(0), (256, 256))
    x = np.random.default_rng(0).normal(size=(500, 256))
    assert np.var(x @ np.asarray(kernel)) == pytest.approx(1.0, rel=0.05)


def test_unknown_options_raise(toy_model):
    with pytest.raises(ValueError, match="gelu"):
        vit.gelu(jnp.ones(3), "relu")
    with pytest.raises(ValueError, match="input_size"):
        jax.eval_shape(SpecViT(toy_model).init, jax.random.key(0), jnp.zeros((1, 65)))
