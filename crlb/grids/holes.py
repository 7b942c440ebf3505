"""Grids with missing nodes: find them, leave out axis values, or interpolate. Plain tables of nodes, numpy.

The default everywhere is to refuse and list; dropping and filling happen on request, and are reported.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from crlb.errors import DataError, UsageError
from crlb.grids.rounding import unite_rounded

Policy = Literal["refuse", "drop", "fill"]
MAX_LISTED = 8  # nodes named in a message
MOST_NODES, MOST_SPARSE = 100_000, 100  # of a tensor: in all, and for each one that is there
MAX_STATES = 5000  # of the exact search for what to drop
Recipe = tuple[np.ndarray, np.ndarray]  # rows of the table, and the weights of their log flux
NEIGHBOURS = 2  # on either side of a hole that is filled: cubic where all four exist


class Mended(NamedTuple):
    """A complete table of nodes, and what was done to make it one.

    Args:
        labels: labels of the nodes; kept nodes come first and in their order, filled ones follow.
        flux: flux of the nodes.
        cont: continuum flux of the nodes, or None.
        filled: which nodes are interpolated.
        report: one sentence for the user; empty if nothing was missing.
    """

    labels: Float[np.ndarray, "n n_labels"]
    flux: Float[np.ndarray, "n n_pix"]
    cont: Float[np.ndarray, "n n_pix"] | None
    filled: Bool[np.ndarray, " n"]
    report: str


def mend(
    labels: Float[np.ndarray, "n_given n_labels"],
    flux: Float[np.ndarray, "n_given n_pix"],
    cont: Float[np.ndarray, "n_given n_pix"] | None,
    holes: Policy,
    label_names: tuple[str, ...],
) -> Mended:
    """Returns a complete tensor of nodes.

    Args:
        labels: labels of the nodes that exist, in any order, none twice.
        flux: flux of the nodes, positive.
        cont: continuum flux of the nodes, positive, or None.
        holes: "refuse" raises and lists them; "drop" see `complete_part`; "fill" see `fill_holes`.
        label_names: names of the labels, for the messages.

    Raises:
        DataError: a node is missing and `holes` is "refuse", or it cannot be filled.
    """
    labels = unite_rounded(labels)
    missing = find_holes(labels)
    if len(missing) == 0:
        return Mended(labels, flux, cont, np.zeros(len(labels), bool), "")
    if holes == "refuse":
        raise DataError(refusal(labels, label_names))
    if holes == "drop":
        keep = complete_part(labels)
        kept_cont = None if cont is None else cont[keep]
        report = drop_report(labels, keep, label_names)
        return Mended(labels[keep], flux[keep], kept_cont, np.zeros(int(keep.sum()), bool), report)
    if holes == "fill":
        return fill_holes(labels, flux, cont, label_names)
    raise UsageError(f"holes must be refuse, drop or fill, found {holes}")


def refusal(labels: Float[np.ndarray, "n n_labels"], label_names: tuple[str, ...]) -> str:
    """Says which nodes are missing and what can be done."""
    missing = find_holes(labels)
    return (
        f"labels must form a complete tensor grid, but {len(missing)} of {len(missing) + len(labels)} nodes "
        f"({', '.join(label_names)}) are missing: {listed(missing)}; add them, or choose holes "
        "'drop' (leaves out axis values) or 'fill' (interpolates)"
    )


def listed(nodes: Float[np.ndarray, "n n_labels"]) -> str:
    """The first nodes in words, and how many more there are."""
    words = ["(" + ", ".join(f"{value:g}" for value in node) + ")" for node in nodes[:MAX_LISTED]]
    more = len(nodes) - len(words)
    return " ".join(words) + (f" and {more} more" if more else "")


def _tensor(
    labels: Float[np.ndarray, "n n_labels"],
) -> tuple[tuple[np.ndarray, ...], Int[np.ndarray, "n n_labels"], Bool[np.ndarray, "*nodes"]]:
    """Returns the axes, the indices of every row on them, and where a node is present."""
    labels = unite_rounded(labels)
    axes = tuple(np.unique(column) for column in labels.T)
    _check_span(len(labels), tuple(map(len, axes)))
    index = np.stack([np.searchsorted(a, c) for a, c in zip(axes, labels.T, strict=True)], axis=1)
    present = np.zeros(tuple(map(len, axes)), bool)
    present[tuple(index.T)] = True
    return axes, index, present


def _check_span(n: int, shape: tuple[int, ...]) -> None:
    """Refuses labels that lie on no grid: their tensor would hold next to nothing else than holes."""
    if math.prod(shape) > max(MOST_NODES, MOST_SPARSE * n):
        raise DataError(
            f"labels must form a tensor grid, but the {n} nodes have {' x '.join(map(str, shape))} different "
            f"values, a tensor of {math.prod(shape):.3g} nodes; give spectra at the nodes of a grid"
        )


def find_holes(labels: Float[np.ndarray, "n n_labels"]) -> Float[np.ndarray, "n_missing n_labels"]:
    """Returns the labels of the nodes that are missing from the tensor their values span, in order.

    Raises:
        DataError: the tensor would have more than `MOST_NODES` nodes, nearly all of them missing.
    """
    axes, _, present = _tensor(labels)
    where = np.argwhere(~present)
    return np.stack([axis[i] for axis, i in zip(axes, where.T, strict=True)], axis=1)


def complete_part(labels: Float[np.ndarray, "n n_labels"]) -> Bool[np.ndarray, " n"]:
    """Returns which rows stay when axis values are left out until the rest is a complete tensor.

    As few spectra as possible are lost: a depth-first search, which at every hole tries to leave out each of
    its axis values (the one with the largest missing fraction first, so the first answer is the greedy one),
    and cuts off what cannot keep more than the best found. The answer is the best there is unless the search
    takes more than MAX_STATES states; then it is the best found by then, the greedy one or better.
    """
    _, index, present = _tensor(labels)
    kept = _largest_complete(present)
    keep: np.ndarray = np.all([kept[j][index[:, j]] for j in range(index.shape[1])], axis=0)
    return keep


def _largest_complete(present: Bool[np.ndarray, "*nodes"]) -> list[Bool[np.ndarray, " n_values"]]:
    """Returns which values of every axis stay."""
    best: list[np.ndarray] = [np.zeros(n, bool) for n in present.shape]
    best_size = 0
    stack = [[np.ones(n, bool) for n in present.shape]]
    seen: set[bytes] = set()
    while stack and len(seen) < MAX_STATES:
        kept = stack.pop()
        key = np.concatenate(kept).tobytes()
        size = int(np.prod([k.sum() for k in kept]))
        if size <= best_size or key in seen:
            continue
        seen.add(key)
        choices = _choices(present, kept)
        if not choices:
            best, best_size = kept, size
        stack += [_without(kept, axis, value) for axis, value in reversed(choices)]
    return best


def _choices(present: np.ndarray, kept: list[np.ndarray]) -> list[tuple[int, int]]:
    """The values (axis, index) of the worst hole, worst first; none if no hole is left."""
    missing = ~present[np.ix_(*kept)]
    if not missing.any():
        return []
    d = missing.ndim
    fractions = [missing.mean(axis=tuple(j for j in range(d) if j != i)) for i in range(d)]
    holes = np.argwhere(missing)
    badness = np.stack([f[i] for f, i in zip(fractions, holes.T, strict=True)], axis=1)
    hole = int(np.argmax(badness.max(axis=1)))
    order = np.argsort(-badness[hole], kind="stable")
    return [(int(i), int(np.flatnonzero(kept[i])[holes[hole, i]])) for i in order]


def _without(kept: list[np.ndarray], axis: int, value: int) -> list[np.ndarray]:
    rest = [k.copy() for k in kept]
    rest[axis][value] = False
    return rest


def drop_report(
    labels: Float[np.ndarray, "n n_labels"], keep: Bool[np.ndarray, " n"], label_names: tuple[str, ...]
) -> str:
    """Says which axis values `keep` leaves out, and how many spectra that costs."""
    words = []
    labels = unite_rounded(labels)
    for name, before, after in zip(label_names, labels.T, labels[keep].T, strict=True):
        gone = np.setdiff1d(before, after)
        if len(gone):
            words.append(f"{name} {' '.join(f'{value:g}' for value in gone)}")
    return (
        f"left out {'; '.join(words)} because of {len(find_holes(labels))} missing nodes: "
        f"{int(keep.sum())} of {len(labels)} spectra are kept"
    )


def fill_holes(
    labels: Float[np.ndarray, "n_given n_labels"],
    flux: Float[np.ndarray, "n_given n_pix"],
    cont: Float[np.ndarray, "n_given n_pix"] | None,
    label_names: tuple[str, ...],
) -> Mended:
    """Interpolates the missing nodes in log flux along one axis: the longest on which it is no extrapolation.

    The polynomial goes through the nearest real nodes of that line, two on either side (cubic), fewer where
    there are fewer; interpolated nodes serve no other node.

    Raises:
        DataError: some holes do not lie between real nodes along any axis (they are listed), or a flux that
            is needed is not positive.
    """
    plan = fill_plan(labels, label_names)
    missing = find_holes(labels)
    filled = np.arange(len(labels) + len(missing)) >= len(labels)
    return Mended(
        np.concatenate([labels, missing]),
        np.concatenate([flux, _interpolated(flux, plan)]),
        None if cont is None else np.concatenate([cont, _interpolated(cont, plan)]),
        filled,
        fill_report(labels),
    )


def fill_report(labels: Float[np.ndarray, "n n_labels"]) -> str:
    """Says which nodes are interpolated."""
    missing = find_holes(labels)
    return f"interpolated {len(missing)} of {len(labels) + len(missing)} nodes: {listed(missing)}"


def _interpolated(
    table: Float[np.ndarray, "n n_pix"], plan: list[Recipe]
) -> Float[np.ndarray, "n_missing n_pix"]:
    return np.stack([interpolate_node(table[rows], weights) for rows, weights in plan])


def interpolate_node(
    neighbours: Float[np.ndarray, "n_near n_pix"], weights: Float[np.ndarray, " n_near"]
) -> Float[np.ndarray, " n_pix"]:
    """Returns exp(sum of weights times log flux), in the precision of the neighbours.

    Raises:
        DataError: a flux is not positive.
    """
    if not (np.isfinite(neighbours) & (neighbours > 0)).all():
        raise DataError("flux and cont must be finite and positive to be interpolated in their logarithm")
    node: np.ndarray = np.exp(weights @ np.log(neighbours.astype(np.float64)))
    return node.astype(neighbours.dtype)


def fill_plan(labels: Float[np.ndarray, "n n_labels"], label_names: tuple[str, ...]) -> list[Recipe]:
    """Returns for every hole, in the order of `find_holes`, which rows make it and with which weights.

    Raises:
        DataError: some holes do not lie between real nodes along any axis; they are listed.
    """
    axes, index, present = _tensor(labels)
    row = np.full(present.shape, -1)
    row[tuple(index.T)] = np.arange(len(labels))
    plan = [_recipe(hole, axes, row) for hole in np.argwhere(~present)]
    stuck = np.array([len(rows) == 0 for rows, _ in plan], bool)
    if stuck.any():
        raise DataError(
            f"{int(stuck.sum())} of {len(plan)} missing nodes ({', '.join(label_names)}) cannot be filled "
            f"without extrapolation: {listed(find_holes(labels)[stuck])}; choose 'drop' or a smaller box"
        )
    return plan


def _recipe(hole: Int[np.ndarray, " n_labels"], axes: tuple[np.ndarray, ...], row: np.ndarray) -> Recipe:
    """Tries the axes, longest first; `row` holds the row of every node of the tensor, -1 for a hole."""
    for axis in np.argsort([-n for n in row.shape], kind="stable"):
        line = np.moveaxis(row, axis, -1)[tuple(np.delete(hole, axis))]
        near = _nearest(line >= 0, int(hole[axis]))
        if len(near):
            return line[near], _lagrange(axes[axis][near], float(axes[axis][hole[axis]]))
    return np.zeros(0, int), np.zeros(0)


def _nearest(present: Bool[np.ndarray, " n_values"], hole: int) -> Int[np.ndarray, " n_near"]:
    """Positions of the nearest nodes of a line on either side of a hole; none unless both sides have one."""
    there = np.flatnonzero(present)
    left, right = there[there < hole][-NEIGHBOURS:], there[there > hole][:NEIGHBOURS]
    return np.concatenate([left, right]) if len(left) and len(right) else np.zeros(0, int)


def _lagrange(nodes: Float[np.ndarray, " n"], x: float) -> Float[np.ndarray, " n"]:
    """Weights w with p(x) = w . p(nodes) for every polynomial p of degree below n."""
    difference = nodes[:, None] - nodes[None] + np.eye(len(nodes))
    ratio = (x - nodes)[None] / difference
    np.fill_diagonal(ratio, 1.0)
    weights: np.ndarray = ratio.prod(axis=1)
    return weights
