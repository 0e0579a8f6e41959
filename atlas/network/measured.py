"""What operations that depend on each image do to channels, measured on generated images.

A LayerNorm and a GroupNorm divide by what they measure in the image that they are given, a gate
that is computed from what it multiplies does much the same, and what a pool makes of a map depends
on how alike neighbouring positions are. No statistics of these are kept in a network, so they are
measured as the standard deviations of layers are (`statistics.py`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, fx

from atlas.memory import is_out_of_memory
from atlas.network.moments import Moments
from atlas.network.operators import Role, argument, module_of, operator_of
from atlas.network.outputs import shape_of
from atlas.network.tracing import part_of

NORMALISERS: frozenset[Role] = frozenset({"layer norm", "group norm"})
POOLS: frozenset[Role] = frozenset({"max pool", "average pool", "adaptive pool"})
_LAYERS: frozenset[Role] = frozenset({"conv", "linear"})
# Operations whose outputs have moments of their own, whatever those of their inputs are.
_FRESH: frozenset[Role] = frozenset({"batch norm", *_LAYERS, *NORMALISERS})
_KEEPING: frozenset[Role] = frozenset({"move", "expand", "passing", "concat", "pad", *POOLS})
MOST_OF_OTHERS = 0.1  # of the squared derivatives of an element, the share of other elements
SEED = 19


class Measurement(NamedTuple):
    """What an operation does to the channels of its input, as tensors (1, ...) in its layout."""

    before: fx.Node  # gives that input
    moments: Moments  # the slope is by how far the output moves with the same element of the input
    is_elementwise: bool  # whether each element depends on hardly any other than itself


def nodes_to_measure(graph: fx.GraphModule) -> Mapping[fx.Node, fx.Node]:
    """The nodes to be measured, each with the one whose channels it changes.

    These are normalisers, products with a gate that is computed from what it multiplies, and pools
    whose moments matter to what follows before the next layer.
    """
    found = {node: _changed(node, graph) for node in graph.graph.nodes if shape_of(node)}
    return {node: before for node, before in found.items() if before}


def _changed(node: fx.Node, graph: fx.GraphModule) -> fx.Node | None:
    """The node whose channels a node changes, if it is to be measured."""
    role = _role(node, graph)
    if role in NORMALISERS or (role in POOLS and not _are_moments_unread(node, graph)):
        before: fx.Node = argument(node, 0, "input")
        return before
    if role != "product" or len(node.all_input_nodes) != 2:
        return None
    gate, gated = sorted(node.all_input_nodes, key=lambda each: math.prod(_own_shape(each, graph)))
    is_smaller = math.prod(_own_shape(gate, graph)) < math.prod(_own_shape(gated, graph))
    return gated if is_smaller and _sources(gate, gated, graph) == {gated} else None


def _sources(node: fx.Node, source: fx.Node, graph: fx.GraphModule) -> set[fx.Node]:
    """What a node is computed from: perhaps the source, and besides it layers and the images."""
    found, to_see, seen = set[fx.Node](), [node], set[fx.Node]()
    while to_see:
        each = to_see.pop()
        if each is source or each.op == "placeholder" or _role(each, graph) in _LAYERS:
            found.add(each)
        elif each not in seen:
            to_see += each.all_input_nodes
        seen.add(each)
    return found


@torch.no_grad()
def measure_operations(
    graph: fx.GraphModule, nodes: Mapping[fx.Node, fx.Node], images: Iterable[Tensor]
) -> Mapping[fx.Node, Measurement]:
    """What each of these nodes does to the channels of its input.

    Args:
        graph: a traced network in evaluation mode.
        nodes: of the graph, each with the one whose channels it changes.
        images: batches (B, C, H, W), as the network is given them.
    """
    if not nodes:
        return {}
    inputs = part_of(graph, {node.name: before for node, before in nodes.items()})
    found = {node: _Sums(graph, node, before) for node, before in nodes.items()}
    for batch in images:
        given = inputs(batch)
        for node, sums in found.items():
            sums.add(given[node.name])
    return {node: sums.measurement() for node, sums in found.items()}


class _Sums:
    """Sums over images and positions of what one operation gives, in double precision.

    The derivative of an element by itself is found with random signs v: where J is the derivative
    of the output, the mean of v * Jv is the diagonal of J, and that of the square of Jv is the sum
    of the squares of its rows. Source: Bekas, Kokiopoulou, Saad 2007,
    https://doi.org/10.1016/j.apnum.2007.01.003
    """

    def __init__(self, graph: fx.GraphModule, node: fx.Node, before: fx.Node) -> None:
        self._before = before
        self._operation = part_of(graph, {"": node}, start=before)
        self._is_pool = _role(node, graph) in POOLS
        self._channel_dim = _channel_dim(node, graph)
        self._signs = torch.Generator().manual_seed(SEED)
        self._rows: list[Tensor] = []  # of each batch, (sums, ...)
        self._n = 0

    def add(self, values: Tensor) -> None:
        """Add the inputs (B, ...) of the operation for some images."""
        given: Tensor = self._operation(values.clone())  # which may be changed in place
        rows = [given, given.double().square()]
        rows += [torch.ones_like(given)] * 3 if self._is_pool else self._derivatives(values, given)
        dim = self._channel_dim % given.ndim
        others = [each for each in range(given.ndim) if each != dim]
        self._rows.append(torch.stack([row.double().sum(others, keepdim=True) for row in rows]))
        self._n += given.numel() // given.shape[dim]

    def _derivatives(self, values: Tensor, given: Tensor) -> list[Tensor]:
        """What gives the diagonal, its square, and the sum of the squares of its rows.

        Not a number where torch has no forward derivative of an operation.
        """
        try:
            one, other = (self._moved(values) for _ in range(2))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            return [torch.full_like(given, torch.nan)] * 3
        squares = (one[1].square() + other[1].square()) / 2
        return [(one[0] + other[0]) / 2, one[0] * other[0], squares]

    def _moved(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """For random signs v, v * Jv and Jv."""
        signs = torch.randint(2, values.shape, generator=self._signs).to(values) * 2 - 1
        operation: Callable[[Tensor], Tensor] = self._operation
        with warnings.catch_warnings():  # torch's own code for jvp is of a kind that it gives up
            warnings.simplefilter("ignore", FutureWarning)
            moved = torch.func.jvp(operation, (values.clone(),), (signs,))[1]
        return signs * moved, moved

    def measurement(self) -> Measurement:
        """What was measured, in single precision."""
        mean, square, slope, own, whole = torch.stack(self._rows).sum(0) / self._n
        moments = (mean, (square - mean.square()).clamp(min=0), slope)
        return Measurement(
            self._before,
            Moments(*(each.float() for each in moments)),
            bool(whole.sum() - own.sum() <= MOST_OF_OTHERS * whole.sum()),
        )


def _channel_dim(node: fx.Node, graph: fx.GraphModule) -> int:
    """The dim along which channels lie: of a product, the one along which its gate changes."""
    if _role(node, graph) == "layer norm":
        return -1
    shapes = [_own_shape(each, graph) for each in node.all_input_nodes]
    gate = min(shapes, key=math.prod) if len(shapes) == 2 else ()
    dims = [dim for dim, size in enumerate(gate) if dim and size > 1]
    return dims[0] if len(dims) == 1 and _role(node, graph) == "product" else 1


def _own_shape(node: fx.Node, graph: fx.GraphModule) -> tuple[int, ...]:
    """The shape of what a node gives, before it was repeated."""
    while _role(node, graph) == "expand":
        node = node.all_input_nodes[0]
    return tuple(shape_of(node) or ())


def _are_moments_unread(node: fx.Node, graph: fx.GraphModule) -> bool:
    """Whether nothing before the next layer or normaliser needs the moments of a node's output."""
    return all(
        user.op == "output"
        or (role := _role(user, graph)) in _FRESH
        or (role in _KEEPING and _are_moments_unread(user, graph))
        for user in node.users
    )


def _role(node: fx.Node, graph: fx.GraphModule) -> Role:
    return operator_of(node, module_of(node, graph)).role
