"""Tables of stars: what columns are called, what is refused."""

import numpy as np
import pytest

from crlb.errors import DataError, MissingInputError
from crlb.readers.star_table import read_star_table


def written(folder, text):
    path = folder / "stars.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "header", ["T_eff,log_g,M_H", "teff,logg,feh", "TEFF [K],LOGG,Fe_H", "Teff (K),log-g,m_h"]
)
def test_labels_have_the_names_that_headers_of_spectra_have(tmp_path, header):
    found = read_star_table(written(tmp_path, f"{header}\n4800,2.5,-0.5\n4500,1.5,-1.0\n"))
    assert {name: list(values) for name, values in found.columns.items()} == {
        "T_eff": [4800.0, 4500.0], "log_g": [2.5, 1.5], "M_H": [-0.5, -1.0],
    }  # fmt: skip
    assert found.n == 2


def test_ecsv_reads_as_csv_does(tmp_path):
    from astropy.table import Table

    columns = {"teff": [4800.0, 4500.0], "logg": [2.5, 1.5], "mag": [20.0, 21.0], "weight": [1, 3]}
    path = tmp_path / "stars.ecsv"
    Table(columns).write(path, format="ascii.ecsv")
    found = read_star_table(path)
    assert list(found.columns) == ["T_eff", "log_g", "mag", "weight"]
    np.testing.assert_array_equal(found.columns["weight"], [1.0, 3.0])


def test_the_first_name_of_a_label_wins_and_the_others_are_said(tmp_path):
    found = read_star_table(written(tmp_path, "fe_h,m_h,log_g,age\n-0.4,-0.3,2,9\n-0.4,-0.2,3,9\n"))
    np.testing.assert_array_equal(found.columns["M_H"], [-0.3, -0.2])
    assert found.unread == ("fe_h", "age")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ra,dec\n1,2\n", "needed columns named as labels .*found 'ra', 'dec'"),
        ("teff,logg\n4800,2.5\n4700,-\n", "log_g .column logg. must be finite, found nan in star 2"),
        ("teff,logg\n4800,giant\n", "log_g .column logg. must be numbers"),
        ("Teff [K],teff\n1,2\n", "several columns could be T_eff"),
        ("", "no line of numbers"),
    ],
)
def test_what_is_no_table_of_stars_is_refused_in_words(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read_star_table(written(tmp_path, text))


def test_another_file_is_refused_in_words(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_bytes(b"\x89HDF\r\n\x1a\n\0\0")
    with pytest.raises(DataError, match="is no text; give a table as CSV or ECSV"):
        read_star_table(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="population"):
        read_star_table(tmp_path / "none.csv")
