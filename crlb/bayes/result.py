"""What is known of stars once their spectra are seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from crlb.files.records import Record
from crlb.files.text import text_of
from crlb.labels import unit_of

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 20  # stars in a table


@dataclass(frozen=True, eq=False)
class Posterior(Record):
    """What is known of each star once its spectrum is seen; labels in the prior's order and units.

    Args:
        label_names: names of the labels.
        mean: posterior mean.
        sigma: posterior standard deviation.
        quantiles: marginal quantiles.
        cumulative: posterior probability of a label below its true value, uniform over [0, 1] if all is
            right; NaN where no truth was given.
        ess: effective number of points behind these numbers.
        converged: whether there are enough of them, and mean, sigma and quantiles of every label each have a
            standard error, estimated from independent sets of points, of at most 3 % of sigma.
    """

    label_names: tuple[str, ...]
    mean: Float[np.ndarray, "n n_labels"]
    sigma: Float[np.ndarray, "n n_labels"]
    quantiles: Float[np.ndarray, "n n_labels n_q"]
    cumulative: Float[np.ndarray, "n n_labels"]
    ess: Float[np.ndarray, " n"]
    converged: Bool[np.ndarray, " n"]

    def table(self) -> str:
        """Returns mean and standard deviation of every label of the first stars, as text."""
        n, unconverged = len(self.ess), int((~self.converged).sum())
        rest = [f"and {n - SHOWN} more stars."] if n > SHOWN else []
        rest += [f"{unconverged} of {n} stars did not converge."] if unconverged else []
        return text_of(_table(self), *rest)


def joined(rows: np.ndarray, parts: Sequence[Posterior]) -> Posterior:
    """Returns the posteriors of several groups of stars as one, in the order of their row numbers."""
    order, arrays = rows.argsort(), [name for name in vars(parts[0]) if name != "label_names"]
    whole = {name: np.concatenate([vars(part)[name] for part in parts])[order] for name in arrays}
    return Posterior(parts[0].label_names, **whole)


def no_star(label_names: tuple[str, ...], n_quantiles: int) -> Posterior:
    """Returns the posterior of no star, to which others are joined."""
    table, none = np.zeros((0, len(label_names))), np.zeros(0)
    quantiles = np.zeros((*table.shape, n_quantiles))
    return Posterior(label_names, table, table, quantiles, table, none, none.astype(bool))


def _table(found: Posterior) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title="Posterior mean +- standard deviation")
    units = (unit_of(name) for name in found.label_names)
    for head in ("star", *map("\n".join, zip(found.label_names, units, strict=True)), "points", "converged"):
        table.add_column(head, justify="right")
    for i in range(min(SHOWN, len(found.ess))):
        cells = [
            f"{mean:.5g} +- {sigma:.2g}" for mean, sigma in zip(found.mean[i], found.sigma[i], strict=True)
        ]
        table.add_row(str(i), *cells, f"{found.ess[i]:.0f}", "yes" if found.converged[i] else "no")
    return table
