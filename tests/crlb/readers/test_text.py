"""Spectra in tables of text, of every usual look."""

from pathlib import Path

import numpy as np
import pytest

from crlb.cli.spectrum import StarSpectrum
from crlb.errors import DataError
from crlb.files.observed import MODEL_UNIT, NORMALISED, Observed
from crlb.readers.columns import parsed
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed

WAVE = np.linspace(8400.0, 8800.0, 60)
FLUX = np.linspace(1.0, 2.0, 60)
VACUUM = ReadOptions(wave_unit="A", medium="vacuum")


def lines(*columns: np.ndarray, sign: str = " ") -> str:
    return "".join(sign.join(f"{value:.10g}" for value in row) + "\n" for row in zip(*columns, strict=True))


def read(folder: Path, text: str | bytes, options: ReadOptions = VACUUM) -> list[Observed]:
    path = folder / "star.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(open_observed(path, options).spectra())


def only(folder: Path, text: str | bytes, options: ReadOptions = VACUUM) -> Observed:
    (found,) = read(folder, text, options)
    return found


ERROR = np.full(60, 0.1)


@pytest.mark.parametrize(
    "text",
    [
        "wave,flux,error\n" + lines(WAVE, FLUX, ERROR, sign=","),
        "\ufeffWavelength;Flux;Flux_Err\r\n" + lines(WAVE, FLUX, ERROR, sign=";").replace("\n", "\r\n"),
        "lambda\tf_lambda\tsigma\n" + lines(WAVE, FLUX, ERROR, sign="\t"),
        "# LAMBDA FLAM ERR\n" + lines(WAVE, FLUX, ERROR),
        "# a star\n# wl, flux, std\n" + lines(WAVE, FLUX, ERROR, sign=", "),
        "! comment\n" + lines(WAVE, FLUX, ERROR, sign="   "),
        "error flux wave\n" + lines(ERROR, FLUX, WAVE),
        "wave flux ivar\n" + lines(WAVE, FLUX, 1 / ERROR**2),
        "wave flux var\n" + lines(WAVE, FLUX, ERROR**2),
        "loglam flux error\n" + lines(np.log10(WAVE), FLUX, ERROR),
        "wave | flux | error\n-----+------+-----\n" + lines(WAVE, FLUX, ERROR, sign=" | "),
        "wave, flux, error\n" + lines(WAVE, FLUX, ERROR),
        "wave_A,flux,error\n" + lines(WAVE, FLUX, ERROR, sign=","),
        "wave,flux,error\nAngstrom,,\n" + lines(WAVE, FLUX, ERROR, sign=","),
        lines(WAVE, FLUX, ERROR).replace("e", "D"),
        lines(WAVE[::-1], FLUX[::-1], ERROR[::-1]),
    ],
)
def test_every_look_of_a_table_gives_the_same_spectrum(tmp_path: Path, text: str) -> None:
    wave_unit = "log10(A)" if text.startswith("loglam") else "A"
    found = only(tmp_path, text, ReadOptions(wave_unit=wave_unit, medium="vacuum"))
    np.testing.assert_allclose(found.wave, WAVE, rtol=1e-8)
    np.testing.assert_allclose(found.flux, FLUX, rtol=1e-8)
    np.testing.assert_allclose(found.ivar, 100.0, rtol=1e-8)


def test_a_log_column_needs_no_unit(tmp_path: Path) -> None:
    found = only(tmp_path, "loglam flux\n" + lines(np.log10(WAVE), FLUX), ReadOptions(medium="vacuum"))
    np.testing.assert_allclose(found.wave, WAVE, rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wave_air [nm]", ("wave", "nm", "air")),
        ("Wavelength (vacuum, Angstrom)", ("wavelength", "Angstrom", "vacuum")),
        ("lambda_vac_nm", ("lambda", "nm", "vacuum")),
        ("flux (1e-17 erg/s/cm2/A)", ("flux", "1e-17 erg/s/cm2/A", None)),
        ("flux_air", ("flux", None, "air")),
        ("Flux Err", ("flux_err", None, None)),
    ],
)
def test_names_of_columns_say_unit_and_medium(name: str, expected: tuple[str | None, ...]) -> None:
    found = parsed(name)
    assert (found.base, found.unit, found.medium) == expected


