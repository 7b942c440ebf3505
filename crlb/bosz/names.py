"""Names of BOSZ spectra: labels -> file name and archive path, and back; nodes selected by label ranges.

Sources: Bohlin et al. 2017, AJ 153, 234 (appendix); Mészáros et al. 2024, A&A 688, A197, and the
documentation of the high-level science product (doi 10.17909/T95G68).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from urllib.parse import quote

from crlb.bosz.catalogue import (
    A_M,
    ATLAS9_MIN_T_EFF,
    AXES,
    C_M,
    FORMATS,
    M_H,
    MARCS_MAX_T_EFF,
    MICROTURBULENCES,
    ORIGINAL,
    RESOLVING_POWERS,
    SPHERICAL_MAX_LOG_G,
    Atmosphere,
    Edition,
    FileFormat,
    Model,
    Resolution,
    check_edition,
    check_listed,
    choose_model,
    has_model,
    log_g_range,
    marcs,
    nearest,
    values_within,
)
from crlb.errors import UsageError
from crlb.labels import LABEL_NAMES

ARCHIVE = "https://archive.stsci.edu/"  # where the paths below start; reached only when a user downloads


@dataclass(frozen=True)
class Node:
    """One spectrum of BOSZ: its labels and which of the archive's files holds it.

    Args:
        edition: 2017 or 2024.
        T_eff: K.
        log_g: dex, cm/s^2.
        M_H: dex.
        a_M: [alpha/M], dex.
        C_M: [C/M], dex.
        resolving_power: wave / FWHM, or "orig" (2024 only).
        microturbulence: km/s.
        model: "ap" (ATLAS9), "mp" or "ms" (MARCS plane-parallel or spherical, 2024 only).
        file_format: "fits" or "ascii" in 2017, "txt" in 2024.

    Raises:
        UsageError: a value is not on the axes of the edition; the argument is named.
    """

    edition: Edition
    T_eff: float
    log_g: float
    M_H: float
    a_M: float
    C_M: float
    resolving_power: Resolution
    microturbulence: int
    model: Model
    file_format: FileFormat

    def __post_init__(self) -> None:
        for name, axis in AXES[self.edition].items():
            check_listed(name, getattr(self, name), axis, f"nodes of BOSZ {self.edition}")
        _check_files(self.edition, self.resolving_power, self.microturbulence, self.file_format)
        _check_model(self)

    @property
    def labels(self) -> tuple[float, ...]:
        """T_eff, log_g, M_H, a_M, C_M."""
        return tuple(getattr(self, name) for name in LABEL_NAMES)

    @property
    def name(self) -> str:
        """The file's name in the archive."""
        return _name_2017(self) if self.edition == 2017 else _name_2024(self)

    @property
    def path(self) -> str:
        """The file's path in the archive, not percent-encoded."""
        if self.edition == 2017:
            folder = f"missions/hlsp/bosz/{self.file_format}/insbroad_{self.resolving_power:06d}"
            return f"{folder}/metal_{self.M_H:+.2f}/carbon_{self.C_M:+.2f}/alpha_{self.a_M:+.2f}/{self.name}"
        return f"hlsps/bosz/bosz2024/r{self.resolving_power}/m{self.M_H:+.2f}/{self.name}"

    def url(self, base: str = ARCHIVE) -> str:
        """Where the file is found, percent-encoded."""
        return base.rstrip("/") + "/" + quote(self.path)


def _check_files(
    edition: Edition, resolving_power: Resolution, microturbulence: int, file_format: FileFormat
) -> None:
    what = f"values of BOSZ {edition}"
    check_listed("resolving_power", resolving_power, RESOLVING_POWERS[edition], what)
    check_listed("microturbulence", microturbulence, MICROTURBULENCES[edition], f"{what} (km/s)")
    check_listed("file_format", file_format, FORMATS[edition], what)


