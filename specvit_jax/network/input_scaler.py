"""What a network reads of a noisy spectrum: brought to a level, scaled, whitened, without what is lost.

Scaled flux x of a star is taken as components of covariance C along orthonormal directions V (n_pix x k)
and unit noise in every pixel. Where pixels are lost, U = diag(usable), the mean of the components given the
rest is

    z = (V^T U V + C^-1)^-1 V^T U x

With the whitening analysis A = V W and M = A^T A + W^T C^-1 W this is, in whitened components,

    y = M (M - sum over lost pixels of a_p a_p^T)^-1 A^T U x,     a_p = row p of A

which is A^T x where nothing is lost.

What is left of a sky line is not independent from pixel to pixel: with u its rms in units of the noise, the
covariance of a line's pixels is 1 + u u^T. Flux is multiplied by the inverse square root of that first,

    (1 + u u^T)^-1/2 = 1 - u u^T / (r (1 + r)),     r^2 = 1 + |u|^2 over the line's usable pixels
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float, Int

from specvit_jax.settings.observed_under import LEVEL

PIECE = 128  # lost pixels of every spectrum that are taken out at once
REST_REACH = 2.0  # standard deviations of the noise component that are told apart: a uniform one has 1.7
RESIDUAL = 1e-7  # of the right side, to which components of spectra with lost pixels are solved


class InputScaler(NamedTuple):
    """The input of a network from a noisy spectrum: scaled = (flux - mean) / scale, then whitened. A pytree.

    Args:
        mean: mean flux of every pixel.
        scale: standard deviation of every pixel, or of its noise.
        analysis: spectrum -> components of unit variance; None: no whitening.
        synthesis: components -> whitened spectrum (ZCA); None: the components themselves (PCA).
        level: weights of the mean flux that is brought to 0.5 first; None: flux is taken as it is.
        gram: M; None: lost pixels are set to the mean.
        rest: mean and standard deviation of the log of the rms outside of the components, which becomes one
            more component, or is added to the whitened spectrum, within `REST_REACH`; None: it is not read.
        sky: rms of what is left of the sky's lines, in units of the noise; None: no lines are left.
        sky_line: number of the line that each pixel belongs to, increasing.
    """

    mean: Float[Array | np.ndarray, " n_pix"]
    scale: Float[Array | np.ndarray, " n_pix"]
    analysis: Float[Array | np.ndarray, "n_pix k"] | None = None
    synthesis: Float[Array | np.ndarray, "k n_pix"] | None = None
    level: Float[Array | np.ndarray, " n_pix"] | None = None
    gram: Float[Array | np.ndarray, "k k"] | None = None
    rest: Float[Array | np.ndarray, " 2"] | None = None
    sky: Float[Array | np.ndarray, " n_pix"] | None = None
    sky_line: Int[Array | np.ndarray, " n_pix"] | None = None

    def encode(
        self,
        flux: Float[Array | np.ndarray, "n n_pix"],
        usable: Float[Array | np.ndarray, "n n_pix"] | None = None,
    ) -> Float[Array | np.ndarray, "n n_in"]:
        """The network input of noisy flux.

        Args:
            flux: as observed; of any scale where there is a `level`.
            usable: 0 for lost pixels, whose flux is not read; None: none is lost.
        """
        x = self.scaled(flux, usable)
        if self.analysis is None:
            return x
        seen = jnp.matmul(x, self.analysis, precision="highest")
        y, more = seen, None
        if self.gram is not None:
            solved = self._solved(seen, usable)
            y = seen if usable is None else jnp.matmul(solved, self.gram, precision="highest")
            more = self._scaled_rest(x, jnp.sum(seen * solved, axis=1), usable)
        if self.synthesis is None:
            return y if more is None else jnp.concatenate([y, more[:, None]], axis=1)
        y = jnp.matmul(y, self.synthesis, precision="highest")
        return y if more is None else y + more[:, None]

    def scaled(
        self,
        flux: Float[Array | np.ndarray, "n n_pix"],
        usable: Float[Array | np.ndarray, "n n_pix"] | None = None,
    ) -> Float[Array | np.ndarray, "n n_pix"]:
        """Flux at its level, shifted and scaled, its noise independent from pixel to pixel; 0 where lost."""
        if usable is not None:
            flux = jnp.where(usable > 0, flux, 0.0)
        if self.level is not None:
            weight = self.level[None, :] if usable is None else self.level[None, :] * (usable > 0)
            level = jnp.sum(weight * flux, axis=1) / jnp.sum(weight, axis=1)
            flux = flux * (LEVEL / level)[:, None]
        x = (flux - self.mean[None, :]) / self.scale[None, :]
        return self.without_sky(x if usable is None else jnp.where(usable > 0, x, 0.0), usable)

    def without_sky(
        self,
        x: Float[Array | np.ndarray, "n n_pix"],
        usable: Float[Array | np.ndarray, "n n_pix"] | None = None,
    ) -> Float[Array | np.ndarray, "n n_pix"]:
        """Flux in units of the noise, times the inverse square root of its covariance."""
        if self.sky is None:
            return x
        left = jnp.asarray(self.sky)[None, :] * (jnp.ones((1, 1)) if usable is None else usable > 0)
        root = jnp.sqrt(1 + self._over_lines(jnp.square(left)))
        return x - left * self._over_lines(left * x) / (root * (1 + root))

    def _over_lines(self, values: Float[Array, "n n_pix"]) -> Float[Array, "n n_pix"]:
        """Sums over the pixels of the sky line that each pixel belongs to."""
        line = jnp.asarray(self.sky_line)
        sums = jax.ops.segment_sum(values.T, line, len(line), indices_are_sorted=True)
        return sums[line].T

    def log_rest(
        self,
        x: Float[Array | np.ndarray, "n n_pix"],
        usable: Float[Array | np.ndarray, "n n_pix"] | None,
    ) -> Float[Array, " n"]:
        """Log of the rms of what is left of scaled flux outside of the components, per usable pixel."""
        assert self.analysis is not None
        seen = jnp.matmul(x, self.analysis, precision="highest")
        return _log_rest(x, jnp.sum(seen * self._solved(seen, usable), axis=1), usable)

    def _scaled_rest(
        self, x: Array | np.ndarray, inside: Float[Array, " n"], usable: Array | np.ndarray | None
    ) -> Float[Array, " n"] | None:
        """The noise component, where it is read; of stars beyond the training's noise that of its ends.

        A network extrapolates otherwise: it read the Sun, without noise, as 700 K too cool.
        """
        if self.rest is None:
            return None
        found = (_log_rest(x, inside, usable) - self.rest[0]) / self.rest[1]
        return jnp.clip(found, -REST_REACH, REST_REACH)

    def _solved(
        self, right: Float[Array, "n k"], usable: Float[Array | np.ndarray, "n n_pix"] | None
    ) -> Float[Array, "n k"]:
        """Solutions z of (M without the lost pixels of every spectrum) z = right, by conjugate gradients.

        Not by LAPACK: of two solvers of many systems in one compiled step, each can wait for a thread that
        the other one holds; jaxlib 0.10 came to a halt there on two cores.
        """
        gram = jnp.asarray(self.gram)
        inverse = jnp.linalg.inv(gram)
        first = jnp.matmul(right, inverse, precision="highest")
        if usable is None:
            return first

        def one(matrix: Float[Array, "k k"], right: Float[Array, " k"]) -> Float[Array, " k"]:
            times, nearly = (partial(jnp.matmul, m, precision="highest") for m in (matrix, inverse))
            found: Array = cg(times, right, M=nearly, tol=RESIDUAL, maxiter=2 * len(right))[0]
            return found

        solved: Array = jax.vmap(one)(self._left(usable, len(right)), right)
        return solved

    def _left(self, usable: Float[Array | np.ndarray, "n n_pix"], n: int) -> Float[Array, "n k k"]:
        """M without the lost pixels of every spectrum."""
        assert self.analysis is not None
        assert self.gram is not None
        analysis = jnp.pad(jnp.asarray(self.analysis), ((0, 1), (0, 0)))  # the row that stands for no pixel
        count = jnp.cumsum(jnp.asarray(usable) <= 0, axis=1)

        def taken(state: tuple[Int[Array, ""], Array]) -> tuple[Int[Array, ""], Array]:
            done, left = state
            wanted = done + 1 + jnp.arange(PIECE)
            rows = analysis[jax.vmap(lambda one: jnp.searchsorted(one, wanted))(count)]
            return done + PIECE, left - jnp.einsum("nik,nil->nkl", rows, rows, precision="highest")

        start = jnp.broadcast_to(jnp.asarray(self.gram), (n, *self.gram.shape))
        most = jnp.max(count[:, -1])
        left: Array = jax.lax.while_loop(lambda state: state[0] < most, taken, (jnp.int32(0), start))[1]
        return left


def _log_rest(
    x: Float[Array | np.ndarray, "n n_pix"],
    inside: Float[Array, " n"],
    usable: Float[Array | np.ndarray, "n n_pix"] | None,
) -> Float[Array, " n"]:
    """Log of the rms of scaled flux without what lies inside of the components, per usable pixel."""
    count = x.shape[1] if usable is None else jnp.maximum(jnp.sum(usable > 0, axis=1), 1)
    return 0.5 * jnp.log(jnp.maximum(jnp.sum(jnp.square(x), axis=1) - inside, 1e-30) / count)
