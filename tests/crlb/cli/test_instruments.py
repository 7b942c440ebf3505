"""crlb instruments, crlb instrument new and show: what is written can be used, what is listed is so."""

import json

import pytest
import yaml

from crlb.instruments.find import instrument_names

STAR = ("--T_eff", 4700.0, "--log_g", 2.6, "--M_H", -0.8)


def test_what_new_writes_is_listed_and_used(crlb, toy_file, tmp_path):
    mine = tmp_path / "mine.yaml"
    assert crlb("instrument", "new", "--out", mine)[0] == 0
    assert (tmp_path / "mine_snr.csv").read_text().startswith("wave,snr\n")
    status, screen, _ = crlb("instruments", mine, "--grid", toy_file)
    assert status == 0
    assert "8450-8720" in screen
    assert "known" in screen
    out = tmp_path / "f.json"
    words = ("fisher", "--grid", toy_file, *STAR, "--instrument", mine, "--mag", 17, "--json", out)
    assert crlb(*words, "--exptime-s", 3600.0, "--n-exp", 1, "--fix", "M_H=-0.8")[0] != 0  # M_H is free
    status, _, err = crlb(*words, "--exptime-s", 3600.0, "--n-exp", 1)
    assert status == 0, err
    found = json.loads(out.read_text())
    assert 30 < found["snr"] < 45  # the table has 40 at the blue end, for a flat source
    assert found["provenance"]["instruments"] == [str(mine)]
    status, _, err = crlb("instrument", "new", "--out", mine)
    assert status == 73
    assert "exists" in err


def test_every_instrument_is_listed_with_what_the_grid_shows(crlb, tmp_path):
    out = tmp_path / "list.json"
    assert crlb("instruments", "--json", out)[0] == 0
    rows = json.loads(out.read_text())["arms"]
    assert {row["name"] for row in rows} == set(instrument_names())
    of = {(row["name"], row["arm"]): row for row in rows}
    assert of["pfs-mr", "red"]["covered"] == 1.0
    assert of["apogee", "red"]["covered"] == 0.0
    assert not of["galah", "ir"]["sharp"]
    assert all(row["calibrated"] == (row["name"] == "pfs-mr") for row in rows)


def test_what_show_prints_is_the_same_instrument(crlb, tmp_path):
    status, screen, _ = crlb("instrument", "show", "gaia-rvs")
    assert status == 0
    assert yaml.safe_load(screen)["name"] == "Gaia RVS"
    again = tmp_path / "again.yaml"
    again.write_text(screen)
    tables = [crlb("instruments", name)[1].splitlines()[6].split()[1:] for name in ("gaia-rvs", again)]
    assert tables[0][:4] == tables[1][:4]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mag", 20, "--instrument", "gaia-rvs"), "--snr is needed with --instrument gaia-rvs"),
        (("--snr", 20, "--instrument", "gaia-rsv"), "found gaia-rsv; did you mean gaia-rvs?"),
        (("--mag", 20, "--snr", 20), "one of --mag and --snr is needed, found both"),
        ((), "one of --mag and --snr is needed, found neither"),
        (("--snr", 20, "--instrument", "gaia-rvs", "--lsf-fwhm", 2.0), "--lsf-fwhm is of the PFS red arm"),
        (("--snr", 20, "--instrument", "pfs-mr", "pfs-mr"), "--instrument needs different names"),
        (("--mag", 20, "--snr-per", "element"), "--snr-per has no effect without --snr"),
        (("--snr", 0, "--instrument", "gaia-rvs"), "snr must be a number from 1e-06"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(crlb, toy_file, words, said):
    status, _, err = crlb("fisher", "--grid", toy_file, *STAR, *words)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1


def test_commands_for_one_instrument_refuse_two(crlb, toy_file):
    status, _, err = crlb("ceiling", "--grid", toy_file, "--snr", 20, "--instrument", "pfs-mr", "muse")
    assert status == 2
    assert "--instrument: one is taken here, found pfs-mr muse" in err
