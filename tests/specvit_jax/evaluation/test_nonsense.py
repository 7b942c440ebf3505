"""The shipped network on good stars, and on every kind of nonsense: flagged, without labels, or right."""

from dataclasses import replace

import numpy as np
import pytest

from crlb.detector import DETECTOR_WAVE
from crlb.files.observed import MODEL_UNIT, Observed, Origin
from crlb.readers.options import ReadOptions
from specvit_jax.evaluation.trained import TrainedNetwork, load

N = 24  # stars of every kind


@pytest.fixture(scope="module")
def tiny() -> TrainedNetwork:
    return load("tiny")


@pytest.fixture(scope="module")
def good(tiny) -> list[Observed]:
    """Stars of the training, magnitude 20.5 to 22.5, with their noise."""
    training, rng = tiny.training[0], np.random.default_rng(1)
    made = []
    for i, mag in enumerate(np.linspace(20.5, 22.5, N)):
        error = training.errors_at(mag).astype(np.float64)
        clean = training.mean + training.coefficients[i] @ training.basis.T
        made.append(
            Observed(
                DETECTOR_WAVE,
                clean + error * rng.normal(size=4096),
                error**-2,
                Origin("memory", "test", row=i),
                unit=MODEL_UNIT,
                resolving_power=DETECTOR_WAVE / 1.6,
            )
        )
    return made


def changed(stars: list[Observed], change) -> list[Observed]:
    return [replace(star, **change(star)) for star in stars]


def shifted(star: Observed, wave: np.ndarray) -> dict[str, np.ndarray]:
    return {"flux": np.interp(wave, star.wave, star.flux)}


def test_good_stars_have_no_flag_but_edge(tiny, good):
    found = tiny.predict(good)
    assert all(flags in ("-", "EDGE") for flags in found.flags)
    assert sum(flags == "-" for flags in found.flags) > 0.8 * N
    assert ((found.of("log_g") > 0.5) & (found.of("log_g") < 5.5)).all()


@pytest.mark.parametrize("factor", [0.9, 0.5, 1e-17, 3e5])
def test_a_scale_changes_no_label(tiny, good, factor):
    other = changed(good, lambda star: {"flux": star.flux * factor, "ivar": star.ivar / factor**2})
    np.testing.assert_allclose(tiny.predict(other).labels, tiny.predict(good).labels, rtol=1e-3)


def white(star: Observed) -> np.ndarray:
    return np.random.default_rng(star.origin.row).normal(size=4096)


UNUSABLE = {
    "zero": lambda star: {"flux": np.zeros(4096)},
    "negative": lambda star: {"flux": -star.flux},
    "noise": lambda star: {"flux": white(star)},
    "masked": lambda star: {"ivar": np.zeros(4096)},
}
WRONG = {
    "50 km/s": lambda star: shifted(star, DETECTOR_WAVE / (1 + 50 / 299792.458)),
    "air as vacuum": lambda star: shifted(star, DETECTOR_WAVE + 2.36),
    "backwards": lambda star: {"flux": star.flux[::-1]},
    "flat": lambda star: {"flux": 0.5 + white(star) * star.ivar**-0.5},
    "errors x 10": lambda star: {"ivar": star.ivar / 100},
    "errors / 10": lambda star: {"ivar": star.ivar * 100},
    "emission": lambda star: {"flux": star.flux + 3 * (np.abs(DETECTOR_WAVE - 8000) < 3)},
    "a step": lambda star: {"flux": star.flux * np.where(DETECTOR_WAVE < 8000, 0.7, 1.0)},
    "squared": lambda star: {"flux": star.flux**2, "ivar": star.ivar / (2 * np.abs(star.flux) + 0.1) ** 2},
    "half the pixels": lambda star: {"ivar": np.where(DETECTOR_WAVE < 8000, star.ivar, 0.0)},
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_no_spectrum_has_no_labels(tiny, good, name):
    found = tiny.predict(changed(good, UNUSABLE[name]))
    assert np.isnan(found.labels).all()
    assert all("UNUSABLE" in flags for flags in found.flags)
    assert all(found.notes)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_flagged(tiny, good, name):
    found = tiny.predict(changed(good, WRONG[name]))
    unflagged = found.snr[[flags == "-" for flags in found.flags]]
    # A few of the faintest spectra, SNR 3, look like any star; none of the others does.
    assert not (unflagged > 4).any(), found.flags
    assert len(unflagged) <= N / 8, found.flags


def test_the_sun_is_the_sun_where_its_unit_is_given(tiny, reference):
    """An atlas of the Sun in photons, R = 21,000, without errors; 5772 K, 4.44, 0.0."""
    path = reference / "observed" / "sun" / "sao2010_690_900nm.txt"
    if not path.exists():
        pytest.skip(f"no {path}")
    said = ReadOptions(wave_unit="nm", medium="vacuum", flux_unit="ph/s/cm2/nm", resolving_power=21000.0)
    found = tiny.predict(path, said)
    assert found.of("T_eff")[0] == pytest.approx(5772, abs=150)
    assert found.of("log_g")[0] == pytest.approx(4.44, abs=0.5)
    assert {"CONDITIONS", "RESOLUTION", "NO_ERRORS"} <= set(found.flags[0].split(","))
    assert abs(found.rv_kms[0]) < 2
