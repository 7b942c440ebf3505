"""Rows of a real BOSZ 2024 file (case 10): where its lines lie, and how bright it is."""

import gzip
import math

import numpy as np
import pytest

from crlb.bosz.build import build_grid
from crlb.bosz.find import find_spectra
from crlb.bosz.read import read_spectrum
from crlb.bosz.sizes import ROW_BYTES
from crlb.grids.grid_file import default_grid_path, load_grid
from tests.crlb.bosz.bosz_files import text

NAME = "bosz2024_mp_t{}_g{:+.1f}_m+0.00_a+0.00_c+0.00_v0_r500_resam.txt"
FIRST = 3046  # row of the file that the first of the real rows is
C_KMS = 299792.458
ARM = (7150.0, 8790.0)  # Å, within the real rows
SIGMA_SB = 5.670374419e-5  # erg/s/cm^2/K^4


@pytest.fixture(scope="module")
def real_rows(reference):
    """Flux and continuum as the archive's file has them, at 5000 K, log g 5, solar, R = 500."""
    path = reference.parent / "cases" / "crlb" / "10-real-bosz2024-r500" / "arm_rows_3046_3365.txt"
    if not path.is_file():
        pytest.skip(f"no rows of a real file at {path}")
    return np.loadtxt(path)


@pytest.fixture(scope="module")
def folder(real_rows, tmp_path_factory):
    """Whole files: the real rows, elsewhere H = B / 4 of a black body, the placeholder in the far blue."""
    wave = 500 * 640 ** (np.arange(7500) / 7500)
    h, c, k = 6.62607e-27, 2.99792458e10, 1.380649e-16  # cgs
    body = 2 * h * c**2 / (wave * 1e-8) ** 5 / np.expm1(h * c / (wave * 1e-8 * k * 5050)) * 1e-8 / 4
    rows = np.stack([body, body], axis=1)
    rows[wave <= 900] = 0.0, 1.0
    rows[FIRST : FIRST + len(real_rows)] = real_rows
    made = tmp_path_factory.mktemp("real")
    for T_eff, log_g in ((5000, 5.0), (5000, 4.5), (5250, 5.0), (5250, 4.5)):
        (made / NAME.format(T_eff, log_g)).write_bytes(text(rows))
    return made


@pytest.fixture(scope="module")
def embedded():
    """ln wave and the embedded spectrum of the same star, smoothed from R = 10,000 to R = 500."""
    grid = load_grid(default_grid_path(), fixed={"log_g": 5.0, "M_H": 0.0, "a_M": 0.0, "C_M": 0.0})
    star = grid.flux[int(np.argmin(np.abs(grid.axes[0] - 5000)))]
    log_wave = np.linspace(*np.log(grid.wave[[0, -1]]), 30000)
    sigma = math.sqrt((1 / 500) ** 2 - (1 / 10000) ** 2) / 2.3548 / (log_wave[1] - log_wave[0])
    offset = np.arange(-int(5 * sigma), int(5 * sigma) + 1)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    flux = np.interp(np.exp(log_wave), grid.wave, star)
    return log_wave, np.convolve(flux, kernel / kernel.sum(), "same")


def shift_kms(wave, flux, embedded) -> float:
    """The velocity at which the embedded spectrum times a cubic is nearest to the real rows."""
    log_wave, model = embedded
    velocities = np.arange(-200.0, 201.0, 2.0)
    powers = np.linspace(-1, 1, len(flux))[:, None] ** np.arange(4)

    def misfit(velocity):
        terms = np.interp(np.log(wave) - velocity / C_KMS, log_wave, model)[:, None] * powers
        return np.linalg.norm(flux - terms @ np.linalg.lstsq(terms, flux, rcond=None)[0])

    return float(velocities[np.argmin([misfit(v) for v in velocities])])


def test_real_lines_lie_where_the_embedded_ones_do_in_vacuum(folder, embedded):
    """Within 10 km/s once air is converted, about 83 km/s off if it were not."""
    spectrum = read_spectrum(folder / NAME.format(5000, 5.0))
    for wave, expected in ((spectrum.vacuum_wave, 0.0), (spectrum.wave, -83.0)):
        arm = (spectrum.wave > ARM[0]) & (spectrum.wave < ARM[1])
        assert abs(shift_kms(wave[arm], spectrum.flux[arm], embedded) - expected) < 10.0


def test_real_flux_is_four_pi_h(folder, embedded):
    """The flux is that of the embedded star to 10 %; without the factor it is 12.6 times too low."""
    spectrum = read_spectrum(folder / NAME.format(5000, 5.0))
    arm = (spectrum.wave > ARM[0]) & (spectrum.wave < ARM[1])
    expected = np.interp(np.log(spectrum.vacuum_wave[arm]), *embedded)
    np.testing.assert_allclose(np.median(spectrum.flux[arm] / expected), 1.0, atol=0.1)
    total = np.trapezoid(spectrum.cont, spectrum.wave)
    np.testing.assert_allclose(total, SIGMA_SB * 5050.0**4, rtol=0.02)  # of the black body around the rows


def test_real_rows_take_the_bytes_that_the_index_reckons_with(real_rows):
    rows = "".join("{:.4e} {:.4e}\n".format(*row) for row in real_rows).encode()
    assert len(rows) == 22 * len(real_rows)
    np.testing.assert_allclose(len(gzip.compress(rows)) / len(real_rows), ROW_BYTES["gz"], rtol=0.15)


def test_unpacked_real_files_become_a_grid(folder, tmp_path, real_rows):
    """Case 09 with the rows of case 10: gunzipped files, the placeholder outside the wavelengths kept."""
    build_grid(find_spectra(folder), tmp_path / "grid.h5", wave_range=(7160.0, 8780.0))
    grid = load_grid(tmp_path / "grid.h5")
    assert grid.flux.shape[:2] == (2, 2)
    ratio = (4 * np.pi * real_rows[:, 0]).mean() / grid.flux[0, 1].mean()
    np.testing.assert_allclose(ratio, 1.0, rtol=0.01)
