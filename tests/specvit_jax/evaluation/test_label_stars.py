"""Observed spectra through a network: what is made of each, its flags, and that no star changes another."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, MissingInputError, UsageError
from crlb.files.observed import MODEL_UNIT, NORMALISED, Observed, Origin
from crlb.files.spectra import write_spectra
from specvit_jax.evaluation.labelled import joined
from specvit_jax.evaluation.predict import Predictions, predict
from specvit_jax.evaluation.trained import TrainedNetwork
from specvit_jax.evaluation.training_set import make_training_set
from specvit_jax.settings.config import Config, DataConfig
from tests.specvit_jax.evaluation.conftest import MODEL, stars


@pytest.fixture(scope="module")
def training(two_line_grid):
    return make_training_set(Config(model=MODEL, data=DataConfig(grid=str(two_line_grid))), 250)


@pytest.fixture(scope="module")
def network(weights, training) -> TrainedNetwork:
    found = TrainedNetwork(weights)
    found.__dict__["training"] = (training, "")
    return found


@pytest.fixture(scope="module")
def unknown(weights) -> TrainedNetwork:
    """A network whose training is not known."""
    found = TrainedNetwork(weights)
    found.__dict__["training"] = (None, "its grid is not here")
    return found


def star(training, seed: int = 0, mag: float = 21.0, **changes) -> Observed:
    """A spectrum of the training with its noise, on the detector's pixels, at rest."""
    rng = np.random.default_rng(seed)
    clean = training.mean + training.coefficients[seed] @ training.basis.T
    error = training.errors_at(mag)
    made = Observed(
        DETECTOR_WAVE,
        (clean + error * rng.normal(size=4096)).astype(np.float64),
        error.astype(np.float64) ** -2.0,
        Origin("memory", "test", star=f"star {seed}"),
        unit=MODEL_UNIT,
        resolving_power=DETECTOR_WAVE / 1.6,
        rv_kms=0.0,
    )
    return replace(made, **changes)


def flags(network, observed: Observed) -> set[str]:
    return set(network.predict(observed).flags[0].split(","))


def test_a_star_of_the_training_has_no_flag_and_the_labels_of_its_flux(network, training):
    many = [star(training, seed) for seed in range(20)]
    found = network.predict(many)
    assert sum(one == "-" for one in found.flags) >= 19
    flux = np.stack([one.flux for one in many]).astype(np.float32)
    direct = predict(network.weights, flux)
    # The scale is found from the noisy flux, to half a per cent; the small network hardly feels it.
    np.testing.assert_allclose(found.labels, direct.labels, rtol=0.01, atol=0.01)
    np.testing.assert_allclose(found.snr, [one.snr for one in many])
    assert (found.good_pixels == 1).all()
    assert (found.rv_kms == 0).all()
    assert [one.star for one in found.origins[:2]] == ["star 0", "star 1"]


def test_the_unit_of_the_flux_does_not_matter(network, training):
    one = star(training)
    for factor in (0.9, 1e-17, 1e5):
        other = replace(one, flux=one.flux * factor, ivar=one.ivar / factor**2)
        found, plain = network.predict(other), network.predict(one)
        np.testing.assert_allclose(found.labels, plain.labels, rtol=1e-4)
        assert found.flags == plain.flags


def test_one_bad_spectrum_changes_no_other_row_bit_for_bit(network, training):
    many = [star(training, seed) for seed in range(30)]
    before = network.predict(many)
    zero = np.zeros(4096)
    for bad in (replace(many[7], flux=zero), replace(many[7], ivar=zero, flux=zero), star(training, 7, 30.0)):
        after = network.predict([*many[:7], bad, *many[8:]])
        others = np.arange(30) != 7
        for name in ("labels", "snr", "distance", "p_value", "good_pixels"):
            np.testing.assert_array_equal(getattr(before, name)[others], getattr(after, name)[others])
        assert before.flags[8:] == after.flags[8:]