def test_what_names_and_comments_say_needs_no_option(tmp_path: Path) -> None:
    text = "wave_air [nm],flux (nJy)\n" + lines(WAVE / 10, FLUX * 1e5, sign=",")
    found = only(tmp_path, text, ReadOptions())
    np.testing.assert_allclose(found.wave[0], 8402.308, atol=0.001)
    assert "from nJy to F_lambda" in "; ".join(found.done)
    said = "# wave_unit: nm\n# wave_medium: vacuum\n# flux_unit: normalised\n# logg = 2.5\n# FE_H = 99.0\n"
    found = only(tmp_path, said + lines(WAVE / 10, FLUX), ReadOptions())
    np.testing.assert_allclose(found.wave, WAVE)
    assert (found.unit, found.labels) == (NORMALISED, {"log_g": 2.5})


def test_empty_cells_and_words_for_nothing_cost_their_pixel(tmp_path: Path) -> None:
    rows = lines(WAVE, FLUX, ERROR, sign=",").splitlines()
    rows[0], rows[5], rows[6] = "8400,,", "8433.9,nan,0.1", "8440.67,1.1,*****"
    found = only(tmp_path, "wave,flux,error\n" + "\n".join(rows))
    assert found.lost == {"flux not finite": 2, "error not finite": 1}
    assert int(found.usable.sum()) == 57


def test_masks_are_heeded_and_chosen_by_bit(tmp_path: Path) -> None:
    mask = np.zeros(60)
    mask[3], mask[4] = 1, 4
    text = "wave flux mask\n" + lines(WAVE, FLUX, mask)
    assert only(tmp_path, text).lost == {"masked mask": 2}
    options = ReadOptions(wave_unit="A", medium="vacuum", mask_bits=("2",))
    assert only(tmp_path, text, options).lost == {"masked mask bit 2": 1}
    options = ReadOptions(wave_unit="A", medium="vacuum", mask_bits=("none",))
    assert not only(tmp_path, text, options).lost
    found = only(tmp_path, text.replace("mask", "good"))
    assert found.lost == {"masked good": 58}
    assert "the mask excludes most pixels" in found.done[-1]


def test_columns_by_option_win_by_name_case_or_number(tmp_path: Path) -> None:
    text = "x y dy flux\n" + lines(WAVE, FLUX, ERROR, 9 * FLUX)
    for columns in ({"wave": "x", "flux": "Y", "error": "dy"}, {"wave": "1", "flux": "2", "error": "3"}):
        found = only(tmp_path, text, ReadOptions(columns=columns, wave_unit="A", medium="vacuum"))
        np.testing.assert_allclose(found.flux, FLUX)
        np.testing.assert_allclose(found.ivar, 100)
    text = "wave flux error\n" + lines(WAVE, FLUX, 0 * ERROR)
    found = only(tmp_path, text, ReadOptions(columns={"error": "none"}, wave_unit="A", medium="vacuum"))
    assert not found.has_errors
    assert found.usable.all()


def test_a_velocity_column_is_removed_also_from_logarithms(tmp_path: Path) -> None:
    rv = np.full(60, 120.0)
    ratio = 1 + 120 / 299792.458
    for values, unit, name in ((WAVE, "A", "wave"), (np.log10(WAVE), "log10(A)", "loglam")):
        text = f"{name} flux vel\n" + lines(values, FLUX, rv)
        found = only(tmp_path, text, ReadOptions(columns={"rv": "vel"}, wave_unit=unit, medium="vacuum"))
        np.testing.assert_allclose(found.wave * ratio, WAVE, rtol=3e-9)
        assert found.rv_kms == 120


def test_several_stars_in_one_table_are_several_spectra(tmp_path: Path) -> None:
    star = np.repeat([4611686018427387905, 4611686018427387906], 60)
    rows = "".join(f"{s},{w},{f}\n" for s, w, f in zip(star, [*WAVE, *WAVE], [*FLUX, *FLUX], strict=True))
    found = read(tmp_path, "source_id,wave,flux\n" + rows)
    assert [one.origin.star for one in found] == ["4611686018427387905", "4611686018427387906"]
    assert [one.wave.size for one in found] == [60, 60]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wave flx\n" + lines(WAVE, FLUX), "no column for flux among 'wave', 'flx'.*--columns flux=NAME"),
        ("wave flux err sigma\n" + lines(WAVE, FLUX, ERROR, ERROR), "several columns could be error"),
        ("wavelength lam flux\n" + lines(WAVE, WAVE, FLUX), "several columns could be wave"),
        (lines(WAVE, FLUX, np.arange(60) % 2), "only 0 and 1, which are no errors.*mask=3"),
        (lines(WAVE, FLUX, ERROR, ERROR), "4 columns without names.*--columns wave=1 flux=2"),
        ("wave,flux\n8400,1\n8401,2,3\n", "row 2 of numbers has 3 columns, not 2"),
        ("wave,flux\n8400,one\n8401,two\n", "flux must be numbers"),
        ("# nothing\n", "no line of numbers"),
        ("wave,flux\n", "no numbers below"),
        ("wave,wave\n1,2\n", "several columns have one name"),
        ("Dear reader,\nthis is a letter.\n", "columns"),
        ("wave flux\n8400 1\n", "at least two wavelengths"),
    ],
)
def test_what_is_no_spectrum_is_refused_with_what_was_found(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "star.txt") in str(caught.value)


