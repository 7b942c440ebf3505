"""Lightness, and colours as seen without red and green; how far apart these are."""

import numpy as np
from matplotlib.colors import to_rgb

# Linear sRGB to XYZ with white D65 (IEC 61966-2-1).
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
# Deuteranopia, severity 1, on linear sRGB: Machado, Oliveira & Fernandes 2009, IEEE TVCG 15, 1291, table.
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def linear(color) -> np.ndarray:
    """A colour of matplotlib as linear sRGB."""
    value = np.array(to_rgb(color))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """L*, a*, b* of linear sRGB (CIE 1976)."""
    t = XYZ @ rgb / XYZ.sum(axis=1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def lightness(color) -> float:
    """L* of a colour, 0 to 100."""
    return float(lab(linear(color))[0])


def distance_without_green(one, other) -> float:
    """Distance in L*a*b* of two colours as seen with deuteranopia."""
    seen = [lab(np.clip(DEUTERANOPIA @ linear(color), 0, 1)) for color in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))
