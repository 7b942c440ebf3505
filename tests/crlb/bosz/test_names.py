"""Names of BOSZ files: there and back, and nothing that does not exist."""

import pytest

from crlb.bosz.catalogue import AXES
from crlb.bosz.names import make_node, parse_name, select
from crlb.errors import UsageError

SOLAR = {"M_H": (0.0, 0.0), "a_M": (0.0, 0.0), "C_M": (0.0, 0.0)}


def test_published_examples_of_2017():
    node = parse_name("amm10cm03op03t4000g25v20modrt0b5000rs.fits")
    assert node.labels == (4000.0, 2.5, -1.0, 0.25, -0.25)
    assert (node.edition, node.resolving_power, node.file_format) == (2017, 5000, "fits")
    assert node.path == (
        "missions/hlsp/bosz/fits/insbroad_005000/metal_-1.00/carbon_-0.25/alpha_+0.25/"
        "amm10cm03op03t4000g25v20modrt0b5000rs.fits"
    )
    ascii_node = parse_name("amm03cm03om03t3500g25v20modrt0b5000rs.asc.bz2")
    assert ascii_node.labels == (3500.0, 2.5, -0.25, -0.25, -0.25)
    assert ascii_node.path.startswith("missions/hlsp/bosz/ascii/")


def test_published_example_of_2024():
    name = "bosz2024_mp_t5000_g+4.5_m+0.00_a+0.00_c+0.00_v2_r20000_resam.txt.gz"
    node = parse_name(name)
    assert node.labels == (5000.0, 4.5, 0.0, 0.0, 0.0)
    assert node.path == f"hlsps/bosz/bosz2024/r20000/m+0.00/{name}"
    url = node.url()
    assert url == "https://archive.stsci.edu/hlsps/bosz/bosz2024/r20000/m%2B0.00/" + name.replace("+", "%2B")
    assert parse_name(url) == node


@pytest.mark.parametrize(
    ("value", "digits"),
    [(0.25, "p03"), (0.75, "p08"), (-1.25, "m13"), (0.0, "p00"), (-0.0, "p00"), (-2.5, "m25"), (-0.5, "m05")],
)
def test_tenths_are_rounded_half_up(value, digits):
    node = make_node(2017, {"T_eff": 5000.0, "log_g": 0.5, "M_H": value}, 5000)
    assert node.name.startswith(f"am{digits}cp00op00t5000g05v20")
    assert "-0.00" not in node.path


@pytest.mark.parametrize("options", [{}, {"file_format": "ascii"}])
def test_every_name_of_2017_leads_back(options):
    nodes = select(2017, 10000, {"log_g": (2.0, 3.0), "T_eff": (9750.0, 10000.0)}, **options)
    assert [parse_name(node.name) for node in nodes] == nodes
    assert len(nodes) == 2 * 3 * 14 * 4 * 6


@pytest.mark.parametrize("power", [5000, "orig"])
@pytest.mark.parametrize("atmosphere", ["auto", "marcs", "atlas9"])
def test_every_name_of_2024_leads_back(power, atmosphere):
    nodes = select(2024, power, SOLAR, atmosphere=atmosphere, microturbulence=1)
    assert [parse_name(node.name) for node in nodes] == nodes
    assert all(node.name.endswith("noresam.txt.gz" if power == "orig" else "_resam.txt.gz") for node in nodes)


def test_2024_has_the_published_number_of_models():
    """495 pairs of T_eff and log g, Mészáros et al. 2024: both kinds counted where both exist."""
    marcs, atlas9 = (select(2024, 5000, SOLAR, atmosphere=kind) for kind in ("marcs", "atlas9"))
    assert len(marcs) + len(atlas9) == 495
    assert len(select(2024, 5000, SOLAR)) == 474


def test_marcs_is_spherical_up_to_log_g_3_and_preferred_up_to_8000_K():
    def kind(T_eff, log_g, atmosphere="auto"):
        return make_node(2024, {"T_eff": float(T_eff), "log_g": log_g}, 5000, atmosphere=atmosphere).name[
            9:11
        ]

    assert kind(5000.0, 3.0) == "ms"
    assert kind(5000.0, 3.5) == "mp"
    assert kind(8000.0, 3.5) == "mp"
    assert kind(8250.0, 3.5) == "ap"
    assert kind(7500.0, 3.5, "atlas9") == "ap"