@pytest.mark.parametrize(
    ("changed", "flag", "word"),
    [
        (lambda one: replace(one, flux=np.zeros(4096)), "BAD_SCALE", "not above zero"),
        (lambda one: replace(one, flux=-one.flux), "BAD_SCALE", "not above zero"),
        (
            lambda one: replace(one, flux=np.random.default_rng(0).normal(size=4096)),
            "BAD_SCALE",
            "not above zero",
        ),
        (lambda one: replace(one, ivar=np.zeros(4096)), "FEW_PIXELS", "0 usable pixels"),
        (
            lambda one: replace(one, ivar=np.where(np.arange(4096) < 499, one.ivar, 0)),
            "FEW_PIXELS",
            "500 are needed",
        ),
        (lambda one: replace(one, wave=one.wave - 2000), "FEW_PIXELS", "7100 to 8850"),
    ],
)
def test_nonsense_has_no_labels_but_a_row_that_says_why(network, training, changed, flag, word):
    found = network.predict([changed(star(training)), star(training, 1)])
    assert np.isnan(found.labels[0]).all()
    assert np.isfinite(found.labels[1]).all()
    assert {flag, "UNUSABLE"} <= set(found.flags[0].split(","))
    assert word in found.notes[0]


def test_a_fainter_or_brighter_star_or_other_errors_are_other_conditions(network, training):
    assert "CONDITIONS" not in flags(network, star(training, mag=20.5))
    assert "CONDITIONS" not in flags(network, star(training, mag=22.5))
    for mag in (19.0, 23.5):
        assert "CONDITIONS" in flags(network, star(training, mag=mag))
    assert "LOW_SNR" in flags(network, star(training, mag=23.5))
    one = star(training)
    ramp = np.linspace(0.4, 2.5, 4096)
    found = network.predict(replace(one, ivar=one.ivar / ramp**2))
    assert "errors" in found.notes[0]


def test_what_the_network_was_not_taught_is_named(network, training):
    one = star(training)
    holes = np.where(np.arange(4096) % 10, one.ivar, 0.0)
    cases = {
        "90 % of the pixels": replace(one, ivar=holes),
        "continuum was divided out": replace(one, unit=NORMALISED),
        "unit of the flux is not known": replace(one, unit="unknown"),
        "resolving power 2000": replace(one, resolving_power=np.full(4096, 2000.0)),
        "resolving power not stated": replace(one, resolving_power=None),
        "resampled": replace(one, wave=one.wave + 0.2),
    }
    for word, changed in cases.items():
        found = network.predict(changed)
        assert word in found.notes[0], word
        assert "CONDITIONS" in found.flags[0]
    assert "RESOLUTION" in flags(network, cases["resolving power not stated"])


def test_files_without_errors_get_them_from_their_scatter(network, training):
    one = star(training)
    found = network.predict(replace(one, ivar=np.ones(4096), has_errors=False))
    assert "NO_ERRORS" in found.flags[0]
    np.testing.assert_allclose(found.snr, one.snr, rtol=0.15)


def test_a_label_beyond_those_of_the_training_lies_at_the_edge(network, training):
    below = replace(training, label_range=np.array([[6.0, 4000.0], [7.0, 6000.0]]))
    other = TrainedNetwork(network.weights)
    other.__dict__["training"] = (below, "")
    assert "EDGE" in flags(other, star(training))
    assert "EDGE" not in flags(network, star(training))


def test_a_network_of_unknown_training_knows_no_distance(unknown, training):
    found = unknown.predict([star(training, seed) for seed in range(3)])
    assert np.isnan(found.p_value).all()
    assert np.isfinite(found.labels).all()


def test_arrays_are_predicted_as_before(network):
    flux = np.asarray(stars(4).noisy)
    for given in (flux, flux.tolist(), list(flux)):
        found = network.predict(given)
        assert isinstance(found, Predictions)
        np.testing.assert_array_equal(found.labels, predict(network.weights, flux).labels)
    assert network.predict(flux[0]).labels.shape == (1, 2)


@pytest.mark.parametrize("factor", [1e-17, 0.1, 7.0, -1.0])
def test_an_array_in_another_unit_is_refused_unless_the_scale_was_free(network, factor):
    flux = np.asarray(stars(4).noisy)
    other = np.vstack([flux[:2], factor * flux[2:]])
    with pytest.raises(DataError, match=r"median of about 0\.[45].*spectrum 2; scale it"):
        network.predict(other)
    config = network.weights.config
    free = replace(config, data=replace(config.data, conditions="survey"))
    assert len(TrainedNetwork(network.weights._replace(config=free)).predict(other).labels) == 4


