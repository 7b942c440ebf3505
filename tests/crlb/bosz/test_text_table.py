"""Tables in text as people write them: the same numbers, or a refusal that names the line."""

import numpy as np
import pytest

from crlb.bosz.text_table import parse_text
from crlb.errors import DataError

TABLE = np.array([[1000.5, 300000.0], [1001.5, 1234567.5], [1002.5, 1250.25]])


def same(text: str | bytes, expected=TABLE) -> tuple[str, ...]:
    names, table = parse_text(text.encode() if isinstance(text, str) else text)
    np.testing.assert_array_equal(table, expected)
    return names


@pytest.mark.parametrize(
    "text",
    [
        "1000.5 300000\n1001.5 1234567.5\n1002.5 1250.25\n",
        "1000.5 3.0D+05\n1001.5 1.2345675d6\n1002.5 1.25025D+03\n",
        "1000.5 0.3+006\n1001.5 1.2345675+006\n1002.5 12502.5-001\n",
        "1000.5,300000\n1001.5,1234567.5\n1002.5,1250.25\n",
        "1000.5, 300000,\n1001.5, 1234567.5,\n1002.5, 1250.25,\n",
        "1000.5;300000\n1001.5;1234567.5\n1002.5;1250.25\n",
        "1000.5\t300000\n1001.5\t1234567.5\n1002.5\t1250.25\n",
        "| 1000.5 | 300000 |\n| 1001.5 | 1234567.5 |\n| 1002.5 | 1250.25 |\n",
        "1,000.5 300,000\n1,001.5 1,234,567.5\n1,002.5 1,250.25\n",
        '"1,000.5","300,000"\n"1,001.5","1,234,567.5"\n"1,002.5","1,250.25"\n',
        "1000.5 300000\r\n1001.5 1234567.5\r\n1002.5 1250.25\r\n",
        "1000.5 300000\r1001.5 1234567.5\r1002.5 1250.25",
        "# a comment\n! another\n\n1000.5 300000 # here\n1001.5 1234567.5\n% between\n1002.5 1250.25\n",
        "\ufeff1000.5 300000\n1001.5 1234567.5\n1002.5 1250.25\n",
        "BOSZ, R = 500\n1000.5 300000\n1001.5 1234567.5\n1002.5 1250.25\n\n\n",
    ],
)
def test_one_table_in_many_spellings(text):
    same(text)


def test_utf_16_and_latin_1_are_text():
    same("1000.5 300000\n1001.5 1234567.5\n1002.5 1250.25\n".encode("utf-16"))
    same("# Å\n1000.5 300000\n1001.5 1234567.5\n1002.5 1250.25\n".encode("latin-1"))


@pytest.mark.parametrize(
    "heading", ["# wave (A)  H", "wave (A),H", '"wave","H"', "wave\tH", "# text\n# wave H"]
)
def test_headings_name_the_columns(heading):
    names = same(heading + "\n1000.5 300000\n1001.5 1234567.5\n1002.5 1250.25\n")
    assert names == ("wave", "H")


def test_a_comma_separates_where_it_can():
    """123,456 in a file of commas is two numbers, never one."""
    same("123,456\n789,123\n", np.array([[123.0, 456.0], [789.0, 123.0]]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2\n3 4\n5 six\n", "line 3 holds 'six' where a number is needed"),
        ("# one\n\n1 2\n3 ****\n", r"line 4 holds '\*\*\*\*'"),
        ("abc 3.0172e+05\n1 2\n", "line 1 holds 'abc'"),
        ("1 2\n3 100-200\n", "line 2 holds '100-200'"),
        ("1 2\n3\n", "line 2 has 1 columns where the lines before it have 2"),
        ("1 2\n3 4 5\n", "line 2 has 3 columns"),
        (
            "1,234 5,678\n1,235 5,679\n",
            "line 1 holds '1,234', which may have a thousands separator",
        ),
        ("3,0172E+05;3,0620E+05\n", "line 1 holds '3,0172E.05' .*: a decimal comma"),
        ("1_0 2\n3 4\n", "line 1 holds '1_0'"),
        ("only words\nin here\n", "no table of numbers; it begins with 'only words"),
        ("1 2\0\0\0\n", "neither FITS nor text"),
    ],
)
def test_what_is_no_number_is_named(text, words):
    with pytest.raises(DataError, match=words):
        parse_text(text.encode())
