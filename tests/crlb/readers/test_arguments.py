"""The options that say how spectra are to be understood."""

import pytest
import tyro

from crlb.errors import UsageError
from crlb.readers.arguments import SpectraOptions
from crlb.readers.options import ReadOptions


def parsed(*args: str) -> ReadOptions:
    return tyro.cli(SpectraOptions, args=args).read_options()


def test_without_options_everything_is_as_the_file_says():
    assert parsed() == ReadOptions()


def test_every_option_reaches_the_readers():
    said = "--columns wave=lambda flux=f error=3 --format table --hdu COADD --rows 2 5 --wave-unit nm "
    said += "--wave-medium air --flux-unit nJy --rv -40.5 --resolving-power 5000 --mask BAD 3 --combine"
    assert parsed(*said.split()) == ReadOptions(
        "table",
        {"wave": "lambda", "flux": "f", "error": "3"},
        "COADD",
        (2, 5),
        "nm",
        "air",
        "nJy",
        -40.5,
        5000.0,
        ("BAD", "3"),
        True,
    )


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("--columns lambda=wave", "ROLE=COLUMN"),
        ("--columns flux", "ROLE=COLUMN"),
        ("--columns flux=", "ROLE=COLUMN"),
        ("--columns flux=a flux=b", "names flux twice"),
        ("--columns ivar=a error=b", "one of ivar, error and variance"),
        ("--rows 3 3", "FIRST < STOP"),
        ("--rows -1 3", "FIRST < STOP"),
        ("--rv nan", "km/s"),
        ("--rv 40500", "m/s"),
        ("--resolving-power 0", "above 1"),
        ("--resolving-power inf", "above 1"),
        ("--mask all BAD", "all, or none"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(said, word):
    options = tyro.cli(SpectraOptions, args=said.split())
    with pytest.raises(UsageError, match=word) as found:
        options.check_values()
    assert said.split()[0] in str(found.value)
