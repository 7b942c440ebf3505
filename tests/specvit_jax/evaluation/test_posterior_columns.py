"""The columns that the posterior adds to the table of a network's labels."""

from types import SimpleNamespace

import numpy as np
import pytest

import crlb.bayes.label as module
from crlb.bayes.observed_result import unusable
from crlb.files.observed import MODEL_UNIT, Observed, Origin
from specvit_jax.evaluation.posterior_columns import posterior_columns, posterior_of

NAMES = ("T_eff", "log_g", "M_H")


def star(unit: str) -> Observed:
    ones = np.ones(4)
    return Observed(np.arange(8500.0, 8504.0), ones, ones, Origin("a.h5", "text"), unit=unit)


@pytest.fixture
def asked(monkeypatch):
    """What the posterior was asked; it answers that nothing can be computed."""
    calls = []

    def label(spectra, sight, *, conditions, first):
        calls.append((len(spectra), conditions.model_error, first))
        nothing = unusable(NAMES, 3, 0, ("FEW_PIXELS",), "no pixel")
        return (SimpleNamespace(posterior=nothing, note="no pixel") for _ in spectra)

    monkeypatch.setattr(module, "label", label)
    monkeypatch.setattr(module, "make_sight", lambda grid: None)
    return calls


def test_the_columns_are_those_that_were_announced(asked):
    found = posterior_of(None, lambda: 0)([star("normalised")] * 2)
    assert list(found) == [column.name for column in posterior_columns(None)]
    assert all(len(values) == 2 for values in found.values())
    assert found["posterior_flags"] == ["FEW_PIXELS,UNUSABLE"] * 2
    assert np.isnan(found["log_g_posterior"]).all()
    units = {column.name: column.unit for column in posterior_columns(None)}
    assert (units["T_eff_posterior"], units["log_g_posterior_sigma"]) == ("K", "dex")


def test_simulated_spectra_have_no_model_error_and_numbers_go_on_where_the_table_stands(asked):
    rows = [512]
    columns = posterior_of(None, lambda: rows[0])
    columns([star(MODEL_UNIT)])
    rows[0] = 513
    columns([star(MODEL_UNIT), star("normalised")])
    assert asked == [(1, 0.0, 512), (2, 0.01, 513)]
