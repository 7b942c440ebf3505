"""Real stars get their labels, and nothing that is none gets a number without a flag."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import stats

from crlb.bayes.fit_quality import AT_EDGE, at_edge
from crlb.bayes.label_stars import label_stars
from crlb.bayes.prior import make_prior
from crlb.bayes.solve import Inference
from crlb.files.observed import Origin
from crlb.observation.conditions import Conditions
from crlb.readers.many import Spoilt
from tests.crlb.bayes.stars_toy import TRUTH, WAVE, sight_and_prior, star, variants

FREE = Conditions(scale=np.inf, continuum=3, rv_sigma_kms=np.inf)
AT_REST = replace(FREE, rv_sigma_kms=0.0)
KNOWN = replace(AT_REST, continuum=0)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return sight_and_prior(tmp_path_factory.mktemp("stars"))


def labelled(toy, spectra, conditions=FREE):
    """Stars by the name of their spectrum, with fewer points than usual."""
    if not conditions.rv_sigma_kms:
        spectra = {name: replace(one, rv_kms=0.0) for name, one in spectra.items()}
    inference = Inference(conditions, target_ess=64.0, n_templates=1024, n_points=256)
    found = label_stars(spectra.values(), *toy, key=jax.random.key(0), inference=inference)
    return dict(zip(spectra, found, strict=True))


def is_right(found):
    return bool((np.abs(found.mean - TRUTH) < 3 * found.sigma).all())


# What has to be among the flags: any of these.
SAID = {
    "x 2, errors as they were": {"POOR_FIT"},
    "x 1e-17, errors as they were": {"BAD_SCALE", "LOW_SNR"},
    "zero": {"BAD_SCALE"},
    "negative": {"BAD_SCALE"},
    "noise": {"BAD_SCALE", "LOW_SNR"},
    "air as vacuum": {"VELOCITY"},
    "2000 km/s": {"VELOCITY", "OUT_OF_GRID"},
    "errors / 10": {"POOR_FIT"},
    "40 pixels": {"FEW_PIXELS"},
    "R 1500": {"RESOLUTION"},
}
OTHERWISE = {"OUT_OF_GRID", "POOR_FIT", "VELOCITY", "EDGE"}
UNFLAGGED = (
    "good", "x 0.9", "x 2", "x 1e-17", "f_nu", "normalised", "+50 km/s", "+150 km/s", "cosmic ray",
    "eight cosmic rays", "residual of the sky", "small residual of the sky", "pixels not finite",
    "a seventh of the pixels without errors",
)  # fmt: skip
SHAPES, MOVED = ("f_nu", "normalised"), ("+50 km/s", "+150 km/s")
CORE = ("good", "f_nu", "+50 km/s", "residual of the sky", "constant with noise", "R 1500", "zero", "galaxy")


def faults(spectra, found, conditions):
    """Rows of the table that are neither right nor flagged for what is wrong with them, and false alarms."""
    for name, (_, right) in spectra.items():
        one = found[name].posterior
        flags = set(one.flags)
        known = not conditions.rv_sigma_kms and name in MOVED
        bent = conditions.continuum == 0 and name in SHAPES
        if name in UNFLAGGED and not known and not bent:
            if flags or not is_right(one):
                yield name, one.mean, one.flags
        elif right and not known and not bent:
            if not flags and not is_right(one):
                yield name, one.mean, one.flags
        elif known and "VELOCITY" not in flags:
            yield name, one.mean, one.flags
        elif bent and "BAD_SCALE" not in flags:
            if not is_right(one):
                yield name, one.mean, one.flags
        elif not right and not flags & SAID.get(name, OTHERWISE):
            yield name, one.mean, one.flags


def test_nonsense_is_flagged_and_good_stars_are_not(toy):
    spectra = {name: one for name, one in variants(star(25.0)).items() if name in CORE}
    found = labelled(toy, {name: one for name, (one, _) in spectra.items()})
    assert list(faults(spectra, found, FREE)) == []


@pytest.mark.slow
@pytest.mark.parametrize("snr", [7.0, 25.0])
@pytest.mark.parametrize("conditions", [FREE, AT_REST, KNOWN], ids=["all unknown", "at rest", "all known"])
def test_every_kind_of_nonsense_is_flagged_and_good_stars_are_not(toy, snr, conditions):
    spectra = variants(star(snr))
    found = labelled(toy, {name: one for name, (one, _) in spectra.items()}, conditions)
    assert list(faults(spectra, found, conditions)) == []


def test_pixels_far_from_the_fit_are_left_out_and_counted_and_no_other_row_changes(toy):
    every = variants(star(25.0))
    hit = {name: every[name][0] for name in ("good", "residual of the sky")}
    both, alone = labelled(toy, hit), labelled(toy, {"good": hit["good"]})
    assert "20 pixels further than 6 sigma" in both["residual of the sky"].note
    assert both["residual of the sky"].posterior.n_pix == both["good"].posterior.n_pix - 20
    assert both["good"].note == ""
    change = both["good"].posterior.mean - alone["good"].posterior.mean
    assert (np.abs(change) < 0.01 * alone["good"].posterior.sigma).all()
    off = np.abs(both["residual of the sky"].posterior.mean - both["good"].posterior.mean)
    assert (off < 0.5 * both["good"].posterior.sigma).all()


def test_a_spoilt_spectrum_keeps_its_row_and_its_reason(toy):
    spoilt = Spoilt(Origin("b", ""), "cannot be read")
    inference = Inference(KNOWN, target_ess=16.0, n_templates=256, n_points=64)
    good = replace(star(5.0), rv_kms=0.0)
    found = list(label_stars([good, spoilt, good], *toy, key=jax.random.key(0), inference=inference))
    assert [one.note for one in found] == ["", "cannot be read", ""]
    assert found[1].posterior.flags == ("UNUSABLE",)
    assert np.isnan(found[1].posterior.mean).all()


@pytest.mark.parametrize(
    ("oracle", "expected"),
    [
        (stats.truncnorm(0.0, 30.0, loc=0.0, scale=0.03), True),  # half a Gaussian: the star lies at the edge
        (stats.truncnorm(9.0, 60.0, loc=-0.2, scale=0.02), True),  # the tail of one beyond: exponential
        (stats.truncnorm(-0.3, 30.0, loc=0.01, scale=0.03), False),
        (stats.truncnorm(-3.0, 30.0, loc=0.3, scale=0.1), False),
        (stats.uniform(0.0, 1.0), False),  # nothing is known
        (stats.triang(0.0), False),
    ],
    ids=["at the edge", "beyond", "just inside", "inside", "flat", "triangle"],
)
def test_a_posterior_piled_up_at_an_edge_is_told_by_its_mean_and_sigma(oracle, expected):
    prior = make_prior(np.zeros(1), np.ones(1), ("log_g",))
    mean, sigma = np.array([oracle.mean()]), np.array([oracle.std()])
    assert at_edge(mean, sigma * 1.0001, prior) == expected
    assert at_edge(1 - mean, sigma * 1.0001, prior) == expected
    half = stats.halfnorm()
    assert half.mean() / half.std() == pytest.approx(AT_EDGE, rel=1e-12)


def test_without_errors_the_estimated_one_counts_once(toy):
    """Errors from the scatter contain the model's: chi2 does not count it again, only lines share it."""
    bare = replace(star(25.0), ivar=np.ones(WAVE.size), has_errors=False)
    found = labelled(toy, {"a": bare}, AT_REST)["a"].posterior
    erring = replace(AT_REST, model_error=0.02)
    added = labelled(toy, {"a": bare}, erring)["a"].posterior
    for one, conditions in ((found, AT_REST), (added, erring)):
        own = labelled(toy, {"a": star(25.0)}, conditions)["a"].posterior
        np.testing.assert_allclose(one.sigma, own.sigma, rtol=0.2)
    np.testing.assert_allclose(added.chi2, found.chi2, rtol=0.05)
    assert found.error == pytest.approx(0.04, rel=0.1)
    assert np.isnan(found.p_value)
