"""Information per pixel against the bound, a spectrum built to know it, and measured lines."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from crlb.errors import UsageError
from crlb.fisher.features import FEATURES, Feature, features_near
from crlb.fisher.information import (
    cumulative_share,
    mean_information,
    per_angstrom,
    pixel_information,
    ranked_windows,
)
from crlb.fisher.matrix import UnidentifiableError, cramer_rao_bound, fisher_information

NAMES = ("T_eff", "log_g", "M_H")
WAVE = np.arange(8000.0, 8100.0, 0.5)
X = (WAVE - 8050) / 50
JAC = np.stack([np.cos(3 * X), np.exp(-20 * (X - 0.3) ** 2) + 0.5 * np.cos(3 * X), X + 0.1], axis=1)
IVAR = 40 * (1.2 + np.sin(5 * X))


def line(centre):
    return np.exp(-0.5 * ((WAVE - centre) / 1.5) ** 2)


def test_marginal_information_sums_to_the_bound_exactly():
    bound = cramer_rao_bound(fisher_information(JAC, IVAR))
    for i, name in enumerate(NAMES):
        found = pixel_information(JAC, IVAR, name, label_names=NAMES)
        np.testing.assert_allclose(found.marginal.sum(), bound[i] ** -2, rtol=1e-12)
        np.testing.assert_allclose(found.conditional, JAC[:, i] ** 2 * IVAR, rtol=1e-13)
        assert found.marginal.sum() < found.conditional.sum()


def test_sum_holds_for_nearly_degenerate_labels():
    close = np.stack([JAC[:, 0], JAC[:, 0] + 1e-4 * JAC[:, 1]], axis=1)
    found = pixel_information(close, IVAR, 1)
    sharp = JAC[:, 1] - JAC[:, 0] * (IVAR * JAC[:, 0] @ JAC[:, 1]) / (IVAR * JAC[:, 0] @ JAC[:, 0])
    np.testing.assert_allclose(found.marginal, 1e-8 * sharp**2 * IVAR, rtol=1e-6, atol=1e-16)


def test_fixed_labels_are_not_projected_out():
    found = pixel_information(JAC, IVAR, "log_g", label_names=NAMES, fixed=("T_eff",))
    bound = cramer_rao_bound(fisher_information(JAC, IVAR), fixed=(0,))[1]
    np.testing.assert_allclose(found.marginal.sum(), bound**-2, rtol=1e-12)
    alone = pixel_information(JAC, IVAR, 1, fixed=(0, 2))
    np.testing.assert_array_equal(alone.marginal, alone.conditional)


def test_pixels_that_only_a_nuisance_explains_hold_nothing():
    """Two lines of log_g; another label moves one of them alone: only the other line tells log_g."""
    jac = np.stack([line(8030), line(8030) + line(8070)], axis=1)
    found = pixel_information(jac, np.ones_like(WAVE), 1)
    np.testing.assert_allclose(found.marginal, line(8070) ** 2, atol=1e-12)
    np.testing.assert_allclose(found.conditional, (line(8030) + line(8070)) ** 2, rtol=1e-12)


def test_unusable_pixels_hold_nothing_and_degenerate_labels_raise():
    ivar = np.where(WAVE < 8020, 0.0, IVAR)
    assert (pixel_information(JAC, ivar, 1).marginal[WAVE < 8020] == 0).all()
    twins = np.stack([X, 2 * X], axis=1)
    with pytest.raises(UnidentifiableError, match="cannot be told apart"):
        pixel_information(twins, IVAR, 0)
    assert np.isnan(jax.jit(lambda jac: pixel_information(jac, IVAR, 0).marginal)(jnp.asarray(twins))).all()
    with pytest.raises(UsageError, match="log_g is fixed"):
        pixel_information(JAC, IVAR, "log_g", label_names=NAMES, fixed=("log_g",))
    with pytest.raises(UsageError, match=r"must be one of T_eff, log_g, M_H .* found 'vsini'"):
        pixel_information(JAC, IVAR, "vsini", label_names=NAMES)


def test_mean_over_stars_is_the_mean_of_single_stars():
    flux_fn = Partial(lambda v: 2 + v[0] * jnp.cos(3 * X) + jnp.exp(v[1] - 20 * X**2) + v[2] * X)
    stars = np.random.default_rng(1).uniform(0, 0.3, (19, 3))  # more than one chunk
    done = []
    found = mean_information(
        flux_fn, lambda flux: 0.01 * flux, stars, "log_g", label_names=NAMES, advance=done.append
    )
    each = [pixel_information(jax.jacfwd(flux_fn)(jnp.asarray(v)), 100 / flux_fn(v), 1) for v in stars]
    np.testing.assert_allclose(found.marginal, np.mean([e.marginal for e in each], axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.conditional, np.mean([e.conditional for e in each], axis=0), rtol=1e-9)
    assert sum(done) == 19
    with pytest.raises(UsageError, match="at least one star"):
        mean_information(flux_fn, lambda flux: flux, stars[:0], "log_g", label_names=NAMES)


def test_density_and_cumulative_share_keep_the_sum():
    wave = np.concatenate([np.arange(8000, 8050, 0.5), np.arange(8050, 8100, 1.0)])
    information = np.linspace(1, 3, wave.size)
    density = per_angstrom(information, wave)
    np.testing.assert_allclose(density[10], information[10] / 0.5)
    np.testing.assert_allclose(density[-10], information[-10])
    share = cumulative_share(information)
    assert share[-1] == 1
    np.testing.assert_allclose(share[3], information[:4].sum() / information.sum())


def test_windows_rank_the_lines_by_their_information():
    information = 3 * line(8030) + 5 * line(8070) + line(8050)
    found = ranked_windows(WAVE, information, width=12.0, n=3)
    assert [w.low < c < w.high for w, c in zip(found, (8070, 8030, 8050), strict=True)] == [True] * 3
    np.testing.assert_allclose([w.share for w in found], [5 / 9, 3 / 9, 1 / 9], atol=2e-4)
    for w in found:
        inside = np.abs(WAVE - (w.low + w.high) / 2) < 6
        np.testing.assert_allclose(w.information, information[inside].sum(), rtol=1e-12)
        np.testing.assert_allclose(w.high - w.low, 12.0)


def test_windows_do_not_overlap_and_cover_at_most_everything():
    information = np.random.default_rng(3).uniform(0, 1, WAVE.size)
    found = sorted(ranked_windows(WAVE, information, width=7.3, n=99), key=lambda w: w.low)
    assert all(a.high <= b.low for a, b in pairwise(found))
    assert len(found) > 6
    assert 0.5 < sum(w.share for w in found) <= 1
    best = ranked_windows(WAVE, information, width=7.3, n=1)[0]
    sums = [information[i : i + 14].sum() for i in range(WAVE.size - 13)]  # 7.3 Å hold 14 pixels of 0.5
    np.testing.assert_allclose(best.information, max(sums), rtol=1e-12)
    np.testing.assert_allclose(best.high - best.low, 7.0)


def test_narrow_windows_are_single_pixels_and_bad_widths_are_refused():
    found = ranked_windows(WAVE, line(8030), width=0.1, n=1)[0]
    np.testing.assert_allclose([found.low, found.high], [8029.75, 8030.25])
    for width in (0.0, 1000.0):
        with pytest.raises(UsageError, match=r"width must lie between 0 and 100\.0 Å"):
            ranked_windows(WAVE, line(8030), width=width)


def test_window_names_what_lies_in_it():
    names = [near.feature.name for near in features_near(8540.0, 8550.0)]
    assert names == ["Ca II 8544", "H I Pa15"]
    (alone,) = features_near(8700.0, 8705.0)
    assert alone.feature.name == "Fe I 8691"
    np.testing.assert_allclose(alone.distance, 8691.011 - 8700)
    red = features_near(8480.0, 8498.0, reach=3.0)[0]
    np.testing.assert_allclose(red.distance, 2.358, atol=1e-9)
    table = (Feature("one", 10.0, "here"), Feature("two", 12.0, "here"))
    assert [near.feature.name for near in features_near(11.5, 13.0, features=table)] == ["two", "one"]


def test_paschen_lines_are_where_they_are_measured():
    measured = {12: 8750.472, 13: 8665.019, 14: 8598.392, 16: 8502.483, 17: 8467.254}  # Å in air: NIST
    found = {feature.name: feature.wave for feature in FEATURES}
    for n, air in measured.items():
        np.testing.assert_allclose(found[f"H I Pa{n}"], air * (1 + 2.747e-4), atol=0.02)  # Ciddor at 8600 Å
    assert "H I Pa11" not in found  # 8865 Å, redder than the arm


def test_every_feature_lies_in_the_arm_and_has_a_source():
    waves = [feature.wave for feature in FEATURES]
    assert waves == sorted(waves)
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    assert all(7100 < wave < 8850 for wave in waves)
    assert all(feature.source for feature in FEATURES)


def test_listed_lines_are_minima_of_a_synthetic_spectrum(reference):
    """Vacuum, not air: each strong line within a pixel of a local minimum of a peer-made spectrum."""
    import h5py

    with h5py.File(reference / "synspec_grid_coarse.h5") as file:
        wave, labels = file["wave"][:], file["labels"][:]
        flux = file["flux"][np.flatnonzero((labels == [4500, 4, 0]).all(axis=1))[0]]
    minima = wave[1:-1][(flux[1:-1] < flux[2:]) & (flux[1:-1] < flux[:-2])]
    for feature in FEATURES:
        if feature.name.split()[0] in ("Ca", "Na", "K", "Mg", "Fe"):
            assert np.abs(minima - feature.wave).min() < 0.5, feature