def test_lost_pixels_do_not_count_for_the_level(network):
    flux, usable = np.asarray(stars(4).noisy).copy(), np.ones((4, 4096))
    flux[:, :3000], usable[:, :3000] = 0.0, 0.0
    assert len(network.predict(flux, usable=usable).labels) == 4


def test_files_objects_in_memory_and_their_mixture(network, training, tmp_path):
    write_spectra(tmp_path / "s.h5", stars(5))
    one = star(training)
    columns = {"wave": one.wave, "flux": one.flux, "ivar": one.ivar}
    from astropy import units as u

    table = Table({"wave": one.wave * u.AA, "flux": one.flux, "ivar": one.ivar}, meta={"medium": "vacuum"})
    from crlb.readers.options import ReadOptions

    options = ReadOptions(wave_unit="A", medium="vacuum", rv_kms=0.0)
    assert len(network.predict(tmp_path / "s.h5")) == 5
    assert len(network.predict([str(tmp_path / "s.h5"), one])) == 6
    for given in (table, columns, [table, columns], iter([one])):
        found = network.predict(given, options)
        assert np.isfinite(found.labels).all()
    with pytest.raises(MissingInputError, match="none"):
        network.predict(tmp_path / "none.fits")
    with pytest.raises(UsageError, match="at least one"):
        network.predict([])
    with pytest.raises(DataError, match="spectra must be"):
        network.predict(3.0)


def test_the_table_has_units_and_the_legend_and_is_written_in_every_format(network, training, tmp_path):
    found = network.predict([star(training, seed) for seed in range(3)])
    table = found.to_table()
    assert str(table["T_eff"].unit) == "K"
    assert "OUT_OF_DISTRIBUTION" in table.meta["flags"]
    for suffix in (".csv", ".ecsv", ".fits"):
        found.write(tmp_path / f"t{suffix}")
        again = Table.read(tmp_path / f"t{suffix}")
        assert again.colnames == table.colnames
        np.testing.assert_allclose(again["log_g"], found.of("log_g"), rtol=1e-7)
    with pytest.raises(UsageError, match="M_H"):
        found.of("M_H")
    assert len(joined([found, found])) == 6


def test_sigma_has_its_columns_where_the_network_predicts_it(sigma_weights, training):
    network = TrainedNetwork(sigma_weights)
    network.__dict__["training"] = (training, "")
    found = network.predict([star(training), replace(star(training), flux=np.zeros(4096))])
    assert (found.sigma[0] > 0).all()
    assert np.isnan(found.sigma[1]).all()
    assert "log_g_sigma" in found.to_table().colnames


def test_one_line_says_what_the_network_assumes(network, unknown):
    said = network.assumes()
    assert "7100 to 8850 Å" in said
    assert "20.5 to 22.5 mag (SNR" in said
    assert "\n" not in said
    assert "20.5 to 22.5 mag;" in unknown.assumes()


def test_a_velocity_that_nobody_states_is_found_and_removed():
    """With lines of the embedded grid, by which the templates recognise it."""
    import crlb

    model = crlb.forward_model()
    flux = np.asarray(model.flux(np.array([4800.0, 2.5, -0.5])), np.float64)
    from specvit_jax.evaluation.instrument import at_rest

    wave = DETECTOR_WAVE * (1 + 50 / 299792.458)
    noisy = flux + 0.02 * np.random.default_rng(0).normal(size=4096)
    moved = Observed(wave, noisy, np.full(4096, 2500.0), Origin("memory", "test"))
    rest, found = at_rest(replace(moved, resolving_power=wave / 1.6))
    assert found.rv_kms == pytest.approx(50, abs=2)
    np.testing.assert_allclose(rest.wave, DETECTOR_WAVE, atol=0.06)
    assert found.said[0].startswith(f"velocity of {found.rv_kms:.1f} km/s")
    flat, none = at_rest(replace(moved, flux=0.5 + 0.02 * np.random.default_rng(1).normal(size=4096)))
    assert none.rv_kms is None
    np.testing.assert_array_equal(flat.wave, wave)
    assert "VELOCITY" not in "".join(found.said)
