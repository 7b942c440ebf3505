"""Noise curves: the built-in ones, and files that are read or refused."""

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import maximum_filter1d

from crlb.detector import DETECTOR_WAVE
from crlb.errors import DataError, MissingInputError
from crlb.observation.noise_curves import load_noise


def test_sky_lines_stand_at_their_vacuum_wavelengths(builtin):
    """Air wavelengths of Osterbrock et al. 1996, PASP 108, 277; refraction of Morton 1991, ApJS 77, 119."""
    sky = np.asarray(builtin.sky_e)
    for air in (7913.708, 8399.170, 8430.174, 8827.096):
        wave2 = (1e4 / air) ** 2
        vacuum = air * (1 + 6.4328e-5 + 2.94981e-2 / (146 - wave2) + 2.5540e-4 / (41 - wave2))
        near = np.abs(DETECTOR_WAVE - vacuum) < 3.0
        assert DETECTOR_WAVE[near][np.argmax(sky[near])] == pytest.approx(vacuum, abs=0.4)
        assert sky[near].max() > 20 * np.median(sky)


def test_skymax_is_the_maximum_of_three_neighbours(builtin):
    np.testing.assert_array_equal(builtin.skymax_e, maximum_filter1d(builtin.sky_e, size=3, mode="nearest"))


def test_built_in_curves_resemble_the_calculators(builtin, legacy):
    assert np.corrcoef(builtin.signal_e, legacy.signal_e)[0, 1] > 0.9
    assert np.corrcoef(np.log(builtin.sky_e), np.log(legacy.sky_e))[0, 1] > 0.85
    np.testing.assert_allclose(jnp.median(builtin.signal_e), jnp.median(legacy.signal_e), rtol=0.05)


def test_the_published_instrument_is_the_default_group(reference, legacy):
    assert "legacy_20211220" in legacy.source
    named = load_noise(reference / "pfs_mr_noise.h5", "legacy_20211220")
    np.testing.assert_array_equal(named.sky_e, legacy.sky_e)
    today = load_noise(reference / "pfs_mr_noise.h5", "etc_v2_20240714")
    assert today.noise_adjust == pytest.approx(1.015)


def write_noise(path, **changes):
    """A valid file of one group, then changed: None removes, a value replaces."""
    curves = {"signal_e_ab18": np.full(4096, 800.0), "sky_e": np.full(4096, 100.0)}
    curves |= {"skymax_e": np.full(4096, 110.0), "wave": DETECTOR_WAVE}
    scalars = dict(stray_e=4.0, dark_var=0.45, read_var=80.0, sky_sub_floor=0.01, noise_adjust=1.0)
    with h5py.File(path, "w") as file:
        group = file.create_group("only")
        for name, value in (curves | scalars | changes).items():
            place = file if name == "wave" else group
            if value is None:
                continue
            if name in scalars:
                group.attrs[name] = value
            else:
                place[name] = value
    return path


def test_a_file_with_one_group_needs_no_name(tmp_path):
    noise = load_noise(write_noise(tmp_path / "noise.h5"))
    np.testing.assert_array_equal(noise.sky_e, 100.0)
    assert noise.read_var == 80.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wave": DETECTOR_WAVE + 2.4}, "7100.214 to 8849.786 Å, found 4096 from 7102.614"),
        ({"wave": DETECTOR_WAVE[:100]}, "found 100 from"),
        ({"wave": np.where(np.arange(4096) == 5, np.nan, DETECTOR_WAVE)}, "wave must be"),
        ({"wave": None}, "'wave' is missing"),
        ({"sky_e": None}, "'sky_e' is missing"),
        ({"skymax_e": np.ones(7)}, "one value per pixel, 4096, found 7"),
        (
            {"sky_e": np.where(np.arange(4096) == 9, np.nan, 1.0)},
            r"1 values are not, the first is nan at 7104",
        ),
        ({"sky_e": np.full(4096, -1.0)}, "not negative"),
        ({"signal_e_ab18": np.zeros(4096)}, "positive"),
        ({"read_var": None}, "attribute 'read_var' is missing"),
        ({"dark_var": -0.1}, "one number, not negative"),
        ({"stray_e": "much"}, "one number"),
    ],
)
def test_unusable_files_are_refused_in_words(tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        load_noise(write_noise(tmp_path / "noise.h5", **changes))


def test_an_unknown_group_is_named_with_those_there_are(tmp_path):
    with pytest.raises(DataError, match="group 'new' is missing; the file holds only"):
        load_noise(write_noise(tmp_path / "noise.h5"), "new")


def test_a_missing_or_foreign_or_truncated_file_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        load_noise(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(DataError, match="not an HDF5 file"):
        load_noise(tmp_path / "text.h5")
    whole = write_noise(tmp_path / "noise.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated or damaged"):
        load_noise(tmp_path / "cut.h5")


def test_links_out_of_the_file_are_refused(tmp_path):
    write_noise(tmp_path / "other.h5")
    path = write_noise(tmp_path / "noise.h5", sky_e=None)
    with h5py.File(path, "a") as file:
        file["only/sky_e"] = h5py.ExternalLink("other.h5", "only/sky_e")
        file["far"] = h5py.ExternalLink("other.h5", "only")
    with pytest.raises(DataError, match="'sky_e' is a link"):
        load_noise(path)
    with pytest.raises(DataError, match="group 'far' is missing"):
        load_noise(path, "far")
