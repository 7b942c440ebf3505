"""Writes a mock giant branch, T_eff, log_g, M_H and mag of stars, as a table for --population.

    python examples/giant_branch.py giants.csv

Radii on the first giant branch are those of published stellar tracks, as fitted by Hurley, Pols & Tout 2000,
MNRAS 315, 543 (equation 46, appendix A; 1e-4 <= Z <= 0.03, good to some per cent):

    R = A (L^b1 + b2 L^b3),      A = min(b4 M^-b5, b6 M^-b7),      b1 ... b7 functions of Z

so T_eff and log g follow from L, M and Z. A star spends a time proportional to L^(-11/6) dL at L (core mass
and luminosity related as L ~ M_c^6, its rate of growth as L: the same paper, equations 31 to 39). What is
chosen here and not published: masses of old stars, metallicities, the range of L, one distance.
"""

import argparse
import csv
import math
import random
from collections.abc import Callable
from pathlib import Path

MASS = (0.8, 1.1)  # of the Sun, uniform: giants of some 5 to 13 Gyr
M_H = (-0.7, 0.5)  # dex, mean and sigma of a normal distribution ...
M_H_RANGE = (-2.2, 0.15)  # ... cut here, where the fits and the grid hold
LUMINOSITY = (15.0, 2000.0)  # of the Sun: above the base of the branch, up to its tip
SLOPE = -11 / 6  # of dN/dL
BOX = {"T_eff": (3750.0, 6000.0), "log_g": (1.0, 5.0)}  # of the embedded grid: other stars are drawn again
Z_SUN = 0.02  # as in the fits
SUN = (5772.0, 4.438)  # T_eff (K) and log g of the Sun, IAU 2015 resolution B3
# AB in i, of a star of the largest luminosity at some 130 kpc, as in dwarf galaxies: M_I = -4 at the tip
# (Lee, Freedman & Madore 1993, ApJ 417, 553), 0.45 from Vega to AB. Others by 2.5 log10 L, without colours.
TIP_MAG = 17.0
COEFFICIENTS = {  # of zeta = log10(Z/0.02), by power
    1: (0.397, 0.28826, 0.5293),
    4: (0.9960283, 0.8164393, 2.38383, 2.223436, 0.8638115, 0.1231572),
    5: (0.2561062, 0.07072646, -0.05444596, -0.05798167, -0.01349129),
    6: (1.157338, 1.467883, 4.299661, 3.1305, 0.699208, 0.01640687),
    7: (0.4022765, 0.305001, 0.9962137, 0.7914079, 0.1728098),
}


def radius(luminosity: float, mass: float, z: float) -> float:
    """Returns the radius of a star on the first giant branch; all in units of the Sun, Z by mass."""
    b = {n: sum(c * math.log10(z / Z_SUN) ** i for i, c in enumerate(row)) for n, row in COEFFICIENTS.items()}
    b[1] = min(b[1], 0.54)
    x = math.log10(z)
    b2 = min(max(10 ** (-4.6739 - 0.9394 * x), -0.04167 + 55.67 * z), 0.4771 - 9329.21 * z**2.94)
    b3 = 10 ** max(-0.1451, -2.2794 - 1.5175 * x - 0.254 * x**2)
    b3 = max(b3, 0.7307 + 14265.1 * z**3.395) if z > 0.004 else b3
    scale = min(b[4] * mass ** -b[5], b[6] * mass ** -b[7])
    return scale * (luminosity ** b[1] + b2 * luminosity**b3)


def star(draw: random.Random) -> dict[str, float]:
    """Returns labels and magnitude of one star."""
    mass, m_h = draw.uniform(*MASS), inside(lambda: draw.gauss(*M_H), M_H_RANGE)
    low, high = (one ** (SLOPE + 1) for one in LUMINOSITY)
    luminosity = (low + draw.random() * (high - low)) ** (1 / (SLOPE + 1))
    size = radius(luminosity, mass, Z_SUN * 10**m_h)
    return {
        "T_eff": SUN[0] * (luminosity / size**2) ** 0.25,
        "log_g": SUN[1] + math.log10(mass / size**2),
        "M_H": m_h,
        "mag": TIP_MAG + 2.5 * math.log10(LUMINOSITY[1] / luminosity),
    }


def inside(draw: Callable[[], float], limits: tuple[float, float]) -> float:
    """Returns the first number drawn that lies within limits."""
    while not limits[0] <= (found := draw()) <= limits[1]:
        pass
    return found


def giants(n: int, seed: int) -> list[dict[str, float]]:
    """Returns stars within the embedded grid."""
    draw, found = random.Random(seed), []
    while len(found) < n:
        one = star(draw)
        if all(low <= one[name] <= high for name, (low, high) in BOX.items()):
            found.append(one)
    return found


def main() -> None:
    """Writes the table that the command line asks for."""
    parser = argparse.ArgumentParser(description="Writes a mock giant branch as CSV.")
    parser.add_argument("out", type=Path, help="the table to write")
    parser.add_argument("--n", type=int, default=10_000, help="stars")
    parser.add_argument("--seed", type=int, default=19, help="of the random numbers")
    options = parser.parse_args()
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["T_eff", "log_g", "M_H", "mag"])
        writer.writeheader()
        for one in giants(options.n, options.seed):
            writer.writerow({"T_eff": f"{one.pop('T_eff'):.1f}"} | {k: f"{v:.3f}" for k, v in one.items()})


if __name__ == "__main__":
    main()
