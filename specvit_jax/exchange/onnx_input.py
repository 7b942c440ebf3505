"""What a network reads of noisy flux, as nodes of ONNX: `network.input_scaler` in the same steps."""

import numpy as np

from specvit_jax.exchange.graph import Graph
from specvit_jax.network.input_scaler import REST_REACH, InputScaler
from specvit_jax.settings.observed_under import LEVEL

LEAST = 1e-30  # sum of squares that has a logarithm of use
RESIDUAL = 1e-7  # of the right side, to which conjugate gradients go on


def encode(graph: Graph, scaler: InputScaler, flux: str, usable: str | None) -> str:
    """The network input of flux (batch, n_pix); `usable`, likewise, is 0 where lost; None: all are kept."""
    x = scaled(graph, scaler, flux, usable)
    if scaler.analysis is None:
        return x
    y = seen = graph.matmul(x, graph.constant(scaler.analysis))
    more = None
    if scaler.gram is not None:
        solved = _solved(graph, scaler, seen, usable)
        y = seen if usable is None else graph.matmul(solved, graph.constant(scaler.gram))
        more = _rest(graph, scaler, x, graph.total(graph.times(seen, solved), 1), usable)
    if scaler.synthesis is None:
        return y if more is None else str(graph.node("Concat", (y, more), axis=1))
    y = graph.matmul(y, graph.constant(scaler.synthesis))
    return y if more is None else graph.add(y, more)


def scaled(graph: Graph, scaler: InputScaler, flux: str, usable: str | None) -> str:
    """Flux at its level, shifted and scaled, its noise independent from pixel to pixel; 0 where lost."""
    if usable is not None:
        flux = _kept(graph, flux, usable)
    if scaler.level is not None:
        weight = graph.constant(np.asarray(scaler.level)[None, :])
        if usable is not None:
            weight = graph.times(weight, _mask(graph, usable))
        level = graph.node("Div", (graph.total(graph.times(weight, flux), 1), graph.total(weight, 1)))
        flux = graph.times(flux, graph.node("Div", (graph.constant(LEVEL), level)))
    shifted = graph.node("Sub", (flux, graph.constant(np.asarray(scaler.mean)[None, :])))
    x = str(graph.node("Div", (shifted, graph.constant(np.asarray(scaler.scale)[None, :]))))
    x = x if usable is None else _kept(graph, x, usable)
    return x if scaler.sky is None else _without_sky(graph, scaler, x, usable)


def _kept(graph: Graph, values: str, usable: str) -> str:
    """The values of usable pixels, 0 for lost ones."""
    return str(graph.node("Where", (_used(graph, usable), values, graph.constant(0.0))))


def _used(graph: Graph, usable: str) -> str:
    return str(graph.node("Greater", (usable, graph.constant(0.0))))


def _mask(graph: Graph, usable: str) -> str:
    """1 for usable pixels, 0 for lost ones."""
    return str(graph.node("Where", (_used(graph, usable), graph.constant(1.0), graph.constant(0.0))))


def _without_sky(graph: Graph, scaler: InputScaler, x: str, usable: str | None) -> str:
    """Flux times the inverse square root of the covariance that sky lines leave."""
    left = graph.constant(np.asarray(scaler.sky)[None, :])
    if usable is not None:
        left = graph.times(left, _mask(graph, usable))
    one = graph.constant(1.0)
    power = _over_lines(graph, scaler, graph.times(graph.times(left, left), _ones_like(graph, x)))
    root = str(graph.node("Sqrt", (graph.add(power, one),)))
    shared = graph.times(left, _over_lines(graph, scaler, graph.times(left, x)))
    off = graph.node("Div", (shared, graph.times(root, graph.add(root, one))))
    return str(graph.node("Sub", (x, off)))


def _ones_like(graph: Graph, x: str) -> str:
    return str(graph.node("Expand", (graph.constant(1.0), graph.node("Shape", (x,)))))