def test_an_unknown_column_by_option_is_refused_with_the_list(tmp_path: Path) -> None:
    options = ReadOptions(columns={"flux": "f"}, wave_unit="A", medium="vacuum")
    with pytest.raises(DataError, match="--columns flux=f: no such column; the columns are 'wave', 'flux'"):
        read(tmp_path, "wave flux\n" + lines(WAVE, FLUX), options)


def test_ecsv_has_units_metadata_and_masked_numbers(tmp_path: Path) -> None:
    from astropy import units
    from astropy.table import MaskedColumn, QTable, Table

    flux = MaskedColumn(FLUX * 1e-17, unit="erg / (s cm2 AA)", mask=np.arange(60) == 7)
    table = Table({"Wavelength": WAVE / 10 * units.nm, "FLUX": flux, "ERR": flux * 0.1})
    table.meta = {"VACUUM": True, "OBJECT": "HD 1", "logg": 4.4, "FE_H": "-"}
    table.write(tmp_path / "one.ecsv", format="ascii.ecsv")
    (found,) = open_observed(tmp_path / "one.ecsv").spectra()
    np.testing.assert_allclose(found.wave, WAVE)
    assert found.lost == {"flux not finite": 1}
    assert found.snr == pytest.approx(10)
    assert (found.origin.star, found.labels) == ("HD 1", {"log_g": 4.4})
    QTable({"wave": WAVE * units.AA, "flux": FLUX * units.nJy, "error": FLUX * units.pJy}).write(
        tmp_path / "two.ecsv", format="ascii.ecsv"
    )
    (found,) = open_observed(tmp_path / "two.ecsv", ReadOptions(medium="vacuum")).spectra()
    assert found.snr == pytest.approx(1000)  # errors in another unit than the flux


def test_damaged_ecsv_is_refused(tmp_path: Path) -> None:
    for text in ("# %ECSV 1.0\n# ---\n# datatype: [\nwave flux\n1 2\n", "# %ECSV 1.0\n", "# %ECSV 9\n1,2\n"):
        with pytest.raises(DataError, match="ECSV"):
            read(tmp_path, text)


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "h5"])
def test_what_crlb_spectrum_writes_is_read_without_an_option(tmp_path: Path, suffix: str) -> None:
    noisy, labels = FLUX / 3 + 0.01, {"T_eff": 4800.0, "log_g": 2.7}
    star = StarSpectrum(WAVE, FLUX / 3, ERROR, noisy, labels, mag=21.0, snr=5.0, seed=0)
    path = tmp_path / f"star.{suffix}"
    {"csv": star.write_csv, "ecsv": star.write_ecsv, "h5": star.write_hdf5}[suffix](path)
    (found,) = open_observed(path).spectra()
    np.testing.assert_allclose(found.wave, WAVE, rtol=1e-7)
    np.testing.assert_allclose(found.flux, noisy, rtol=1e-6)
    np.testing.assert_allclose(found.ivar, 100.0, rtol=1e-6)
    assert found.unit == MODEL_UNIT
    if suffix != "h5":  # which knows the lines of the arm's own pixels only, see test_pfsspec
        np.testing.assert_allclose(found.resolving_power, found.wave / 1.6)
    if suffix != "csv":
        assert (found.labels, found.mag) == (labels, 21.0)


def test_a_mask_is_not_chosen_where_there_is_none(tmp_path: Path) -> None:
    options = ReadOptions(wave_unit="A", medium="vacuum", mask_bits=("3",))
    with pytest.raises(DataError, match="--mask has no effect: there is no mask"):
        read(tmp_path, "wave flux\n" + lines(WAVE, FLUX), options)


def test_errors_that_are_all_zero_are_named_with_the_way_out(tmp_path: Path) -> None:
    text = "wave flux error\n" + lines(WAVE, FLUX, 0 * FLUX)
    found = only(tmp_path, text)
    assert not found.usable.any()
    assert "--columns error=none" in found.done[-1]


def test_decimal_commas_are_refused_not_split(tmp_path: Path) -> None:
    for sign in (";", "\t"):
        text = f"wave{sign}flux\n" + lines(WAVE, FLUX, sign=sign).replace(".", ",")
        with pytest.raises(DataError, match="write numbers with a decimal point"):
            read(tmp_path, text)
