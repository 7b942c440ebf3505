"""What is left of the sky's lines, integrated over its Gaussian prior line by line.

A line T_l is left over with a share a_l ~ N(0, f^2), the same along the line and independent of other lines.
With V the variance of the pixels, the covariance V + f^2 sum_l T_l T_l^T has

    W = V^-1 - sum_l u_l u_l^T / (1/f^2 + q_l),    u_l = V^-1 T_l,    q_l = T_l^T V^-1 T_l
    ln|V + ...| = sum_p ln V_p + sum_l ln(1 + f^2 q_l)

because the lines have no pixel in common (Woodbury 1950). Pixels that are not usable have 1/V = 0.
"""

import math
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from crlb.observation.conditions import Conditions
from crlb.observation.noise_curves import NoiseModel
from crlb.observation.sky_lines import SkyLines, sky_lines

STRETCH = 128  # pixels that are summed together, at least: a handful of lines


class Sky(NamedTuple):
    """The lines of the sky and how much of them is left over; a pytree.

    The arm is cut into stretches at places where lines begin. `members` tells for every stretch which pixel
    belongs to which of its own lines, so that sums over lines are small matrix products, on a CPU faster
    than sums by index.
    """

    lines: SkyLines
    left: Float[Array, ""]
    members: tuple[Float[Array, "stretch n_own"], ...]

    def flux(
        self, flux: Float[Array, "n n_pix"], mag: Float[Array, ""], noise: NoiseModel
    ) -> Float[Array, "n n_pix"]:
        """Returns the lines as bright as they are before any subtraction, in the unit of each star's flux."""
        return jax.vmap(lambda one: self.lines.flux(one, mag, noise))(flux)

    def sums(self, values: Float[Array, "*n n_pix"]) -> Float[Array, "*n n_lines"]:
        """Returns the sums over each line's pixels."""
        flat = values.reshape(math.prod(values.shape[:-1]), values.shape[-1])
        parts, start = [], 0
        for member in self.members:
            some = flat[:, start : start + len(member)]
            parts.append(jnp.matmul(some, member.astype(values.dtype), precision="highest"))
            start += len(member)
        return jnp.concatenate(parts, axis=1).reshape(*values.shape[:-1], len(self.lines.n))


def make_sky(noise: NoiseModel, conditions: Conditions) -> Sky | None:
    """Returns what is left of the sky behind a noise model; None: nothing is (host)."""
    if not conditions.sky_left:
        return None
    lines = sky_lines(noise)
    number, inside = np.asarray(lines.line), np.asarray(lines.electrons) > 0
    edges = _stretches(number)
    members = tuple(
        jnp.asarray(
            (number[a:b, None] == np.arange(number[a], number[b - 1] + 1)) & inside[a:b, None], jnp.float32
        )
        for a, b in pairwise(edges)
    )
    single = SkyLines(*(jnp.asarray(x) for x in lines))
    return Sky(single, jnp.asarray(conditions.sky_left, jnp.float64), members)


def _stretches(number: Int[np.ndarray, " n_pix"]) -> list[int]:
    """Edges of stretches of `STRETCH` pixels or more, each a place where a line begins, and both ends."""
    edges = [0]
    for place in np.flatnonzero(np.diff(number)) + 1:
        if place - edges[-1] >= STRETCH:
            edges.append(int(place))
    return [*edges, len(number)]


class Weight(NamedTuple):
    """W of one star at many points: 1/V and, of what is left of the sky, u_l and 1/f^2 + q_l."""

    ivar: Float[Array, "n n_pix"]
    sky: Sky | None = None
    over: Float[Array, "n n_pix"] | None = None
    power: Float[Array, "n n_lines"] | None = None

    def inner(
        self, rows: Float[Array, "n k n_pix"], others: Float[Array, "n m n_pix"]
    ) -> Float[Array, "n k m"]:
        """Returns the products rows W others^T."""
        dot = partial(jnp.einsum, precision="highest")
        plain = dot("nkp,nmp->nkm", rows * self.ivar[:, None], others)
        return plain - dot("nkl,nml->nkm", self.along(rows), self.along(others))

    def along(self, rows: Float[Array, "n k n_pix"]) -> Float[Array, "n k n_lines"]:
        """Returns u_l . rows / sqrt(1/f^2 + q_l), whose products are what the sky takes from `inner`."""
        if self.sky is None or self.over is None or self.power is None:
            return jnp.zeros((*rows.shape[:2], 0), rows.dtype)
        return self.sky.sums(rows * self.over[:, None]) / jnp.sqrt(self.power)[:, None]

    @property
    def log_det(self) -> Float[Array, " n"]:
        """sum_l ln(1 + f^2 q_l), in float64: what the lines add to ln|V|."""
        if self.sky is None or self.power is None:
            return jnp.zeros(len(self.ivar), jnp.float64)
        return jnp.sum(jnp.log(self.power * self.sky.left**2), axis=-1)


def make_weight(sky: Sky, ivar: Float[Array, "n n_pix"], lines: Float[Array, "n n_pix"]) -> Weight:
    """Returns W from 1/V (0 where not usable) and the lines in the unit of the flux."""
    over = lines * ivar
    power = sky.sums(lines * over) + (1 / sky.left**2).astype(ivar.dtype)
    return Weight(ivar, sky, over, power)
