"""What is made of a spectrum as its file holds it."""

import numpy as np
import pytest

from crlb.errors import DataError
from crlb.files.observed import MODEL_UNIT, NORMALISED, UNKNOWN_UNIT, Origin
from crlb.readers.options import ReadOptions
from crlb.readers.raw import Raw
from crlb.readers.understand import observed_of

WAVE = np.linspace(7100.0, 8850.0, 200)


def raw(**given: object) -> Raw:
    """A spectrum of 200 pixels with a slope, of which everything is known."""
    values: dict[str, object] = {
        "wave": WAVE,
        "flux": np.linspace(1.0, 2.0, 200),
        "noise": np.full(200, 0.1),
        "noise_kind": "error",
        "wave_unit": "A",
        "medium": "vacuum",
    }
    return Raw(Origin("star.fits", "test"), **(values | given))


def test_what_is_in_vacuum_angstrom_stays_as_it_is() -> None:
    found = observed_of(raw(), ReadOptions())
    np.testing.assert_array_equal(found.wave, WAVE)
    np.testing.assert_allclose(found.ivar, 100.0)
    assert not found.lost
    assert found.unit == UNKNOWN_UNIT


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        ("nm", WAVE / 10),
        ("Nanometers", WAVE / 10),
        ("um", WAVE / 1e4),
        ("micron", WAVE / 1e4),
        ("m", WAVE / 1e10),
        ("Angstroms", WAVE),
        ("AA", WAVE),
        ("0.1 nm", WAVE),
        ("log10(A)", np.log10(WAVE)),
        ("log(Angstrom)", np.log10(WAVE)),
        ("ln(nm)", np.log(WAVE / 10)),
    ],
)
def test_every_spelling_of_a_unit_gives_the_same_wavelengths(unit: str, values: np.ndarray) -> None:
    np.testing.assert_allclose(observed_of(raw(wave=values, wave_unit=unit), ReadOptions()).wave, WAVE)
    given = observed_of(raw(wave=values, wave_unit=None), ReadOptions(wave_unit=unit))
    np.testing.assert_allclose(given.wave, WAVE)


def test_air_wavelengths_become_those_of_the_triplet_in_vacuum() -> None:
    air = np.array([8498.02, 8542.09, 8662.14])
    three = {"wave": air, "flux": np.ones(3), "noise": np.ones(3)}
    found = observed_of(raw(medium="air", **three), ReadOptions())
    np.testing.assert_allclose(found.wave, [8500.36, 8544.44, 8664.52], atol=0.01)


@pytest.mark.parametrize(
    ("given", "option"), [({"wave_unit": None}, "--wave-unit"), ({"medium": None}, "--wave-medium")]
)
def test_what_the_file_does_not_say_is_asked_for(given: dict[str, None], option: str) -> None:
    with pytest.raises(DataError, match=option):
        observed_of(raw(**given), ReadOptions())


def test_both_missing_options_are_named_at_once() -> None:
    with pytest.raises(DataError, match=r"--wave-unit.*A would fit.*--wave-medium.*83 km/s"):
        observed_of(raw(wave_unit=None, medium=None), ReadOptions())


@pytest.mark.parametrize(
    ("values", "unit", "right"),
    [
        (WAVE, "nm", "A"),
        (WAVE, "um", "A"),
        (WAVE / 10, "A", "nm"),
        (WAVE / 1e4, "nm", "um"),
        (np.log10(WAVE), "A", r"log10\(A\)"),
        (WAVE, "log10(A)", "A"),
        (np.log(WAVE), "log10(A)", r"ln\(A\)"),
    ],
)
def test_a_wrong_unit_is_refused_with_the_one_that_fits(values: np.ndarray, unit: str, right: str) -> None:
    with pytest.raises(DataError, match=f"--wave-unit {right}"):
        observed_of(raw(wave=values, wave_unit=unit), ReadOptions())


def test_options_win_over_the_file_and_the_contradiction_is_said() -> None:
    found = observed_of(raw(wave_unit="nm"), ReadOptions(wave_unit="A", medium="air"))
    text = "; ".join(found.done)
    assert "read as A as asked, though the file says nm" in text
    assert "read as air as asked, though the file says vacuum" in text


def test_a_velocity_is_removed_by_the_ratio_of_wavelengths() -> None:
    found = observed_of(raw(), ReadOptions(rv_kms=100.0))
    np.testing.assert_allclose(found.wave * (1 + 100.0 / 299792.458), WAVE)
    assert found.rv_kms == 100.0
    again = observed_of(raw(rv_kms=40.0), ReadOptions(rv_kms=100.0))
    np.testing.assert_allclose(again.wave * (1 + 100.0 / 299792.458), WAVE * (1 + 40.0 / 299792.458))
    np.testing.assert_array_equal(observed_of(raw(rv_kms=40.0), ReadOptions()).wave, WAVE)