def _check_model(node: Node) -> None:
    if node.model != "ap" and (node.edition == 2017 or node.T_eff > MARCS_MAX_T_EFF):
        raise UsageError(
            f"atmosphere: BOSZ {node.edition} has no MARCS model at {node.T_eff:g} K "
            f"(only the 2024 edition does, up to {MARCS_MAX_T_EFF:g} K); choose atlas9 or auto"
        )
    if node.edition == 2017:
        return
    if node.model == "ap" and node.T_eff < ATLAS9_MIN_T_EFF:
        raise UsageError(
            f"atmosphere: BOSZ 2024 has ATLAS9 models from {ATLAS9_MIN_T_EFF:g} K, "
            f"found T_eff {node.T_eff:g}; choose marcs or auto"
        )
    low, high = log_g_range(node.T_eff)
    if not low <= node.log_g <= high:
        raise UsageError(
            f"log_g must lie between {low:g} and {high:g} at T_eff {node.T_eff:g} K in BOSZ 2024, "
            f"found {node.log_g:g}"
        )
    if node.model in ("mp", "ms") and node.model != marcs(node.log_g):
        raise UsageError(
            f"model: MARCS is spherical (ms) up to log_g {SPHERICAL_MAX_LOG_G:g} and plane-parallel (mp) "
            f"above, found {node.model} at log_g {node.log_g:g}"
        )


def make_node(
    edition: Edition,
    labels: Mapping[str, float],
    resolving_power: Resolution,
    *,
    microturbulence: int = 2,
    atmosphere: Atmosphere = "auto",
    file_format: FileFormat | None = None,
) -> Node:
    """Returns the node of an edition with these labels.

    Args:
        edition: 2017 or 2024.
        labels: T_eff (K) and log_g; M_H, a_M and C_M (dex) are zero unless given. A value that differs
            from one on the axis by rounding (float32) is that value.
        resolving_power: one of the edition's.
        microturbulence: km/s.
        atmosphere: which models where there are two; "auto" prefers MARCS up to 8000 K.
        file_format: 2017: "fits" (the default) or "ascii".

    Raises:
        UsageError: a value is not on the axes of the edition; the argument is named.
    """
    check_edition(edition)
    values = {
        name: nearest(float(labels.get(name, 0.0)) + 0.0, AXES[edition][name])  # + 0.0: no minus zero
        for name in LABEL_NAMES
    }
    return Node(
        edition=edition,
        **values,
        resolving_power=resolving_power,
        microturbulence=microturbulence,
        model=choose_model(edition, values["T_eff"], values["log_g"], atmosphere),
        file_format=file_format or FORMATS[edition][0],
    )


def _two_digits(value: float) -> str:
    """-0.25 -> m03: a sign, then tenths rounded half up."""
    return f"{'m' if value < 0 else 'p'}{math.floor(10 * abs(value) + 0.5):02d}"


def _name_2017(node: Node) -> str:
    composition = f"am{_two_digits(node.M_H)}c{_two_digits(node.C_M)}o{_two_digits(node.a_M)}"
    suffix = "fits" if node.file_format == "fits" else "asc.bz2"
    atmosphere = f"t{node.T_eff:.0f}g{round(10 * node.log_g):02d}v{10 * node.microturbulence}modrt0"
    return f"{composition}{atmosphere}b{node.resolving_power}rs.{suffix}"


def _name_2024(node: Node) -> str:
    composition = f"m{node.M_H:+.2f}_a{node.a_M:+.2f}_c{node.C_M:+.2f}"
    product_name = "noresam" if node.resolving_power == ORIGINAL else "resam"
    return (
        f"bosz2024_{node.model}_t{node.T_eff:.0f}_g{node.log_g:+.1f}_{composition}"
        f"_v{node.microturbulence}_r{node.resolving_power}_{product_name}.txt.gz"
    )


EXTENSION = r"(?P<suffix>fits|fit|fts|asc|ascii|txt|dat|csv)(?:\.(?:gz|bz2|xz))?"  # as users have them
_PATTERN_2017 = re.compile(
    r"am(?P<M_H>[mp]\d\d)c(?P<C_M>[mp]\d\d)o(?P<a_M>[mp]\d\d)t(?P<T_eff>\d+)g(?P<log_g>\d\d)v20modrt0"
    rf"b(?P<R>\d+)rs\.{EXTENSION}"
)
_PATTERN_2024 = re.compile(
    r"bosz2024_(?P<model>mp|ms|ap)_t(?P<T_eff>\d+)_g(?P<log_g>[+-]\d\.\d)_m(?P<M_H>[+-]\d\.\d\d)"
    rf"_a(?P<a_M>[+-]\d\.\d\d)_c(?P<C_M>[+-]\d\.\d\d)_v(?P<v>\d)_r(?P<R>\d+|orig)_(?:no)?resam\.{EXTENSION}"
)
_FITS = ("fits", "fit", "fts")


