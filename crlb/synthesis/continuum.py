"""Continuous opacity of a cool stellar gas: H-, neutral hydrogen, Rayleigh and electron scattering."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.synthesis.species import BOLTZMANN, BOLTZMANN_EV, HC_OVER_K
from crlb.synthesis.state import State

SIGMA_THOMSON = 6.6524587e-25  # cm^2, CODATA 2018
H_MINUS_EDGE = 1.6419  # micron, John 1988
# John 1988, A&A 193, 189: table 2 (bound-free, C_1..C_6) and table 3a (free-free above 0.3645 micron,
# rows n = 2..6, columns A B C D E F).
H_MINUS_BF = (152.519, 49.534, -118.858, 92.536, -34.194, 4.982)
H_MINUS_FF = np.array(
    [
        [2483.346, 285.827, -2054.291, 2827.776, -1341.537, 208.952],
        [-3449.889, -1158.382, 8746.523, -11485.632, 5303.609, -812.939],
        [2200.040, 2427.719, -13651.105, 16755.524, -7510.494, 1132.738],
        [-696.271, -1841.400, 8624.970, -10051.530, 4400.067, -655.020],
        [88.283, 444.517, -1863.864, 2095.288, -901.788, 132.985],
    ]
)
RYDBERG_EV = 13.598434  # ionisation energy of hydrogen
RYDBERG_MICRON = 0.0911763  # wavelength of the Lyman limit, vacuum micron
KRAMERS = 1.0449e-26  # cm^2 / Å^3, Gray 2005, eq. 8.5
CRITICAL_FIELD = (
    8.571e14  # (e / a_0^2) / (16 F_0), cm^-2, with the normal field F_0 = 1.2507e-9 n_e^(2/3) esu/cm^2
)
PASCHEN = 3  # lower level of the series in this range
TOP_LEVEL = 8  # bound levels of hydrogen summed one by one


def h_minus_bound_free(
    wave: Float[Array, " n_wave"], temperature: Float[Array, " n_depth"]
) -> Float[Array, "n_depth n_wave"]:
    """Absorption of H- per H atom and unit electron pressure (cm^4/dyn), stimulated emission taken off.

    k = 0.750 T^-5/2 exp(a/(l0 T)) (1 - exp(-a/(l T))) s
    s = 1e-18 l^3 (1/l - 1/l0)^1.5 sum_n C_n (1/l - 1/l0)^((n-1)/2)

    Args:
        wave: vacuum wavelength, Å, between 1250 Å and the edge at 16419 Å.
        temperature: K.

    Source: John 1988, A&A 193, 189, eqs. 3-5.
    """
    micron = wave * 1e-4
    root = jnp.sqrt(jnp.maximum(1.0 / micron - 1.0 / H_MINUS_EDGE, 1e-12))
    sigma = 1e-18 * (micron * root) ** 3 * jnp.polyval(np.asarray(H_MINUS_BF[::-1], wave.dtype), root)
    a = HC_OVER_K * 1e4
    emission = -jnp.expm1(-a / (micron[None] * temperature[:, None]))
    return (
        (0.750 * temperature**-2.5 * jnp.exp(a / (H_MINUS_EDGE * temperature)))[:, None]
        * emission
        * sigma[None]
    )


def h_minus_free_free(
    wave: Float[Array, " n_wave"], temperature: Float[Array, " n_depth"]
) -> Float[Array, "n_depth n_wave"]:
    """Absorption of H + e per H atom and unit electron pressure (cm^4/dyn), stimulated emission taken off.

    k = 1e-29 sum_n (5040/T)^((n+1)/2) (l^2 A_n + B_n + C_n/l + D_n/l^2 + E_n/l^3 + F_n/l^4), l > 0.3645

    Source: John 1988, A&A 193, 189, eq. 6 (fit to Bell & Berrington 1987, J. Phys. B 20, 801).
    """
    micron = wave * 1e-4
    powers = jnp.stack([micron**2, jnp.ones_like(micron), *(micron**-k for k in (1, 2, 3, 4))])
    theta = jnp.stack([(5040.0 / temperature) ** ((n + 1) / 2) for n in range(2, 7)], axis=1)
    return 1e-29 * theta @ (H_MINUS_FF.astype(wave.dtype) @ powers)


def hydrogen(wave: Float[Array, " n_wave"], state: State) -> Float[Array, "n_depth n_wave"]:
    """Bound-free and free-free absorption of neutral hydrogen (cm^-1), stimulated emission included.

    Kramers' cross-sections with Gaunt factors; levels above n = 8 as an integral. Beyond the Paschen limit
    n = 3 goes on absorbing into those upper levels that the plasma has dissolved.

    Source: Gray 2005, The Observation and Analysis of Stellar Photospheres, eqs. 8.4-8.10; Daeppen, Anderson
    & Mihalas 1987, ApJ 319, 195, eq. 10 for the dissolved levels.
    """
    angstrom, kt = wave[None], BOLTZMANN_EV * state.temperature[:, None]
    x = angstrom * 1e-4 / RYDBERG_MICRON  # Rydberg energies per photon energy
    total = jnp.zeros_like(kt * angstrom)
    for n in range(1, TOP_LEVEL + 1):
        gaunt = 1.0 - 0.3456 / x ** (1 / 3) * (x / n**2 - 0.5)
        level = gaunt / n**3 * jnp.exp(-RYDBERG_EV * (1.0 - 1.0 / n**2) / kt)
        open_share = _dissolved_share(x, n, state) if n == PASCHEN else jnp.where(x <= n**2, 1.0, 0.0)
        total = total + level * open_share
    free = 1.0 + 0.3456 / x ** (1 / 3) * (kt / RYDBERG_EV * x + 0.5)
    ground = jnp.exp(-RYDBERG_EV / kt)
    last = jnp.exp(-RYDBERG_EV * (1.0 - 1.0 / (TOP_LEVEL + 1) ** 2) / kt)
    high = 0.5 * kt / RYDBERG_EV * (last - ground + free * ground)
    return state.n_HI[:, None] * KRAMERS * angstrom**3 * (total + high) * _stimulated(wave, state.temperature)


def _dissolved_share(x: Float[Array, "1 n_wave"], n: int, state: State) -> Float[Array, "n_depth n_wave"]:
    """Chance that the level to which a photon would lift an electron from n is dissolved; 1 past it."""
    bound = x > n**2 * 1.0001  # short of the limit itself, where the level is infinite
    # the 2 and the 1e-5 only keep the unused branch finite, for the sake of the gradient
    upper = jnp.where(bound, 1.0 / n**2 - 1.0 / jnp.where(bound, x, 2.0 * n**2), 1e-5) ** -0.5
    share = 1.0 - survival(upper, state.n_e[:, None], state.temperature[:, None])
    return jnp.where(bound, share, 1.0)


def survival(
    n: Float[Array, "#n_depth #n_wave"],
    n_e: Float[Array, "#n_depth 1"],
    temperature: Float[Array, "#n_depth 1"],
) -> Float[Array, "n_depth n_wave"]:
    """Probability that level n of hydrogen outlives the electric field of the ions (n_e of them per cm^3).

    Source: Hummer & Mihalas 1988, ApJ 331, 794, eqs. 4.24, 4.26 in the form of Hubeny, Hummer & Lanz 1994,
    A&A 282, 151, appendix A.
    """
    beta = 16.0 / 3.0 * n / (n + 1.0) ** 2 * CRITICAL_FIELD / (n**4 * jnp.cbrt(n_e) ** 2)
    a = 0.09 * n_e ** (1 / 6) / jnp.sqrt(temperature)
    x = (1.0 + a) ** 3.15
    odds = 0.1402 * (x + 4.0 * a**3) * beta**3 / (1.0 + 0.1285 * x * beta**1.5)
    return odds / (1.0 + odds)


def _stimulated(
    wave: Float[Array, " n_wave"], temperature: Float[Array, " n_depth"]
) -> Float[Array, "n_depth n_wave"]:
    return -jnp.expm1(-HC_OVER_K * 1e8 / (wave[None] * temperature[:, None]))


def scattering(wave: Float[Array, " n_wave"], state: State) -> Float[Array, "n_depth n_wave"]:
    """Thomson scattering and Rayleigh scattering by H and H2 (cm^-1), for wavelengths above 2000 Å.

    Source: Dalgarno 1962 as in Kurucz 1970, SAO Special Report 309, section 5 (H);
    Dalgarno & Williams 1962, ApJ 136, 690, eq. 3 (H2).
    """
    w2 = wave**-2.0
    atom = w2**2 * (5.799e-13 + w2 * (1.422e-6 + w2 * 2.784))
    molecule = w2**2 * (8.14e-13 + w2 * (1.28e-6 + w2 * 1.61))
    electrons = (SIGMA_THOMSON * state.n_e)[:, None]
    return electrons + state.n_HI[:, None] * atom[None] + state.n_H2[:, None] * molecule[None]


def continuum_opacity(wave: Float[Array, " n_wave"], state: State) -> Float[Array, "n_depth n_wave"]:
    """Continuous opacity per length (cm^-1) at vacuum wavelengths (Å), scattering counted as absorption."""
    electron_pressure = state.n_e * BOLTZMANN * state.temperature
    per_pair = h_minus_bound_free(wave, state.temperature) + h_minus_free_free(wave, state.temperature)
    h_minus = (state.n_HI * electron_pressure)[:, None] * per_pair
    return h_minus + hydrogen(wave, state) + scattering(wave, state)