def test_flux_per_frequency_becomes_flux_per_wavelength() -> None:
    found = observed_of(raw(flux=np.full(200, 3e5), flux_unit="nJy"), ReadOptions())
    expected = 3e5 * 1e-32 * 2.99792458e18 / WAVE**2  # erg/s/cm2/A
    np.testing.assert_allclose(found.flux * float(found.unit.split()[0]), expected, rtol=1e-9)
    np.testing.assert_allclose(found.flux * np.sqrt(found.ivar), 3e6)  # the ratio to the error stays


def test_photons_are_weighted_by_their_energy() -> None:
    found = observed_of(raw(flux=np.full(200, 5e14), flux_unit="photon/s/cm2/nm"), ReadOptions())
    expected = 5e13 * 6.62607015e-27 * 2.99792458e18 / WAVE
    np.testing.assert_allclose(found.flux * float(found.unit.split()[0]), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "unit",
    [
        "1e-17 erg/s/cm2/A",
        "1E-17 erg/(s cm2 Angstrom)",
        "10^-17 ergs/cm^2/s/Ang",
        "10**(-17) erg s-1 cm-2 A-1",
        "1E-17 erg/s/cm^2/Ang/fiber",
    ],
)
def test_spellings_of_the_usual_flux_unit_leave_the_numbers(unit: str) -> None:
    found = observed_of(raw(flux_unit=unit), ReadOptions())
    assert found.unit == "1e-17 erg/s/cm2/A"
    np.testing.assert_allclose(found.flux, np.linspace(1, 2, 200))


def test_tiny_fluxes_are_written_with_a_power_of_ten() -> None:
    flux = np.full(200, 3.2e-14)
    found = observed_of(raw(flux=flux, noise=flux / 50, flux_unit="FLAM"), ReadOptions())
    assert found.unit == "1e-14 erg/s/cm2/A"
    np.testing.assert_allclose(found.flux, 3.2)
    assert found.snr == pytest.approx(50)


@pytest.mark.parametrize(
    ("given", "unit"),
    [
        ("normalized", NORMALISED),
        (MODEL_UNIT, MODEL_UNIT),
        ("", UNKNOWN_UNIT),
        ("electron", UNKNOWN_UNIT),
        ("furlong", UNKNOWN_UNIT),
        (None, UNKNOWN_UNIT),
    ],
)
def test_units_without_a_scale_leave_the_numbers(given: str | None, unit: str) -> None:
    found = observed_of(raw(flux_unit=given), ReadOptions())
    assert found.unit == unit
    np.testing.assert_array_equal(found.flux, np.linspace(1, 2, 200))


def test_a_unit_that_nobody_knows_is_refused_where_the_user_gives_it_and_magnitudes_always() -> None:
    with pytest.raises(DataError, match="--flux-unit 'furlong'"):
        observed_of(raw(), ReadOptions(flux_unit="furlong"))
    with pytest.raises(DataError, match="magnitude"):
        observed_of(raw(flux_unit="mag(AB)"), ReadOptions())


@pytest.mark.parametrize(
    ("kind", "value", "cause"),
    [
        ("error", np.nan, "error not finite"),
        ("error", np.inf, "error not finite"),
        ("error", 0.0, "error 0"),
        ("error", -1.0, "error negative"),
        ("error", 1e30, "error so large that it means no data"),
        ("error", 1e-30, "error so small that nothing was measured"),
        ("variance", np.inf, "variance not finite"),
        ("variance", 0.0, "variance 0"),
        ("ivar", 0.0, "inverse variance 0"),
        ("ivar", -3.0, "inverse variance negative"),
        ("ivar", 1e-60, "error so large that it means no data"),
    ],
)
def test_one_bad_error_costs_one_pixel_and_is_counted(kind: str, value: float, cause: str) -> None:
    noise = np.full(200, 0.1)
    noise[17] = value
    found = observed_of(raw(noise=noise, noise_kind=kind), ReadOptions())
    assert found.lost == {cause: 1}
    assert not found.usable[17]
    assert found.flux[17] == 0
    power = {"error": -2, "variance": -1, "ivar": 1}[kind]
    np.testing.assert_allclose(np.delete(found.ivar, 17), 0.1**power)


def test_sentinels_are_found_where_most_pixels_have_no_data() -> None:
    noise = np.full(200, 1e30)
    noise[:50] = 0.1
    found = observed_of(raw(noise=noise), ReadOptions())
    assert found.lost == {"error so large that it means no data": 150}
    assert found.usable[:50].all()


def test_a_pixel_counts_under_its_first_cause() -> None:
    bad, flux, noise = np.zeros(200, bool), np.ones(200) + np.arange(200), np.full(200, 0.1)
    bad[:3], flux[2:5], noise[4:7] = True, np.nan, -1.0
    found = observed_of(raw(bad={"masked SAT": bad}, flux=flux, noise=noise), ReadOptions())
    assert found.lost == {"masked SAT": 3, "flux not finite": 2, "error negative": 2}
    assert int(found.usable.sum()) == 193


