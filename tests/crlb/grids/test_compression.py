"""Tables as products of factors, against the tables themselves."""

import numpy as np
import pytest

from crlb.errors import UsageError
from crlb.grids.compression import Factors, compress, quantise, shorten
from tests.crlb.toy import AXES, toy_flux

WAVE = np.linspace(7600.0, 8600.0, 300)
NODES = np.stack(np.meshgrid(*AXES, indexing="ij"), axis=-1)
TABLE = toy_flux(NODES, WAVE).reshape(100, -1) * np.linspace(1e5, 3e6, 100)[:, None]


@pytest.mark.parametrize("table", [TABLE, TABLE[:, :40]], ids=["wide", "tall"])
def test_compression_keeps_every_value_with_few_terms(table):
    coefficients, basis = compress(table, 1e-4)
    assert len(basis) < 25
    np.testing.assert_allclose(coefficients @ basis, table, rtol=1e-4)
    fewer = coefficients[:, : len(basis) * 2 // 3] @ basis[: len(basis) * 2 // 3]
    assert np.abs(fewer / table - 1).max() > 1e-4


def test_whole_numbers_stand_for_the_table():
    parts = quantise(TABLE, 1e-3)
    assert parts.coefficients.dtype == parts.basis.dtype == np.int32
    np.testing.assert_allclose(parts.table(), TABLE, rtol=1e-3)
    finer = quantise(TABLE, 1e-5)
    np.testing.assert_allclose(finer.table(), TABLE, rtol=1e-5)
    assert np.abs(finer.coefficients).max() > np.abs(parts.coefficients).max()
    with pytest.raises(UsageError):
        quantise(TABLE, 1e-13)


def test_chunks_and_rows_are_those_of_the_table():
    coefficients, basis = compress(TABLE, 1e-6)
    factors = Factors(coefficients.reshape(5, 5, 4, -1), basis)
    assert factors.shape == (5, 5, 4, 300)
    np.testing.assert_allclose(np.concatenate(list(factors.chunks())), factors.table().reshape(100, -1))
    doubled = factors.scaled(np.full((5, 5, 4), 2.0)).replace_rows(basis[:, ::-1])
    np.testing.assert_allclose(doubled.table(), 2 * factors.table()[..., ::-1], rtol=1e-12)


def test_shortened_factors_stay_within_the_error_asked_for():
    coefficients, basis = compress(TABLE, 1e-8)
    mixing = np.random.default_rng(1).normal(size=(len(basis), len(basis)))  # neither orthogonal nor sorted
    factors = Factors((coefficients @ mixing).reshape(5, 5, 4, -1), np.linalg.solve(mixing, basis))
    short = shorten(factors, 1e-3)
    assert short.basis is not None
    assert len(short.basis) < len(basis)
    error = np.abs(short.table() - factors.table()).max(axis=-1) / factors.table().mean(axis=-1)
    assert 1e-5 < error.max() <= 1e-3
    np.testing.assert_allclose(shorten(factors, 1e-12).table(), factors.table(), rtol=1e-8)
