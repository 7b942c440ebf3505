"""A table of spectra as a short product of factors, with a guaranteed largest error."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh, qr

from crlb.errors import UsageError

TRUNCATION = 0.7  # share of the error that leaving out terms may make when factors are rounded too
ROWS = 512  # of a table formed at a time: 16 MB at 4096 pixels in float64


@dataclass(frozen=True, eq=False)
class Factors:
    """A table of spectra, one per node: `coefficients @ basis`, or `coefficients` itself without a basis."""

    coefficients: Float[np.ndarray, "*nodes k"]
    basis: Float[np.ndarray, "k n_pix"] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole table: nodes of the axes, then pixels."""
        last = self.coefficients.shape[-1] if self.basis is None else self.basis.shape[1]
        return (*self.coefficients.shape[:-1], last)

    @property
    def rows(self) -> Float[np.ndarray, "k n_pix"]:
        """The rows that every spectrum is a sum of: the basis, or the spectra themselves."""
        return self.coefficients.reshape(-1, self.shape[-1]) if self.basis is None else self.basis

    def table(self) -> Float[np.ndarray, "*nodes n_pix"]:
        """The spectra of all nodes as one table."""
        return self.coefficients if self.basis is None else self.coefficients @ self.basis

    def chunks(self) -> Iterator[Float[np.ndarray, "n n_pix"]]:
        """The spectra, node after node, in chunks that need little memory."""
        flat = self.coefficients.reshape(-1, self.coefficients.shape[-1])
        for start in range(0, len(flat), ROWS):
            piece = flat[start : start + ROWS]
            yield piece if self.basis is None else piece @ self.basis

    def replace_rows(self, rows: Float[np.ndarray, "k n_out"]) -> "Factors":
        """The factors with other rows in the same sums, which applies a linear operator to every spectrum."""
        if self.basis is not None:
            return Factors(self.coefficients, rows)
        return Factors(rows.reshape(*self.coefficients.shape[:-1], rows.shape[-1]))

    def scaled(self, scale: Float[np.ndarray, "*nodes"]) -> "Factors":
        """The factors with every spectrum multiplied by a number of its own."""
        return Factors(self.coefficients * scale[..., None], self.basis)


def compress(
    table: Float[np.ndarray, "n n_pix"],
    rtol: float | Float[np.ndarray, " n"],
    dtype: type[np.floating] = np.float64,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "k n_pix"]]:
    """Returns factors with |coefficients @ basis - table| <= rtol * table everywhere, k near the smallest.

    Principal vectors of the rows scaled to unit mean over their own `rtol`; k is found by bisection (to 2 %)
    on the measured error, with the factors already rounded to `dtype`.

    Raises:
        UsageError: `dtype` cannot hold the table to `rtol`.
    """
    limit = np.broadcast_to(rtol, len(table))[:, None]
    scale = table.mean(axis=1, keepdims=True) * limit
    scaled = table / scale
    power, left, right = _principal(scaled)
    coefficients, basis = (scale * left).astype(dtype), right.astype(dtype)

    def fits(k: int) -> bool:
        product = coefficients[:, :k].astype(np.float64) @ basis[:k]
        product -= table
        return bool((np.abs(product, out=product) <= limit * table).all())

    # The rms error needs no product, and the largest error is above it: a first guess from below.
    rms = np.sqrt(np.cumsum(np.abs(power)) / table.size)[::-1]
    low = max(int(np.searchsorted(-rms, -1.0)) - 1, 0)
    high = min(low + 8, len(power))  # a narrow bracket first, doubled until it fits
    while not fits(high):
        if high == len(power):
            raise UsageError(f"rtol={np.min(rtol):g} is below what {np.dtype(dtype)} holds of these spectra")
        low, high = high, min(2 * high, len(power))
    while high - low > max(1, high // 64):  # to 2 %
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return coefficients[:, :high], basis[:high]


def _principal(
    table: Float[np.ndarray, "n n_pix"],
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "n m"], Float[np.ndarray, "m n_pix"]]:
    """Squared singular values, smallest first, and the factors, largest first: table = left @ right.

    From the product of the table with itself over its longer side, so that the shorter one sets the cost.
    The rows of `right` are orthonormal, and `left` is a projection on them: equal rows of the table keep
    equal coefficients, to the last bits.
    """
    if len(table) <= table.shape[1]:
        power, vectors = eigh(table @ table.T, driver="evd")
        right = qr((vectors[:, ::-1].T @ table).T, mode="economic")[0].T
        return power, table @ right.T, right
    power, vectors = eigh(table.T @ table, driver="evd")
    right = vectors[:, ::-1].T
    return power, table @ right.T, right