def test_zeros_are_a_filling_in_long_runs_and_at_the_ends_only() -> None:
    flux = np.linspace(1, 2, 200)
    flux[50:59], flux[100:110], flux[190:], flux[0] = 0, 0, 0, 0
    found = observed_of(raw(flux=flux), ReadOptions())
    assert found.lost == {"flux filled with zeros": 21}
    assert found.usable[50:59].all()


def test_negative_fillings_and_huge_fluxes_are_no_spectrum() -> None:
    flux = np.linspace(1, 2, 200)
    flux[20:40], flux[90], flux[95], flux[96] = -2.0, 1e36, -9999.0, -2.0
    found = observed_of(raw(flux=flux), ReadOptions())
    assert found.lost == {
        "flux filled with -2": 20,
        "flux is -9999, which means no data": 1,
        "flux beyond any star": 1,
    }


def test_descending_wavelengths_are_reversed_with_their_pixels() -> None:
    found = observed_of(raw(wave=WAVE[::-1], flux=np.linspace(2, 1, 200)), ReadOptions())
    np.testing.assert_array_equal(found.wave, WAVE)
    np.testing.assert_allclose(found.flux, np.linspace(1, 2, 200))
    assert any("reversed" in sentence for sentence in found.done)


def test_a_shuffled_table_is_sorted_with_its_pixels() -> None:
    order = np.random.default_rng(3).permutation(200)
    found = observed_of(raw(wave=WAVE[order], flux=np.linspace(1, 2, 200)[order]), ReadOptions())
    np.testing.assert_array_equal(found.wave, WAVE)
    np.testing.assert_allclose(found.flux, np.linspace(1, 2, 200))
    assert found.segment is None


def test_wavelengths_that_step_back_begin_a_segment() -> None:
    wave = np.concatenate([np.linspace(7100, 7700, 100), np.linspace(7600, 8850, 100)])
    for given in (wave, wave[::-1]):
        found = observed_of(raw(wave=given), ReadOptions())
        assert [part.stop - part.start for part in found.parts()] == [100, 100]


def test_segments_of_the_file_are_sorted_each_by_itself() -> None:
    segment = np.tile([1, 7], 100)
    found = observed_of(raw(segment=segment), ReadOptions())
    np.testing.assert_array_equal(found.wave, np.concatenate([WAVE[::2], WAVE[1::2]]))
    np.testing.assert_array_equal(found.segment, np.repeat([0, 1], 100))


def test_repeated_wavelengths_are_averaged_by_inverse_variance() -> None:
    wave, noise = WAVE.copy(), np.full(200, 0.1)
    wave[11], noise[11] = wave[10], 0.2
    found = observed_of(raw(wave=wave, noise=noise), ReadOptions())
    assert found.wave.size == 199
    one, two = np.linspace(1, 2, 200)[10:12]
    assert found.flux[10] == pytest.approx((100 * one + 25 * two) / 125)
    assert found.ivar[10] == pytest.approx(125)
    assert "1 repeated wavelengths averaged" in "; ".join(found.done)


def test_repeated_wavelengths_without_errors_count_once() -> None:
    wave = WAVE.copy()
    wave[11] = wave[10]
    found = observed_of(raw(wave=wave, noise=None, noise_kind=None), ReadOptions())
    np.testing.assert_array_equal(found.ivar, 1.0)


def test_wavelengths_that_are_no_numbers_are_left_out_and_counted() -> None:
    wave = WAVE.copy()
    wave[[0, 5]] = np.nan, np.inf
    found = observed_of(raw(wave=wave), ReadOptions())
    assert found.wave.size == 198
    assert found.lost == {"wavelength not finite": 2}


def test_without_errors_usable_pixels_have_weight_one() -> None:
    flux = np.ones(200)
    flux[3] = np.nan
    found = observed_of(raw(flux=flux, noise=None, noise_kind=None), ReadOptions())
    assert not found.has_errors
    assert found.ivar.sum() == 199
    assert "the file has no errors" in found.done


def test_resolving_power_is_that_of_the_option_or_of_the_file() -> None:
    power = np.full(200, 5000.0)
    power[7] = np.nan
    np.testing.assert_allclose(observed_of(raw(resolving_power=power), ReadOptions()).resolving_power, 5000)
    given = observed_of(raw(resolving_power=power), ReadOptions(resolving_power=2000.0))
    np.testing.assert_allclose(given.resolving_power, 2000)
    with pytest.raises(DataError, match="--resolving-power"):
        observed_of(raw(), ReadOptions(resolving_power=-1.0))


def test_arrays_of_other_lengths_are_refused_by_name() -> None:
    given = raw()
    object.__setattr__(given, "flux", np.ones(5))
    with pytest.raises(DataError, match=r"star.fits: flux must have one value per wavelength, 200"):
        observed_of(given, ReadOptions())


def test_a_spectrum_without_any_wavelength_is_refused() -> None:
    with pytest.raises(DataError, match="no wavelength"):
        observed_of(raw(wave=np.full(200, np.nan)), ReadOptions())
