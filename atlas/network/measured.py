"""What operations that depend on each image do to channels, measured on generated images.

A LayerNorm and a GroupNorm divide by what they measure in the image that they are given, and what a
pool makes of a map depends on how alike neighbouring positions are. No statistics of these are kept
in a network, so they are measured as the standard deviations of layers are (`statistics.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, fx
from torch.fx.passes.shape_prop import TensorMetadata

from atlas.network.moments import Moments
from atlas.network.operators import Role, argument, module_of, operator_of
from atlas.network.tracing import part_of

NORMALISERS: frozenset[Role] = frozenset({"layer norm", "group norm"})
POOLS: frozenset[Role] = frozenset({"max pool", "average pool", "adaptive pool"})
# Operations that say what leaves them whatever comes in, or have statistics of their own.
_SAYING: frozenset[Role] = frozenset({"batch norm", "conv", "linear", *NORMALISERS})
_HANDING_ON: frozenset[Role] = frozenset({"move", "expand", "passing", "concat", "pad", *POOLS})
MOST_OF_OTHERS = 0.1  # of the squared derivatives of an element, the share of other elements
SEED = 19


class Measurement(NamedTuple):
    """What an operation does to the channels of its input, as tensors (1, ...) in its layout."""

    moments: Moments  # the slope is by how far the output moves with the same element of the input
    is_its_own: bool  # whether each element depends on itself, and hardly on any other


def nodes_to_measure(graph: fx.GraphModule) -> tuple[fx.Node, ...]:
    """The normalisers, and the pools whose moments matter to what follows before the next layer."""
    return tuple(
        node
        for node in graph.graph.nodes
        if isinstance(node.meta.get("tensor_meta"), TensorMetadata)  # it gives one tensor
        and (
            (role := _role(node, graph)) in NORMALISERS
            or (role in POOLS and not _is_said_later(node, graph))
        )
    )


@torch.no_grad()
def measure_operations(
    graph: fx.GraphModule, nodes: Sequence[fx.Node], images: Iterable[Tensor]
) -> Mapping[fx.Node, Measurement]:
    """What each of these nodes does to the channels of its input.

    Args:
        graph: a traced network in evaluation mode.
        nodes: of the graph; each has one input that depends on the images.
        images: batches (B, C, H, W), as the network is given them.
    """
    if not nodes:
        return {}
    befores = {node: argument(node, 0, "input") for node in nodes}
    inputs = part_of(graph, {node.name: before for node, before in befores.items()})
    found = {node: _Sums(graph, node, befores[node]) for node in nodes}
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
        role = _role(node, graph)
        self._operation = part_of(graph, {"": node}, start=before)
        self._is_pool = role in POOLS
        self._channel_dim = -1 if role == "layer norm" else 1
        self._signs = torch.Generator().manual_seed(SEED)
        self._rows: list[Tensor] = []  # of each batch, (sums, ...)
        self._n = 0

    def add(self, values: Tensor) -> None:
        """Add the inputs (B, ...) of the operation for some images."""
        given: Tensor = self._operation(values)
        rows = [given, given.double().square()]
        rows += [torch.ones_like(given)] * 3 if self._is_pool else self._derivatives(values)
        dim = self._channel_dim % given.ndim
        others = [each for each in range(given.ndim) if each != dim]
        self._rows.append(torch.stack([row.double().sum(others, keepdim=True) for row in rows]))
        self._n += given.numel() // given.shape[dim]

    def _derivatives(self, values: Tensor) -> Iterator[Tensor]:
        """What gives the diagonal, its square, and the sum of the squares of its rows."""
        one, other = (self._moved(values) for _ in range(2))
        yield from ((one[0] + other[0]) / 2, one[0] * other[0])
        yield (one[1].square() + other[1].square()) / 2

    def _moved(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """For random signs v, v * Jv and Jv."""
        signs = torch.randint(2, values.shape, generator=self._signs).to(values) * 2 - 1
        operation: Callable[[Tensor], Tensor] = self._operation
        moved = torch.func.jvp(operation, (values,), (signs,))[1]
        return signs * moved, moved

    def measurement(self) -> Measurement:
        """What was measured, in single precision."""
        mean, square, slope, own, whole = torch.stack(self._rows).sum(0) / self._n
        moments = (mean, (square - mean.square()).clamp(min=0), slope)
        share_of_others = 1 - own.sum() / whole.sum()
        return Measurement(
            Moments(*(each.float() for each in moments)),
            bool(share_of_others < MOST_OF_OTHERS),
        )


def _is_said_later(node: fx.Node, graph: fx.GraphModule) -> bool:
    """Whether all that reads a node knows the moments of what it gives by itself."""
    return all(
        user.op == "output"
        or (role := _role(user, graph)) in _SAYING
        or (role in _HANDING_ON and _is_said_later(user, graph))
        for user in node.users
    )


def _role(node: fx.Node, graph: fx.GraphModule) -> Role:
    return operator_of(node, module_of(node, graph)).role
