"""Real spectra of known stars: matching of labels, choice of stars, statistics, nearest node, residuals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from crlb.detector import SPEED_OF_LIGHT_KMS
from crlb.errors import MissingInputError
from crlb.files.observed import Observed, Origin
from experiments.__main__ import All, run_all
from experiments.observed.experiment import ObservedOptions, some_of, unavailable
from experiments.observed.fits import BestFit, name_of
from experiments.observed.nearest import misfits
from experiments.observed.network import at_rest, covers_arm
from experiments.observed.rows import Fitted
from experiments.observed.scores import all_scores, groups, honesty, of, shifts
from experiments.observed.settings import CORES, TELLURIC, without_telluric, without_windows
from experiments.observed.stacks import EDGES, largest, stack
from experiments.study.literature import LABELS, Literature, Star, chosen, label_noise, label_rows, literature

HEAD = "file,star,teff,e_teff,logg,e_logg,feh,e_feh,source,note\n"
ROWS = """stelib/a.fits,A,5000,,2.0,,-1.0,,one,
stelib/a.fits,A,5100,30,2.4,0.2,-1.2,,two,
stelib/a.fits,A,5200,,2.2,0.1,-1.1,,three,
calspec/b.fits,B,5800,,4.4,,0.0,,one,
stelib/c.fits,C,6500,,4.0,,0.0,,one,
stelib/d.fits,D,5000,,,,0.0,,one,
elsewhere/e.fits,E,5000,,4.0,,0.0,,one,
gaia_rvs/f.csv,F,5600,,4.4,,-0.1,,one,
"""


@pytest.fixture
def entries(tmp_path):
    (tmp_path / "labels.csv").write_text(HEAD + ROWS)
    return literature(label_rows(tmp_path))


def star(i: int, log_g: float = 4.0, m_h: float = 0.0, name: str = "stelib") -> Literature:
    none = dict.fromkeys(LABELS)
    labels = {"T_eff": 5000.0 + i, "log_g": log_g, "M_H": m_h}
    return Literature(
        set=name, file=f"{name}/{i}", star=str(i), sources=1, labels=labels, spread=none, stated=none
    )


def fit(one: Literature, error: float = 0.0, sigma: float = 0.1, setting: str = "main") -> Fitted:
    mean = {name: value + error for name, value in one.labels.items()}
    return Fitted(setting=setting, set=one.set, file=one.file, mean=mean, sigma=dict.fromkeys(LABELS, sigma))


def observed(wave: np.ndarray) -> Observed:
    return Observed(wave, np.ones(wave.size), np.ones(wave.size), Origin("x", "made"))


def test_several_sources_of_a_star_are_its_mean_and_their_spread(entries):
    one = entries[0]
    assert (one.sources, one.star, one.set) == (3, "A", "stelib")
    assert one.labels == pytest.approx({"T_eff": 5100, "log_g": 2.2, "M_H": -1.1})
    assert one.spread == pytest.approx({"T_eff": 100, "log_g": 0.2, "M_H": 0.1})
    assert one.stated == {"T_eff": 30.0, "log_g": 0.1, "M_H": None}
    assert entries[1].spread == dict.fromkeys(LABELS)


def test_stars_are_left_out_by_rule_with_the_reason(entries):
    used, left = chosen(entries)
    assert [one.star for one in used] == ["A", "F"]
    reasons = {one.star: one.why for one in left}
    assert reasons["B"] == "resolving power below 1000"
    assert reasons["C"] == "T_eff 6500 outside the grid, 3750 to 6000"
    assert reasons["D"] == "no log_g in the literature"
    assert "how this set is read" in reasons["E"]


def test_the_noise_of_the_literature_is_pooled_over_stars_with_several_sources(entries):
    two = replace(entries[1], spread={"T_eff": 50.0, "log_g": 0.1, "M_H": None})
    found = label_noise([entries[0], two, entries[2]])
    assert found["T_eff"] == pytest.approx(np.sqrt((100**2 + 50**2) / 2))
    assert found["M_H"] == pytest.approx(0.1)
    assert label_noise([entries[1]])["log_g"] == 0.0


def test_without_data_the_way_out_is_named_and_the_experiment_is_skipped(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPECVIT_REFERENCE", str(tmp_path))
    with pytest.raises(MissingInputError, match=r"labels\.csv .* --data, or set SPECVIT_REFERENCE"):
        label_rows(tmp_path / "observed")
    assert "--data" in unavailable(ObservedOptions("cpu"))
    assert unavailable(ObservedOptions("smoke")) == ""  # stars are made up
    assert "--data" in unavailable(ObservedOptions("smoke", data=tmp_path))
    run_all(All("cpu", ("observed",), out=tmp_path / "out"))
    assert "skipped: observed: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_stars_of_one_set_have_files_of_their_own():
    files = [f"stelib/STELIB_v3.2_HD{i}.fits" for i in range(3)]
    stars = [Star(replace(star(0), file=file), observed(np.arange(2.0) + 1)) for file in files]
    assert len({name_of(one) for one in stars}) == 3


def test_a_few_stars_are_spread_over_all():
    stars = [star(i) for i in range(10)]
    assert [one.file for one in some_of(stars, 2)] == ["stelib/2", "stelib/7"]
    assert some_of(stars, 10) == stars


def test_groups_split_at_their_values_and_leave_pipeline_labels_out_of_the_library():
    stars = [star(0, 2.9, -0.91), star(1, 3.0, -0.9), star(2, 2.0, -2.0, "lamost")]
    members = {name: [belongs(one) for one in stars] for name, belongs in groups(stars).items()}
    assert members["all"] == [True, True, True]
    assert members["library"] == [True, True, False]
    assert members["library giants"] == [True, False, False]
    assert members["library dwarfs"] == [False, True, False]
    assert members["library metal-poor"] == [True, False, False]
    assert members["library others"] == [False, True, False]
    assert members["LAMOST"] == [False, False, True]


def test_scores_are_those_of_numpy():
    rng = np.random.default_rng(0)
    stars = [star(i, log_g) for i, log_g in enumerate(rng.uniform(1, 5, 30))]
    errors = rng.normal(0.2, 0.3, 30)
    fits = [fit(one, error) for one, error in zip(stars, errors, strict=True)]
    found = of(all_scores(stars, fits, dict.fromkeys(LABELS, 0.0)), "main", "library", "log_g")
    truth = np.array([one.labels["log_g"] for one in stars])
    assert found.r2 == pytest.approx(1 - (errors**2).sum() / ((truth - truth.mean()) ** 2).sum())
    assert found.bias == pytest.approx(errors.mean())
    assert found.scatter == pytest.approx(errors.std())
    assert found.bias_high - found.bias_low == pytest.approx(2 * 1.96 * errors.std() / np.sqrt(30), rel=0.1)
    assert found.r2_low < found.r2 < found.r2_high
    assert found.median_pull == pytest.approx(np.median(np.abs(errors)) / 0.1)
    assert found.within_2 == pytest.approx((np.abs(errors) < 0.2).mean())


def test_stars_that_could_not_be_read_do_not_count_and_few_are_not_scored():
    stars = [star(i, 1 + 0.5 * i) for i in range(6)]
    fits = [fit(one) for one in stars[:5]] + [fit(stars[5], np.nan)]
    scores = all_scores(stars, fits, dict.fromkeys(LABELS, 0.0))
    assert (of(scores, "main", "all", "log_g").n, of(scores, "main", "all", "log_g").r2) == (5, 1.0)
    few = of(scores, "main", "library dwarfs", "log_g")
    assert (few.n, few.r2, few.bias) == (1, None, None)
    assert of(scores, "other", "all", "log_g") is None


def test_an_honest_sigma_has_the_pulls_of_a_normal_distribution():
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.1, 0.3, 100_000)
    error = rng.normal(0, np.hypot(sigma, 0.2))
    found = honesty(error, sigma, 0.2)
    assert found["pull_with_noise"] == pytest.approx(norm.ppf(0.75), rel=0.02)
    assert found["median_pull"] > 1.1 * norm.ppf(0.75)
    alone = honesty(rng.normal(0, sigma), sigma, 0.0)
    assert alone["within_1"] == pytest.approx(0.683, abs=0.01)
    assert alone["within_2"] == pytest.approx(0.954, abs=0.01)


def test_shifts_are_those_of_the_same_stars():
    stars = [star(i, 2.0) for i in range(8)]
    fits = [fit(one) for one in stars[:7]] + [fit(one, 0.3, setting="less") for one in stars[1:]]
    by_group = {one.group: one for one in shifts(stars, fits, "main", ["less"])}
    assert by_group["library giants"].n == 6
    assert by_group["library giants"].shift == pytest.approx(0.3)
    assert (by_group["library dwarfs"].n, by_group["library dwarfs"].shift) == (0, None)


def test_left_out_pixels_are_those_of_the_air_and_of_the_lines_at_rest():
    some = observed(np.arange(7100.0, 8850.0, 0.5))
    air = without_telluric(some)
    inside = np.any([(a <= some.wave) & (some.wave <= b) for a, b in TELLURIC], axis=0)
    np.testing.assert_array_equal(air.usable, ~inside)
    cores = without_windows(some, CORES, rv_kms=100.0)
    lost = some.wave[~cores.usable]
    assert len(lost) == 3 * 8
    middle = lost.reshape(3, -1).mean(axis=1) / (1 + 100.0 / SPEED_OF_LIGHT_KMS)
    np.testing.assert_allclose(middle, [8500.36, 8544.44, 8664.52], atol=0.3)


def test_a_spectrum_at_rest_has_its_lines_there():
    some = at_rest(observed(np.array([8000.0, 8002.0])), 30.0)
    np.testing.assert_allclose(some.wave * (1 + 30.0 / SPEED_OF_LIGHT_KMS), [8000, 8002])
    assert some.rv_kms == 30.0


def test_nine_tenths_of_the_arm_must_be_there():
    assert covers_arm(observed(np.arange(7100.0, 8850.0)))
    assert covers_arm(observed(np.arange(7100.0, 8690.0)))
    assert not covers_arm(observed(np.arange(7100.0, 8660.0)))
    hole = observed(np.arange(7100.0, 8850.0))
    lost = replace(hole, ivar=np.where((hole.wave > 7600) & (hole.wave < 7800), 0.0, 1.0))
    assert not covers_arm(lost)


def test_the_misfit_of_a_model_is_that_of_least_squares():
    rng = np.random.default_rng(2)
    wave = np.linspace(-1, 1, 50)
    curves, models = np.array([np.ones(50), wave, wave**2]), rng.uniform(0.5, 1, (4, 50))
    flux, root = rng.uniform(0.5, 1, 50), rng.uniform(1, 3, 50)
    found = misfits(models, curves, flux, root)
    for model, chi2 in zip(models, found, strict=True):
        rest = np.linalg.lstsq((curves * model * root).T, flux * root, rcond=None)[1]
        assert chi2 == pytest.approx(float(rest[0]))


def test_residuals_are_stacked_at_rest_and_named():
    rng = np.random.default_rng(3)
    wave, fits = np.arange(8400.0, 8800.0, 0.5), []
    for rv_kms in (-60.0, 0.0, 40.0, 80.0):
        centre = 8544.44 * (1 + rv_kms / SPEED_OF_LIGHT_KMS)
        flux = 1 + 0.1 * (np.abs(wave - centre) < 1.5) + 0.001 * rng.standard_normal(wave.size)
        fits.append(BestFit(wave, flux, np.ones(wave.size), np.ones(wave.size), rv_kms))
    found = stack("giants", fits)
    first = found.lines[0]
    assert first.wave == pytest.approx(8544.44, abs=2)
    assert first.features.startswith("Ca II 8544")
    assert first.mean > 0.06
    place = int(np.searchsorted(EDGES, 8700)) - 1
    assert found.scatter[place] == pytest.approx(0.0005, rel=0.7)
    assert found.mean[0] is None  # no star reaches it


def test_the_largest_residuals_stand_apart():
    wave = np.arange(8000.0, 8100.0, 2.0)
    mean = np.where(wave == 8050, -0.2, np.where(np.abs(wave - 8050) == 2, 0.1, 0.01))
    found = largest(wave, mean)
    assert [one.wave for one in found[:1]] == [8050.0]
    assert found[1].mean == 0.01
