"""A folder of BOSZ files becomes a grid file that the rest of the package takes."""

import h5py
import numpy as np
import pytest

from crlb.bosz.build import build_grid
from crlb.bosz.degrade import plan_pixels
from crlb.bosz.find import find_spectra
from crlb.bosz.names import select
from crlb.bosz.read import BoszSpectrum, read_spectrum
from crlb.bosz.wave_grid import wave_2017, wave_2024
from crlb.errors import DataError, MissingInputError, OutputError, UsageError
from crlb.grids.emulator import make_emulator
from crlb.grids.grid_file import load_grid
from crlb.wavelengths import air_to_vacuum
from tests.crlb.bosz.bosz_files import N0, TRIPLET_VACUUM, stored_flux, table, write

BOX = {"T_eff": (5000.0, 5500.0), "log_g": (2.0, 3.0), "a_M": (0.0, 0.0), "C_M": (0.0, 0.0)}
WAVE = (8300.0, 8800.0)  # Å


def nodes_of(edition, power, **ranges):
    options = {"file_format": "ascii"} if edition == 2017 else {}
    return select(edition, power, BOX | {"M_H": (0.0, 0.0)} | ranges, **options)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Files of R = 2000: 3 T_eff x 3 log g, of both editions."""
    made = {}
    for edition in (2017, 2024):
        made[edition] = tmp_path_factory.mktemp(str(edition))
        for node in nodes_of(edition, 2000):
            write(node, made[edition])
    return made


@pytest.fixture
def files(folders, tmp_path):
    """A copy whose files may be damaged: links, replaced one by one."""

    def copy(edition=2017):
        folder = tmp_path / f"spectra{edition}"
        folder.mkdir()
        for path in folders[edition].iterdir():
            (folder / path.name).symlink_to(path)
        return folder

    return copy


@pytest.mark.parametrize("edition", [2017, 2024])
def test_build_load_emulate(folders, tmp_path, edition):
    assert build_grid(find_spectra(folders[edition]), tmp_path / "grid.h5", wave_range=WAVE) == ""
    grid = load_grid(tmp_path / "grid.h5")
    assert grid.label_names == ("T_eff", "log_g")
    assert grid.flux.shape[:2] == (3, 3)
    assert grid.resolving_power == 2000
    for words in (f"BOSZ {edition}", "R = 2000", "microturbulence 2 km/s", "M_H = 0", "a_M = 0"):
        assert words in grid.source
    assert (grid.wave[0] - WAVE[0], WAVE[1] - grid.wave[-1]) < (3.0, 3.0)
    node = nodes_of(edition, 2000)[4]
    factor = np.pi if edition == 2017 else 4 * np.pi
    native = grid.wave if edition == 2017 else wave_2024(2000)
    flux, _ = stored_flux(node, native)
    flux = flux if edition == 2017 else np.interp(grid.wave, air_to_vacuum(native), flux)
    np.testing.assert_allclose(grid.flux[1, 1], factor * flux, rtol=3e-5)
    for line in TRIPLET_VACUUM:
        near = np.abs(grid.wave - line) < 10
        assert abs(grid.wave[near][np.argmin((grid.flux / grid.cont)[1, 1, near])] - line) < 2.2
    emulator = make_emulator(grid)
    np.testing.assert_allclose(emulator(np.array([5250.0, 2.5])), grid.flux[1, 1], rtol=1e-4)


def spectrum_of_line(edition: int, power: int, line: float) -> BoszSpectrum:
    """A Gaussian line of FWHM line / power on a file's pixels: what a file of that R shows of a thin line."""
    node = nodes_of(edition, power)[0]
    if edition == 2017:
        every = max(1, 300000 // power // 2)
        n = int(np.log(320.0) / np.log1p(1 / 300000)) // every + 1
        stored = 10 * np.exp(np.log1p(1 / 300000) * (N0 + every * np.arange(n)))
        wave, medium, step = wave_2017(stored, power), "vacuum", every * np.log1p(1 / 300000)
    else:
        wave, medium, step = wave_2024(power), "air", np.log(640) / (15 * power)
    flux = 1 - 0.6 * gaussian(wave, line, power)
    return BoszSpectrum(node, wave, flux, np.ones_like(flux), medium, float(step))


def gaussian(wave, line, power):
    return np.exp(-4 * np.log(2) * (power * np.log(wave / line)) ** 2)


@pytest.mark.parametrize(("edition", "power"), [(2017, 20000), (2024, 20000)])
@pytest.mark.parametrize("target", [15000.0, 10000.0, 5000.0, 2000.0])
def test_smoothing_gives_the_line_of_the_lower_resolving_power(edition, power, target):
    """Two pixels per resolution element suffice: within 2e-3 of the exact Gaussian, its area kept."""
    spectrum = spectrum_of_line(edition, power, 8542.0)
    pixels = plan_pixels(spectrum, (8450.0, 8650.0), target)
    flux, cont = pixels(spectrum)
    wave = pixels.wave if edition == 2017 else np.interp(pixels.wave, spectrum.vacuum_wave, spectrum.wave)
    exact = 1 - 0.6 * (target / power) * gaussian(wave, 8542.0, target)
    np.testing.assert_allclose(flux, exact, atol=2e-3)
    np.testing.assert_allclose(cont, 1.0, rtol=1e-12)
    assert pixels.resolving_power == target
    assert np.diff(np.log(pixels.wave)).max() * target < 1 / 1.9


def test_resolving_power_too_near_that_of_the_files_is_refused():
    spectrum = spectrum_of_line(2017, 20000, 8542.0)
    for bad in (19000.0, 25000.0, 0.0, -5.0):
        with pytest.raises(UsageError, match=r"must be 20000 \(that of the files\) or between 0 and 15"):
            plan_pixels(spectrum, (8450.0, 8650.0), bad)


def test_originals_are_brought_to_common_pixels(tmp_path):
    for node in nodes_of(2024, "orig", log_g=(2.0, 2.0)):
        write(node, tmp_path)
    build_grid(find_spectra(tmp_path), tmp_path / "grid.h5", wave_range=WAVE, resolving_power=500.0)
    grid = load_grid(tmp_path / "grid.h5")
    assert grid.resolving_power == 500
    depth = 1 - (grid.flux / grid.cont)[1]
    near = np.abs(grid.wave - TRIPLET_VACUUM[2]) < 20
    centre = (grid.wave * depth)[near].sum() / depth[near].sum()
    assert abs(centre - TRIPLET_VACUUM[2]) < 0.3
    with pytest.raises(UsageError, match="resolving_power is needed for the originals"):
        build_grid(find_spectra(tmp_path), tmp_path / "other.h5", wave_range=WAVE)


def test_holes_are_refused_before_anything_is_read(files, tmp_path):
    folder = files()
    gone = nodes_of(2017, 2000)[4]
    (folder / gone.name).unlink()
    for path in folder.iterdir():
        path.unlink()
        path.write_bytes(b"not read")
    with pytest.raises(DataError, match=r"1 of 9 nodes \(T_eff, log_g\) are missing: \(5250, 2.5\)"):
        build_grid(find_spectra(folder), tmp_path / "grid.h5", wave_range=WAVE)


def test_holes_are_dropped_filled_or_kept_and_recorded(files, tmp_path):
    folder = files()
    gone = nodes_of(2017, 2000)[4]
    (folder / gone.name).unlink()
    shapes = {"drop": (6, 2), "fill": (9, 2), "keep": (8, 2)}
    for policy, shape in shapes.items():
        path = tmp_path / f"{policy}.h5"
        report = build_grid(find_spectra(folder), path, wave_range=WAVE, holes=policy)
        with h5py.File(path) as file:
            assert file["labels"].shape == shape
            np.testing.assert_array_equal(file["holes"][:], [[5250.0, 2.5]])
            assert file.attrs["holes"].decode() == report
            assert ("filled" in file) == (policy == "fill")
    with h5py.File(tmp_path / "fill.h5") as file:
        np.testing.assert_array_equal(file["filled"][:], np.arange(9) == 8)
        truth = np.pi * stored_flux(gone, file["wave"][:])[0]
        np.testing.assert_allclose(file["flux"][8], truth, rtol=3e-3)  # three nodes: linear in log flux
        np.testing.assert_array_equal(file["labels"][8], [5250.0, 2.5])
    assert load_grid(tmp_path / "drop.h5").flux.shape[:2] in ((2, 3), (3, 2))
    assert load_grid(tmp_path / "fill.h5").flux.shape[:2] == (3, 3)


def test_ranges_choose_among_the_files(folders, tmp_path):
    build_grid(find_spectra(folders[2017], {"log_g": (2.5, 3.0)}), tmp_path / "grid.h5", wave_range=WAVE)
    assert load_grid(tmp_path / "grid.h5").flux.shape[:2] == (3, 2)
    with pytest.raises(MissingInputError, match="no BOSZ file within the ranges"):
        find_spectra(folders[2017], {"T_eff": (9000.0, 9500.0)})


def test_damaged_files_are_named_and_leave_no_grid(files, tmp_path):
    folder, node = files(), nodes_of(2017, 2000)[5]
    whole = (folder / node.name).read_bytes()
    (folder / node.name).unlink()
    (folder / node.name).write_bytes(whole[:-100])
    with pytest.raises(DataError, match=rf"{node.name}: it is truncated or damaged"):
        build_grid(find_spectra(folder), tmp_path / "grid.h5", wave_range=WAVE)
    columns = table(node)
    columns[np.argmin(np.abs(columns[:, 0] - 8600)), 1] = 0.0
    write(node, folder, columns)
    with pytest.raises(DataError, match=rf"{node.name}: flux must be positive .* 8\d\d\d\.\d\d Å"):
        build_grid(find_spectra(folder), tmp_path / "grid.h5", wave_range=WAVE)
    assert not (tmp_path / "grid.h5").exists()


def test_parts_and_foreign_files_are_left_alone(files, tmp_path):
    folder = files()
    (folder / f"{nodes_of(2017, 2000)[0].name}.part").write_bytes(b"half")
    (folder / "readme.txt.gz").write_bytes(b"other")
    (folder / "holes.csv").write_text("name,path\n")
    build_grid(find_spectra(folder), tmp_path / "grid.h5", wave_range=WAVE)


def test_mixtures_are_refused(files, folders, tmp_path):
    folder = files()
    other = nodes_of(2017, 1000)[0]
    write(other, folder)
    with pytest.raises(UsageError, match="agree in resolving_power, found 1000, 2000"):
        build_grid(find_spectra(folder), tmp_path / "grid.h5", wave_range=WAVE)
    (folder / other.name).unlink()
    twin = folder / nodes_of(2017, 2000)[0].name.replace(".asc.bz2", ".fits")
    twin.write_bytes(b"")
    with pytest.raises(DataError, match="two files are of one node"):
        build_grid(find_spectra(folder), tmp_path / "grid.h5", wave_range=WAVE)


def test_unusable_arguments_are_refused(folders, tmp_path):
    def build(ranges=None, **options):
        return build_grid(find_spectra(folders[2017], ranges), tmp_path / "grid.h5", **options)

    with pytest.raises(UsageError, match="must be two increasing wavelengths"):
        build(wave_range=(8800.0, 8300.0))
    with pytest.raises(UsageError, match="they cover 1000"):
        build(wave_range=(100.0, 200.0))
    with pytest.raises(MissingInputError, match="does not exist"):
        find_spectra(tmp_path / "none")
    (tmp_path / "grid.h5").write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        build()
    with pytest.raises(UsageError, match="at least two spectra"):
        build(wave_range=WAVE, ranges={"T_eff": (5000.0, 5000.0), "log_g": (2.0, 2.0)}, overwrite=True)


def test_degraded_grid_says_so(folders, tmp_path):
    build_grid(find_spectra(folders[2024]), tmp_path / "grid.h5", wave_range=WAVE, resolving_power=1000.0)
    grid = load_grid(tmp_path / "grid.h5")
    assert "smoothed with a Gaussian to R = 1000" in grid.source
    assert "MARCS" in grid.source
    wave, flux = read_spectrum(folders[2024] / nodes_of(2024, 2000)[4].name), grid.flux[1, 1]
    assert flux.min() > np.interp(grid.wave, wave.vacuum_wave, wave.flux).min()