def shorten(factors: Factors, rtol: float) -> Factors:
    """Returns factors of fewer terms; no pixel moves by more than rtol times the mean of its spectrum.

    Never forms the table: the error of what is left out is bounded by |coefficients| |basis| (Cauchy-
    Schwarz). Factors without a basis are compressed as `compress` does.
    """
    flat = factors.coefficients.reshape(-1, factors.coefficients.shape[-1])
    if factors.basis is None:
        parts = compress(flat, rtol)
    else:
        scale = (flat @ factors.basis.mean(axis=1))[:, None]
        rows, mixing = qr(factors.basis.T, mode="economic")
        _, left, right = _principal(flat / scale @ mixing.T)
        basis = right @ rows.T
        tail = np.sqrt(np.cumsum(left[:, ::-1] ** 2, axis=1)[:, ::-1]).max(axis=0)
        tail *= np.sqrt(np.cumsum(basis[::-1] ** 2, axis=0)[::-1]).max(axis=1)
        k = max(1, int((tail > rtol).sum()))
        parts = scale * left[:, :k], basis[:k]
    return Factors(parts[0].reshape(*factors.coefficients.shape[:-1], -1), parts[1])


class WholeNumbers(NamedTuple):
    """Factors rounded to whole numbers: table = scale (n) * (coefficients * quantum (k)) @ basis."""

    scale: Float[np.ndarray, " n"]
    coefficients: Int[np.ndarray, "n k"]
    quantum: Float[np.ndarray, " k"]
    basis: Int[np.ndarray, "k n_pix"]

    def table(self) -> Float[np.ndarray, "n n_pix"]:
        """The table that the whole numbers stand for."""
        unscaled = (self.coefficients * self.quantum) @ self.basis.astype(np.float64)
        table: np.ndarray = self.scale[:, None] * unscaled
        return table


def quantise(table: Float[np.ndarray, "n n_pix"], rtol: float | Float[np.ndarray, " n"]) -> WholeNumbers:
    """Returns whole-number factors of a table, small on disk, with an error below rtol * table everywhere.

    The terms are cut where most of the error is spent; the rest goes to rounding: coefficients to
    multiples of one number, each row of the basis to multiples of a number of its own, inversely proportional
    to the size of its coefficients.

    Raises:
        UsageError: `rtol` is too small for 32-bit numbers.
    """
    limit = np.broadcast_to(rtol, len(table))
    scale = table.mean(axis=1) * limit
    coefficients, basis = compress(table, TRUNCATION * limit)
    rows, mixing = qr(basis.T, mode="economic")
    _, coefficients, rotation = _principal(coefficients / scale[:, None] @ mixing.T)
    basis = rotation @ rows.T
    quantum = np.sqrt(table.shape[1] / basis.shape[0])
    while True:
        rounded = _rounded(scale, coefficients, basis, quantum)
        if _largest_error(rounded, table, limit) <= 1:
            return rounded
        quantum *= 0.8  # finer by this much until the error is within the limit


def _largest_error(parts: WholeNumbers, table: np.ndarray, limit: np.ndarray) -> float:
    """Largest relative error of the factors over its limit, formed in pieces."""
    worst = 0.0
    for start in range(0, len(table), ROWS):
        rows = slice(start, start + ROWS)
        piece = parts._replace(scale=parts.scale[rows], coefficients=parts.coefficients[rows])
        worst = max(worst, float(np.max(np.abs(piece.table() / table[rows] - 1) / limit[rows, None])))
    return worst


def _rounded(scale: np.ndarray, coefficients: np.ndarray, basis: np.ndarray, quantum: float) -> WholeNumbers:
    size = np.sqrt((coefficients**2).mean(axis=0))
    basis_quantum = quantum / (10 * np.sqrt(basis.shape[1]) * size)
    whole = np.rint(coefficients / quantum), np.rint(basis / basis_quantum[:, None])
    if max(np.abs(part).max() for part in whole) > np.iinfo(np.int32).max:
        raise UsageError(f"rounding to multiples of {quantum:.1e} needs more than 32-bit numbers; raise rtol")
    return WholeNumbers(scale, whole[0].astype(np.int32), quantum * basis_quantum, whole[1].astype(np.int32))