@pytest.mark.parametrize(
    ("edition", "labels", "power", "options", "words"),
    [
        (2024, {"T_eff": 3750, "log_g": 2}, 5000, {}, r"T_eff must be .* found 3750.0; there are: 2800 2900"),
        (2017, {"T_eff": 5100, "log_g": 2}, 5000, {}, "T_eff must be one of the nodes of BOSZ 2017"),
        (2017, {"T_eff": 5000, "log_g": 2.25}, 5000, {}, "log_g must be"),
        (2017, {"T_eff": 5000, "log_g": 2, "a_M": 0.1}, 5000, {}, "a_M must be"),
        (2017, {"T_eff": 5000, "log_g": 2}, 4000, {}, "resolving_power must be .* found 4000"),
        (2017, {"T_eff": 5000, "log_g": 2}, "orig", {}, "resolving_power must be"),
        (2017, {"T_eff": 5000, "log_g": 2}, 5000, {"microturbulence": 1}, "microturbulence must be"),
        (
            2017,
            {"T_eff": 5000, "log_g": 2},
            5000,
            {"atmosphere": "marcs"},
            "atmosphere: BOSZ 2017",
        ),
        (2024, {"T_eff": 9000, "log_g": 2}, 5000, {"atmosphere": "marcs"}, "atmosphere: .* up to 8000 K"),
        (2024, {"T_eff": 5000, "log_g": 2}, 5000, {"atmosphere": "atlas9"}, "atmosphere: .* from 7500 K"),
        (2024, {"T_eff": 9000, "log_g": 1}, 5000, {}, "log_g must lie between 2 and 5 at T_eff 9000"),
        (2024, {"T_eff": 5000, "log_g": 2}, 5000, {"file_format": "fits"}, "file_format must be"),
    ],
)
def test_what_is_not_on_the_axes_is_refused_by_name(edition, labels, power, options, words):
    with pytest.raises(UsageError, match=words):
        make_node(edition, {name: float(x) for name, x in labels.items()}, power, **options)


@pytest.mark.parametrize(
    "name",
    [
        "spectrum.fits",
        "amm11cp00op00t5000g25v20modrt0b5000rs.fits",
        "amm10cp00op00t05000g25v20modrt0b5000rs.fits",
        "bosz2024_ms_t5000_g+4.5_m+0.00_a+0.00_c+0.00_v2_r20000_resam.txt.gz",
        "bosz2024_mp_t5000_g+4.5_m-0.00_a+0.00_c+0.00_v2_r20000_resam.txt.gz",
        "bosz2024_mp_t5000_g+4.5_m+0.00_a+0.00_c+0.00_v2_r20000_noresam.txt.gz",
        "amm10cp00op00t5000g25v20modrt0b5000rs.fits.part",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(UsageError):
        parse_name(name)


def test_ranges_select_nodes_and_empty_ones_are_refused():
    nodes = select(
        2017, 5000, {"T_eff": (3750.0, 6000.0), "log_g": (1.0, 5.0), "a_M": (0.0, 0.0), "C_M": (0.0, 0.0)}
    )
    assert len(nodes) == 10 * 9 * 14
    assert len(AXES[2017]["T_eff"]) == 66
    with pytest.raises(UsageError, match="T_eff between 5010 and 5240 K: no node"):
        select(2017, 5000, {"T_eff": (5010.0, 5240.0)})
    with pytest.raises(UsageError, match="atmosphere marcs"):
        select(2017, 5000, SOLAR, atmosphere="marcs")


def test_labels_and_ranges_that_differ_by_rounding_mean_the_node():
    exact = {"T_eff": 5000.0, "log_g": 2.5, "M_H": -0.25}
    rounded = {"T_eff": 4999.9995, "log_g": 2.5 + 2e-7, "M_H": -0.25 - 1e-8, "a_M": -1e-9}
    assert make_node(2017, rounded, 5000) == make_node(2017, exact, 5000)
    ranges = {name: (value, value) for name, value in rounded.items()}
    assert len(select(2017, 5000, SOLAR | ranges)) == 1
    with pytest.raises(UsageError, match="T_eff must be"):
        make_node(2017, exact | {"T_eff": 4999.99}, 5000)
