"""Spectra in memory."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import nddata, units
from astropy.table import MaskedColumn, QTable, Table

from crlb.errors import DataError
from crlb.readers.objects import observed_from
from crlb.readers.options import ReadOptions

WAVE = np.linspace(8400.0, 8800.0, 50)
FLUX = np.linspace(1.0, 2.0, 50)
DENSITY = units.Unit("1e-17 erg / (s cm2 AA)")
VACUUM = ReadOptions(medium="vacuum")


def like_specutils(**change: object) -> SimpleNamespace:
    """What a `specutils.Spectrum` offers, without specutils."""
    given = {
        "spectral_axis": WAVE * units.AA,
        "flux": FLUX * DENSITY,
        "uncertainty": nddata.StdDevUncertainty(np.full(50, 0.1)),
        "mask": np.arange(50) == 3,
        "meta": {"header": {"OBJECT": "HD 3", "LOGG": 4.4}},
    }
    return SimpleNamespace(**(given | change))


@pytest.mark.parametrize(
    "noise",
    [
        nddata.StdDevUncertainty(np.full(50, 0.1)),
        nddata.VarianceUncertainty(np.full(50, 0.01)),
        nddata.InverseVariance(np.full(50, 100.0)),
        nddata.StdDevUncertainty(np.full(50, 1e-18), unit="erg / (s cm2 AA)"),
    ],
)
def test_a_specutils_spectrum_with_any_uncertainty(noise: nddata.NDUncertainty) -> None:
    (found,) = observed_from(like_specutils(uncertainty=noise), VACUUM)
    np.testing.assert_allclose(found.wave, WAVE)
    np.testing.assert_allclose(found.ivar[0], 100)
    assert found.lost == {"masked mask": 1}
    assert (found.unit, found.origin.star, found.labels) == ("1e-17 erg/s/cm2/A", "HD 3", {"log_g": 4.4})


def test_rows_of_flux_are_spectra() -> None:
    flux = np.stack([FLUX, FLUX + 1, FLUX + 2])
    many = like_specutils(flux=flux * DENSITY, uncertainty=None, mask=None)
    np.testing.assert_allclose([one.flux for one in observed_from(many, VACUUM)], flux)
    assert len(observed_from([like_specutils(), many], VACUUM)) == 4


def test_an_axis_of_frequencies_is_one_of_vacuum_wavelengths() -> None:
    frequency = (WAVE * units.AA).to(units.THz, units.spectral())
    (found,) = observed_from(like_specutils(spectral_axis=frequency))
    np.testing.assert_allclose(found.wave, WAVE)


def test_a_velocity_that_the_object_states_is_said_not_removed() -> None:
    (found,) = observed_from(like_specutils(radial_velocity=30 * units.km / units.s), VACUUM)
    np.testing.assert_allclose(found.wave, WAVE)
    assert "is not removed" in found.done[0]


def test_the_medium_is_asked_for() -> None:
    with pytest.raises(DataError, match="--wave-medium"):
        observed_from(like_specutils())
    with pytest.raises(DataError, match="spectral_axis must be one of wavelengths"):
        observed_from(like_specutils(spectral_axis=WAVE * units.kg), VACUUM)


def test_arrays_by_name_and_tables() -> None:
    expected = [FLUX * 10, 100 * np.ones(50)]
    arrays = {"wave": WAVE, "flux": FLUX * 10, "error": np.full(50, 0.1), "wave_medium": "vacuum"}
    (found,) = observed_from(arrays, ReadOptions(wave_unit="A"), star="mine")
    np.testing.assert_allclose([found.flux, found.ivar], expected)
    assert found.origin.star == "mine"
    quantities = {"wave": WAVE / 10 * units.nm, "flux": FLUX * 10 * DENSITY, "error": 0.1 * np.ones(50)}
    for table in (quantities, Table(quantities), QTable(quantities)):
        (found,) = observed_from(table, VACUUM)
        np.testing.assert_allclose([found.flux, found.ivar], expected)
        np.testing.assert_allclose(found.wave, WAVE)
    masked = MaskedColumn(FLUX, mask=np.arange(50) == 9)
    (found,) = observed_from(Table({"wave": WAVE, "flux": masked}), ReadOptions(wave_unit="A", medium="air"))
    assert found.lost == {"flux not finite": 1}


def test_masked_quantities_lose_their_masked_pixels() -> None:
    from astropy.utils.masked import Masked

    flux = Masked(FLUX * DENSITY, mask=np.arange(50) == 9)
    (found,) = observed_from({"wave": WAVE * units.AA, "flux": flux}, VACUUM)
    assert found.lost == {"flux not finite": 1}


def test_other_objects_are_refused_with_the_way_to_files() -> None:
    with pytest.raises(DataError, match=r"found str; a file is read by .*open_observed"):
        observed_from("star.fits")
    with pytest.raises(DataError, match="no column for flux"):
        observed_from({"wave": WAVE}, VACUUM)