def parse_name(name: str) -> Node:
    """Returns the node whose file has this name (a folder before it does not matter).

    The name may be in capitals, and end as that of a file that was unpacked, packed again or converted:
    `.txt`, `.asc`, `.fits.gz` and the like. The node's own name is always that of the archive.

    Raises:
        UsageError: it is not the name of a BOSZ spectrum, or of none that exists.
    """
    name = name.rsplit("/", 1)[-1].replace("%2B", "+").replace("%2b", "+")
    lower = name.lower()
    if match := _PATTERN_2017.fullmatch(lower):
        node = _parse_2017(match.groupdict())
    elif match := _PATTERN_2024.fullmatch(lower):
        node = _parse_2024(match.groupdict())
    else:
        raise UsageError(f"{name} is not the name of a BOSZ spectrum of 2017 or 2024")
    if lower[: match.start("suffix")] != _stem(node.name):
        raise UsageError(f"{name} is not the name of a BOSZ spectrum; did you mean {node.name}?")
    return node


def _stem(name: str) -> str:
    """The archive's name up to its extension, with the point."""
    return re.sub(r"(fits|asc\.bz2|txt\.gz)$", "", name)


def _parse_2017(parts: dict[str, str]) -> Node:
    labels = {"T_eff": float(parts["T_eff"]), "log_g": int(parts["log_g"]) / 10}
    for name, axis in (("M_H", M_H), ("a_M", A_M), ("C_M", C_M)):
        known = {_two_digits(value): value for value in axis}
        check_listed(name, parts[name], tuple(known), "values in names of BOSZ 2017")
        labels[name] = known[parts[name]]
    file_format: FileFormat = "fits" if parts["suffix"] in _FITS else "ascii"
    return make_node(2017, labels, int(parts["R"]), file_format=file_format)


def _parse_2024(parts: dict[str, str]) -> Node:
    resolving_power: Resolution = ORIGINAL if parts["R"] == ORIGINAL else int(parts["R"])
    return make_node(
        2024,
        {name: float(parts[name]) for name in LABEL_NAMES},
        resolving_power,
        microturbulence=int(parts["v"]),
        atmosphere="atlas9" if parts["model"] == "ap" else "marcs",
    )


def select(
    edition: Edition,
    resolving_power: Resolution,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    *,
    microturbulence: int = 2,
    atmosphere: Atmosphere = "auto",
    file_format: FileFormat | None = None,
) -> list[Node]:
    """Returns the nodes of an edition whose labels lie within the ranges, last label fastest.

    Neither edition is a complete tensor: some of these files do not exist in the archive.

    Args:
        edition: 2017 or 2024.
        resolving_power: one of the edition's.
        ranges: lowest and highest value of a label (T_eff in K, others in dex); its whole axis if absent.
        microturbulence: km/s.
        atmosphere: "marcs" or "atlas9" leave out what the other one alone covers.
        file_format: 2017: "fits" (the default) or "ascii".

    Raises:
        UsageError: a range holds no node, or another value is not one of the edition's.
    """
    check_edition(edition)
    file_format = file_format or FORMATS[edition][0]
    _check_files(edition, resolving_power, microturbulence, file_format)
    axes = [values_within(edition, name, (ranges or {}).get(name)) for name in LABEL_NAMES]
    nodes = []
    for T_eff, log_g, m_h, a_m, c_m in product(*axes):
        model = choose_model(edition, T_eff, log_g, atmosphere)
        if has_model(edition, T_eff, log_g, model):
            labels = (T_eff, log_g, m_h, a_m, c_m)
            nodes.append(Node(edition, *labels, resolving_power, microturbulence, model, file_format))
    if not nodes:
        raise UsageError(f"atmosphere {atmosphere}: BOSZ {edition} has no such model within these ranges")
    return nodes
