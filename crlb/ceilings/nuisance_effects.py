"""What each nuisance costs: the bound of a label with none, one or all of them unknown, over a grid."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from crlb.ceilings.prices import Price, price_table
from crlb.errors import UsageError
from crlb.files.records import ABSENT, Json, Record
from crlb.files.text import mag_cell, text_of
from crlb.fisher.matrix import cramer_rao_bound, fisher_information, flux_jacobian, schur_decay
from crlb.fisher.words import SCHUR_DECAY
from crlb.labels import unit_of
from crlb.observation.forward_model import ForwardModel
from crlb.observation.noise import snr
from crlb.observation.nuisance import NuisanceModel
from crlb.suggest import meant

CHUNK = 16  # nodes computed together: about 100 MB at 4096 pixels and 9 unknowns in float64

IvarFn = Callable[[Float[Array, " n_pix"]], Float[Array, "n_mag n_pix"]]


class NodeFishers(NamedTuple):
    """Fisher matrices over labels and nuisances, and SNR per pixel, of every node and noise level."""

    fisher: Float[np.ndarray, "n n_mag m m"]
    snr: Float[np.ndarray, "n n_mag"]


class NodeEffect(NamedTuple):
    """1-sigma bound of the label and its Schur decay at every node and noise level, NaN where unknowable."""

    bound: Float[np.ndarray, "n n_mag"]
    schur_decay: Float[np.ndarray, "n n_mag"]


@dataclass(frozen=True)
class NuisanceEffect(Record):
    """One row: medians over nodes with these nuisances unknown; the bound in the unit of the label.

    A node without a bound counts as an infinite one of decay 0; `lost` is the number of such nodes.
    """

    nuisance: str
    mag: float
    snr: float
    bound: float
    schur_decay: float
    lost: int


@dataclass(frozen=True)
class NuisanceEffects(Record):
    """What each nuisance costs.

    Args:
        target: the label whose bound this is.
        label_names: labels of the grid.
        rows: one per set of unknown nuisances and magnitude.
        provenance: how the result was made.
        prices: what they cost an estimator that knows a prior of each, where that was asked for.
    """

    target: str
    label_names: tuple[str, ...]
    rows: tuple[NuisanceEffect, ...]
    provenance: dict[str, Json]
    prices: tuple[Price, ...] | None = field(default=None, metadata=ABSENT)

    def as_rows(self) -> list[dict[str, str | float | int]]:
        """Returns the rows as plain mappings, ready for a CSV file."""
        return [asdict(row) for row in self.rows]

    def table(self) -> str:
        """Returns the rows as text."""
        from rich import box
        from rich.table import Table

        title = f"{self.target}: median 1-sigma bound over nodes ({unit_of(self.target)})"
        table = Table(box=box.SIMPLE, title=title)
        for head in ("mag", "SNR", "unknown besides the labels", "bound", "Schur decay", "nodes lost"):
            table.add_column(head, justify="left" if head.startswith("unknown") else "right")
        for row in self.rows:
            numbers = (f"{row.bound:.4g}", f"{row.schur_decay:.3f}", str(row.lost))
            table.add_row(mag_cell(row.mag), f"{row.snr:.1f}", row.nuisance, *numbers)
        return text_of(
            table, SCHUR_DECAY, *([] if self.prices is None else [price_table(self.prices, self.target)])
        )


def nuisance_effects(
    model: NuisanceModel,
    seen: ForwardModel,
    mags: Sequence[float],
    *,
    label: str = "log_g",
    labels: Sequence[str] | None = None,
    advance: Callable[[int], None] | None = None,
) -> NuisanceEffects:
    """Returns the table {none, amplitude, continuum 1, continuum 3, rv, lsf, all} x magnitudes.

    The noise counts as known: its trace term is left out, because with a free flux scale it would let the
    size of the error bars determine the scale.

    Args:
        model: flux(labels, nuisances), with every nuisance that is to have a row.
        seen: how a star at rest is seen: the model's emulator with its noise, and the pixels in use.
        mags: AB magnitudes in i.
        label: whose bound.
        labels: the unknown labels; None: all of the grid's.
        advance: called with the number of nodes just finished.

    Raises:
        UsageError: unknown label.
    """
    ivar_of = Partial(_ivars, mags=jnp.asarray(mags, float), seen=seen)
    fishers = node_fishers(model, ivar_of, model.emulator.nodes, advance=advance)
    effects = node_effects(model, fishers, label=label, labels=labels)
    rows = tuple(
        median_row(name, float(mag), effect.bound[:, i], effect.schur_decay[:, i], fishers.snr[:, i])
        for name, effect in effects.items()
        for i, mag in enumerate(mags)
    )
    return NuisanceEffects(label, seen.label_names, rows, seen.describe())


def node_fishers(
    model: NuisanceModel,
    ivar_of: IvarFn,
    nodes: Float[np.ndarray, "n n_labels"],
    *,
    advance: Callable[[int], None] | None = None,
) -> NodeFishers:
    """Returns the Fisher matrix over all labels and nuisances at every node, without the trace term.

    Args:
        model: flux(labels, nuisances).
        ivar_of: flux -> inverse variance of its pixels (0 = not in use), one row per noise level; hashable,
            or a jax.tree_util.Partial.
        nodes: labels, inside the grid.
        advance: called with the number of nodes just finished.
    """
    padded = np.concatenate([nodes, np.repeat(nodes[-1:], -len(nodes) % CHUNK, axis=0)])
    ivars = ivar_of if isinstance(ivar_of, Partial) else Partial(ivar_of)
    parts = []
    for start in range(0, len(nodes), CHUNK):
        chunk = _chunk_fishers(model, ivars, model.at_rest(padded[start : start + CHUNK]))
        parts.append(jax.tree.map(np.asarray, chunk))
        if advance is not None:
            advance(min(CHUNK, len(nodes) - start))
    return NodeFishers(*(np.concatenate(part)[: len(nodes)] for part in zip(*parts, strict=True)))


@jax.jit
def _chunk_fishers(
    model: NuisanceModel, ivar_of: Partial, vectors: Float[Array, "n m"]
) -> tuple[Float[Array, "n n_mag m m"], Float[Array, "n n_mag"]]:
    def at_node(vector: Float[Array, " m"]) -> tuple[Array, Array]:
        flux, jac = model(vector), flux_jacobian(model, vector)
        ivar = ivar_of(flux)
        fisher = jax.vmap(lambda ivar: fisher_information(jac, ivar))(ivar)
        return fisher, jax.vmap(lambda ivar: snr(flux, 1 / jnp.sqrt(ivar)))(ivar)

    return jax.vmap(at_node)(vectors)


def node_effects(
    model: NuisanceModel, fishers: NodeFishers, *, label: str = "log_g", labels: Sequence[str] | None = None
) -> dict[str, NodeEffect]:
    """Returns bound and Schur decay of `label` at every node, for each set of unknown nuisances by name.

    Raises:
        UsageError: `label` is not among the unknown labels, or the grid does not have one of these.
    """
    unknown = list(model.emulator.label_names if labels is None else labels)
    for name in [*unknown, label]:
        if name not in model.emulator.label_names:
            known = model.emulator.label_names
            raise UsageError(f"unknown label {name}: this grid has {', '.join(known)}{meant(name, known)}")
    if label not in unknown:
        raise UsageError(f"labels must include {label}, whose bound is asked for, found {', '.join(unknown)}")
    sets = nuisance_sets(model)
    free = np.array([[name in (*unknown, *own) for name in model.label_names] for own in sets.values()])
    bound, decay = _with_free(fishers.fisher, jnp.asarray(free), model.label_names.index(label))
    return {name: NodeEffect(np.asarray(bound[i]), np.asarray(decay[i])) for i, name in enumerate(sets)}


def nuisance_sets(model: NuisanceModel) -> dict[str, tuple[str, ...]]:
    """Returns the rows of the table: name -> unknown nuisances. A free continuum has a free level."""
    names = tuple(model.nuisance_rest)
    tilts = [name for name in names if name.startswith("continuum_")]
    level = ("amplitude",) if "amplitude" in names else ()
    sets: dict[str, tuple[str, ...]] = {"none": ()}
    if level:
        sets["amplitude"] = level
    for order in sorted({1, len(tilts)} & set(range(1, len(tilts) + 1))):
        sets[f"continuum {order}"] = (*level, *tilts[:order])
    sets |= {"rv": ("rv_kms",)} if "rv_kms" in names else {}
    sets |= {"lsf": ("lsf_fwhm",)} if "lsf_fwhm" in names else {}
    return sets | {"all": names}


@partial(jax.jit, static_argnames="target")
def _with_free(
    fisher: Float[Array | np.ndarray, "n n_mag m m"], free: Bool[Array, "n_sets m"], target: int
) -> tuple[Float[Array, "n_sets n n_mag"], Float[Array, "n_sets n n_mag"]]:
    """Bound and Schur decay of one label with each set of unknowns free and the others fixed.

    What is fixed keeps a row of the unit matrix, coupled to nothing else, so that all sets have one shape.
    """

    def one(free: Bool[Array, " m"], matrix: Float[Array, "m m"]) -> tuple[Array, Array]:
        own = jnp.where(free[:, None] & free[None, :], matrix, jnp.eye(len(free), dtype=matrix.dtype))
        return cramer_rao_bound(own)[target], schur_decay(own, target)

    over_mags = jax.vmap(one, in_axes=(None, 0))
    over_nodes = jax.vmap(over_mags, in_axes=(None, 0))
    return jax.vmap(over_nodes, in_axes=(0, None))(free, jnp.asarray(fisher))


def _ivars(
    flux: Float[Array, " n_pix"], *, mags: Float[Array, " n_mag"], seen: ForwardModel
) -> Float[Array, "n_mag n_pix"]:
    return jax.vmap(lambda mag: seen.usable / seen.arm_variance(flux, mag))(mags)


def median_row(
    name: str, mag: float, bound: np.ndarray, decay: np.ndarray, snr: np.ndarray
) -> NuisanceEffect:
    """Returns one row from bound, decay and SNR at every node, NaN where there is no bound."""
    lost = np.isnan(bound)
    return NuisanceEffect(
        nuisance=name,
        mag=mag,
        snr=float(np.median(snr)),
        bound=float(np.median(np.where(lost, np.inf, bound))),
        schur_decay=float(np.median(np.where(lost, 0.0, decay))),
        lost=int(lost.sum()),
    )
