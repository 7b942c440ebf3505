"""What is left of the sky's lines, integrated over its Gaussian prior line by line.

A line T_l is left over with a share a_l ~ N(0, f^2), the same along the line and independent of other lines.
With V the variance of the pixels, the covariance V + f^2 sum_l T_l T_l^T has

    W = V^-1 - sum_l u_l u_l^T / (1/f^2 + q_l),    u_l = V^-1 T_l,    q_l = T_l^T V^-1 T_l
    r^T W r = sum_p (r - sum_l a_l T_l)_p^2 / V_p + sum_l a_l^2 / f^2,    a_l = u_l^T r / (1/f^2 + q_l)
    ln|V + ...| = sum_p ln V_p + sum_l ln(1 + f^2 q_l)

because the lines have no pixel in common (Woodbury 1950). Pixels that are not usable have 1/V = 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from crlb.observation.conditions import Conditions
from crlb.observation.noise_curves import NoiseModel
from crlb.observation.sky_lines import SkyLines, sky_lines

STRETCH = 64  # pixels that are summed together: half a dozen lines


class Sky(NamedTuple):
    """The lines of the sky and how much of them is left over; a pytree.

    `member` tells, pixel by pixel of every stretch of `STRETCH` pixels, to which of the stretch's own lines
    it belongs; `number` adds the stretches' own lines up to those of the arm. Sums over lines are two
    products of small matrices then, faster on a CPU than sums by index.
    """

    lines: SkyLines
    left: Float[Array, ""]
    member: Float[Array, "n_stretch stretch n_own"]
    number: Float[Array, "n_stretch_own n_lines"]

    def flux(
        self, flux: Float[Array, "n n_pix"], mag: Float[Array, ""], noise: NoiseModel
    ) -> Float[Array, "n n_pix"]:
        """Returns the lines as bright as they are before any subtraction, in the unit of each star's flux."""
        return jax.vmap(lambda one: self.lines.flux(one, mag, noise))(flux)

    def sums(self, values: Float[Array, "*n n_pix"]) -> Float[Array, "*n n_lines"]:
        """Returns the sums over each line's pixels."""
        n_stretch, stretch, _ = self.member.shape
        rest = n_stretch * stretch - values.shape[-1]
        whole = jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, rest)])
        whole = whole.reshape(*values.shape[:-1], n_stretch, stretch)
        own = jnp.einsum("...cp,cpl->...cl", whole, self.member.astype(values.dtype), precision="highest")
        number = self.number.astype(values.dtype)
        return jnp.matmul(own.reshape(*values.shape[:-1], -1), number, precision="highest")

    def spread(self, shares: Float[Array, "*n n_lines"], n_pix: int) -> Float[Array, "*n n_pix"]:
        """Returns in every pixel the number of its line."""
        n_stretch, stretch, n_own = self.member.shape
        own = jnp.matmul(shares, self.number.astype(shares.dtype).T, precision="highest")
        own = own.reshape(*shares.shape[:-1], n_stretch, n_own)
        whole = jnp.einsum("...cl,cpl->...cp", own, self.member.astype(shares.dtype), precision="highest")
        return whole.reshape(*shares.shape[:-1], n_stretch * stretch)[..., :n_pix]


def make_sky(noise: NoiseModel, conditions: Conditions) -> Sky | None:
    """Returns what is left of the sky behind a noise model; None: nothing is (host)."""
    if not conditions.sky_left:
        return None
    lines = sky_lines(noise)
    inside = np.where(np.asarray(lines.electrons) > 0, np.asarray(lines.line), -1)
    stretches = np.pad(inside, (0, -len(inside) % STRETCH), constant_values=-1).reshape(-1, STRETCH)
    own = [np.unique(row[row >= 0]) for row in stretches]
    most = max(1, *(len(numbers) for numbers in own))
    member = np.zeros((*stretches.shape, most))
    number = np.zeros((len(stretches), most, len(lines.n)))
    for i, numbers in enumerate(own):
        member[i, :, : len(numbers)] = stretches[i][:, None] == numbers[None, :]
        number[i, np.arange(len(numbers)), numbers] = 1.0
    table = (jnp.asarray(x, jnp.float32) for x in (member, number.reshape(-1, len(lines.n))))
    single = SkyLines(*(jnp.asarray(x) for x in lines))
    return Sky(single, jnp.asarray(conditions.sky_left, jnp.float64), *table)


class Weight(NamedTuple):
    """W of one star at many points: 1/V, the lines T there, and 1/f^2 + q_l; without a sky 1/V alone."""

    ivar: Float[Array, "n n_pix"]
    sky: Sky | None = None
    lines: Float[Array, "n n_pix"] | None = None
    power: Float[Array, "n n_lines"] | None = None

    def times(self, values: Float[Array, "n k n_pix"]) -> Float[Array, "n k n_pix"]:
        """Returns W x of some rows."""
        return self._split(values)[0] * self.ivar[:, None, :]

    def without_sky(
        self, residual: Float[Array, "n n_pix"]
    ) -> tuple[Float[Array, "n n_pix"], Float[Array, " n"]]:
        """Returns residuals less the most likely share of every line, and what the sky adds to -2 ln L.

        That is sum_l a_l^2/f^2 + ln(1 + f^2 q_l), in float64; the cleaned residual is V W r.
        """
        clean, shares = self._split(residual[:, None])
        if shares is None or self.sky is None or self.power is None:
            return residual, jnp.zeros(len(residual), jnp.float64)
        terms = (shares[:, 0] / self.sky.left) ** 2 + jnp.log(self.power * self.sky.left**2)
        return clean[:, 0], jnp.sum(terms, axis=-1)

    def _split(
        self, values: Float[Array, "n k n_pix"]
    ) -> tuple[Float[Array, "n k n_pix"], Float[Array, "n k n_lines"] | None]:
        """Rows less the most likely share of every line, and these shares; None: there is no sky."""
        if self.sky is None or self.lines is None or self.power is None:
            return values, None
        shares = self.sky.sums(values * (self.lines * self.ivar)[:, None]) / self.power[:, None]
        return values - self.sky.spread(shares, values.shape[-1]) * self.lines[:, None], shares


def make_weight(sky: Sky, ivar: Float[Array, "n n_pix"], lines: Float[Array, "n n_pix"]) -> Weight:
    """Returns W from 1/V (0 where not usable) and the lines in the unit of the flux."""
    power = sky.sums(lines**2 * ivar) + (1 / sky.left**2).astype(ivar.dtype)
    return Weight(ivar, sky, lines, power)