def _over_lines(graph: Graph, scaler: InputScaler, values: str) -> str:
    """Sums over the pixels of the sky line that each pixel belongs to."""
    line = np.asarray(scaler.sky_line)
    shape = graph.node("Shape", (values,))
    places = graph.node("Expand", (graph.constant(line[None, :], int), shape))
    empty = graph.node("Expand", (graph.constant(0.0), shape))
    sums = graph.node("ScatterElements", (empty, places, values), axis=1, reduction="add")
    return str(graph.node("Gather", (sums, graph.constant(line, int)), axis=1))


def _rest(graph: Graph, scaler: InputScaler, x: str, inside: str, usable: str | None) -> str | None:
    """The noise component (batch, 1): log of the scatter outside of the components, scaled and clipped."""
    if scaler.rest is None:
        return None
    outside = graph.node("Sub", (graph.total(graph.times(x, x), 1), inside))
    if usable is None:
        count = graph.constant(float(len(scaler.mean)))
    else:
        count = str(graph.node("Max", (graph.total(_mask(graph, usable), 1), graph.constant(1.0))))
    power = graph.node("Div", (graph.node("Max", (outside, graph.constant(LEAST))), count))
    log = graph.times(graph.node("Log", (power,)), graph.constant(0.5))
    mean, deviation = np.asarray(scaler.rest)
    found = graph.node("Div", (graph.node("Sub", (log, graph.constant(mean))), graph.constant(deviation)))
    return str(graph.node("Clip", (found, graph.constant(-REST_REACH), graph.constant(REST_REACH))))


def _solved(graph: Graph, scaler: InputScaler, right: str, usable: str | None) -> str:
    """Solutions z of (M without the lost pixels of every spectrum) z = right.

    Conjugate gradients with the inverse of M before them, as many steps as there are components: a spectrum
    that has reached `RESIDUAL` stays as it is.
    """
    inverse = np.linalg.inv(np.asarray(scaler.gram, np.float64))
    if usable is None:
        return graph.matmul(right, graph.constant(inverse))
    matrix, before = _left(graph, scaler, usable), graph.constant(inverse)
    size = len(inverse)
    right = graph.reshaped(right, (0, size, 1))
    z = str(graph.node("Mul", (right, graph.constant(0.0))))
    rest, most = right, graph.times(graph.total(graph.times(right, right), 1), graph.constant(RESIDUAL**2))
    step = graph.matmul(before, rest)
    power = graph.total(graph.times(rest, step), 1)
    for _ in range(size):
        z, rest, step, power = _descend(graph, (matrix, before, most), (z, rest, step, power))
    return graph.reshaped(z, (0, size))


def _descend(
    graph: Graph, system: tuple[str, str, str], state: tuple[str, str, str, str]
) -> tuple[str, str, str, str]:
    """One step of conjugate gradients; nothing changes once the squared residual is below the limit."""
    (matrix, before, most), (z, rest, step, power) = system, state
    zero, one = graph.constant(0.0), graph.constant(1.0)
    goes_on = graph.node("Greater", (graph.total(graph.times(rest, rest), 1), most))
    seen = graph.matmul(matrix, step)
    curvature = graph.node("Where", (goes_on, graph.total(graph.times(step, seen), 1), one))
    length = str(graph.node("Where", (goes_on, graph.node("Div", (power, curvature)), zero)))
    z = graph.add(z, graph.times(length, step))
    rest = str(graph.node("Sub", (rest, graph.times(length, seen))))
    turned = graph.matmul(before, rest)
    new = graph.total(graph.times(rest, turned), 1)
    safe = graph.node("Where", (goes_on, power, one))
    share = str(graph.node("Where", (goes_on, graph.node("Div", (new, safe)), zero)))
    return z, rest, graph.add(turned, graph.times(share, step)), new


def _left(graph: Graph, scaler: InputScaler, usable: str) -> str:
    """M without the lost pixels of every spectrum (batch, k, k)."""
    analysis = np.asarray(scaler.analysis)
    lost = graph.node("Sub", (graph.constant(1.0), _mask(graph, usable)))
    rows = graph.times(graph.constant(analysis.T[None]), graph.reshaped(lost, (0, 1, len(analysis))))
    return str(graph.node("Sub", (graph.constant(scaler.gram), graph.matmul(rows, graph.constant(analysis)))))
