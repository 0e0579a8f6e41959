"""Which units write the channels that a layer reads, and how far they move them.

Every node of the graph gets a `Signal`: the mean and the variance of its channels, and the units
that write them. Those of a layer's output are given; the output of a BatchNorm has mean beta and
standard deviation |gamma|, because its statistics standardise its input. From there on, channels
are assumed to be Gaussian before a pointwise function and independent where they are summed or
multiplied by a gate. Through pools, channels move as far as their inputs do. What is divided or
multiplied by statistics of its own is measured on generated images (`measured.py`). What an
operation does that is not in the table of `operators.py` is not known.
"""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from atlas.network import signals
from atlas.network.measured import POOLS, Measurement
from atlas.network.moments import Function
from atlas.network.operators import (
    Operator,
    argument,
    attribute_of,
    module_of,
    operator_of,
    works_in_place,
)
from atlas.network.signals import Signal, Writer
from atlas.network.taps import Statistics
from atlas.network.weightless import Weightless, without_contents
from atlas.units import Layer

N_IMAGES = 2  # in the shapes of nodes, so that no dim of size 1 is the batch
PASSING = {"passing", "resize"}
JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": operator.add,
    "difference": operator.sub,
    "product": operator.mul,
    "quotient": operator.truediv,
}


def follow(
    graph: fx.GraphModule,
    layers: Mapping[Layer, Statistics],
    image_shape: tuple[int, int, int],
    measured: Mapping[fx.Node, Measurement],
) -> dict[str, Signal | None]:
    """By layer name, the signal at the layer's input; None if it cannot be derived.

    It cannot for the image, behind operations that are not handled here, for a layer that is called
    several times, and for no layer if the shapes in the network depend on what is in an image.

    Args:
        graph: a traced network in evaluation mode, in which all layers are modules.
        layers: all its layers, each with the statistics of its raw output.
        image_shape: channels, height and width of its images.
        measured: what was measured of operations without running statistics.
    """
    outputs = _Outputs(Weightless(graph))
    try:
        with without_contents():
            outputs.run(torch.empty(N_IMAGES, *image_shape))
    except Exception:  # the network's own operations: their shapes may need the image's numbers
        return dict.fromkeys(layer.name for layer in layers)
    follower = _Follower(graph, layers, outputs.of_nodes, measured)
    for node in graph.graph.nodes:
        follower.visit(node)
    return follower.layer_inputs


class _Outputs(fx.Interpreter):
    """Runs a graph and keeps what all its nodes give."""

    def __init__(self, weightless: Weightless) -> None:
        super().__init__(weightless)
        self.extra_traceback = False
        self.of_nodes: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        self.of_nodes[n] = super().run_node(n)
        return self.of_nodes[n]


# Gives the signal after a node from the one signal that is its input, and the node's module.
_After = Callable[[Signal, fx.Node, "nn.Module | None"], "Signal | None"]


class _Follower:
    """Visits the nodes of a graph in forward order and finds their signals."""

    def __init__(
        self,
        graph: fx.GraphModule,
        layers: Mapping[Layer, Statistics],
        outputs: Mapping[fx.Node, Any],
        measured: Mapping[fx.Node, Measurement],
    ) -> None:
        self.layer_inputs: dict[str, Signal | None] = {}
        self._graph = graph
        self._layers = {layer.name: layer for layer in layers}
        self._statistics = layers
        self._outputs = outputs  # of all nodes, with tensors that hold nothing
        self._measured = measured
        # A signal, a tuple of signals, a constant, or None where a tensor is not known.
        self._values: dict[fx.Node, Any] = {}
        self._after: Mapping[str, _After] = {
            **dict.fromkeys(PASSING, lambda signal, node, module: signal),
            **dict.fromkeys(POOLS, lambda signal, node, module: signals.pooled(signal)),
            "rectifier": self._rectified,
            "pointwise": self._applied,
            "batch norm": self._normalised,
            "mean": self._averaged,
            "pad": self._padded,
            "negation": lambda signal, node, module: signals.scaled(signal, -1.0, 0.0),
        }
        self._n_calls = Counter(node.target for node in graph.graph.nodes)

    def visit(self, node: fx.Node) -> None:
        """Find the value of the next node in forward order."""
        module = module_of(node, self._graph)
        layer = self._layers.get(str(node.target)) if module else None
        self._values[node] = self._layer(node, layer) if layer else self._value(node, module)
        if works_in_place(node, module):
            self._values[node.all_input_nodes[0]] = self._values[node]

    def _layer(self, node: fx.Node, layer: Layer) -> Signal | None:
        """The signal that a layer gives; the one that it reads is noted."""
        signal = self._values[node.all_input_nodes[0]]
        is_called_once = self._n_calls[layer.name] == 1
        dim = -1 if isinstance(module_of(node, self._graph), nn.Linear) else 1
        is_known = is_called_once and isinstance(signal, Signal)
        vector = signals.vector(signal, dim, layer.in_channels) if is_known else None
        self.layer_inputs[layer.name] = vector
        if not is_called_once:
            return None
        return _output(layer, self._statistics[layer], dim, self._outputs[node].ndim)

    def _value(self, node: fx.Node, module: nn.Module | None) -> Any:
        if node.op == "get_attr":
            return attribute_of(node, self._graph)
        if node.op == "output" or not _holds_tensors(self._outputs[node]):
            return self._outputs[node]  # a size, for example
        if node in self._measured:
            return self._as_measured(self._measured[node])
        inputs = [self._values[each] for each in node.all_input_nodes]
        if node.op == "placeholder" or any(each is None for each in inputs):
            return None
        if not any(isinstance(each, Signal) for each in tree_leaves(inputs)):
            return self._run(node, self._values)
        return self._signal(node, module, operator_of(node, module))

    def _as_measured(self, found: Measurement) -> Signal | None:
        """The signal after what was measured; None if it joins channels that are few."""
        signal = self._values[found.before]
        if not isinstance(signal, Signal) or signal.mean.shape != found.moments.mean.shape:
            return None
        return signals.measured(signal, found.moments) if found.is_elementwise else None

    def _signal(self, node: fx.Node, module: nn.Module | None, what: Operator) -> Any:
        """The signal after an operation, or several of them; None if it is not known."""
        if what.role in ("move", "expand", "concat"):
            return self._moved(node, what)
        if what.role in JOINS:
            return self._joined(node, what)
        if what.role == "scaled sum":
            return self._scaled(node)
        first = self._known(argument(node, 0, "input"))
        n_signals = sum(isinstance(self._values[each], Signal) for each in node.all_input_nodes)
        after = self._after.get(what.role)
        is_one_signal = isinstance(first, Signal) and n_signals == 1
        return after(first, node, module) if after and is_one_signal else None

    def _known(self, value: Any) -> Any:
        """A node's value, or any other argument as it is."""
        return self._values[value] if isinstance(value, fx.Node) else value

    def _moved(self, node: fx.Node, what: Operator) -> Any:
        """The signals after elements were moved to other places."""
        known = {each: self._values[each] for each in node.all_input_nodes}
        parts = self._known(argument(node, 0, "input"))  # of a chunk, if they are several
        if isinstance(parts, tuple) and node.target is operator.getitem:
            return parts[cast(int, node.args[1])]
        if what.role == "concat":
            known = {each: self._as_signal(each) for each in known}
        moving = {each: value for each, value in known.items() if isinstance(value, Signal)}
        if any(isinstance(value, tuple) for value in known.values()):
            return None
        shapes = {each: self._outputs[each].shape for each in moving}
        return signals.rearranged(
            moving, shapes, lambda numbers: self._run(node, {**known, **numbers})
        )

    def _as_signal(self, node: fx.Node) -> Any:
        """A node's value, a constant tensor as a signal."""
        value = self._values[node]
        is_constant = isinstance(value, Tensor)
        return signals.constant(value, self._outputs[node].ndim) if is_constant else value

    def _joined(self, node: fx.Node, what: Operator) -> Signal | None:
        """The signal after two inputs were summed or multiplied, of which one may be constant."""
        if len(node.args) != 2 or node.kwargs:
            return None
        one, other = (self._known(each) for each in node.args)
        if not isinstance(one, Signal):
            return _with_constant(what, other, one, is_second=True)
        if not isinstance(other, Signal):
            return _with_constant(what, one, other, is_second=False)
        if what.role in ("sum", "difference"):
            return _summed(one, other, what)
        if same := signals.combined(one, other, JOINS[what.role]):
            return same
        return self._gated(node) if what.role == "product" else None

    def _scaled(self, node: fx.Node) -> Signal | None:
        """The signal after `shift + factor * signal`, with constants."""
        shift, factor, signal = (self._known(each) for each in node.args[:3])
        are_constant = not any(isinstance(each, Signal) for each in (shift, factor))
        is_known = isinstance(signal, Signal) and are_constant and not node.kwargs
        return signals.scaled(signal, factor, shift) if is_known else None

    def _gated(self, node: fx.Node) -> Signal | None:
        """The signal after a multiplication by a gate.

        A gate has fewer positions than what it multiplies, or comes from a function into 0..1.
        """
        first, second = node.all_input_nodes
        gate = min(first, second, key=lambda each: self._outputs[each].numel())
        if self._outputs[first].numel() == self._outputs[second].numel():
            gates = [each for each in (first, second) if self._what(each).is_bounded]
            if len(gates) != 1:
                return None
            (gate,) = gates
        signal = second if gate is first else first
        return signals.gated(self._values[signal], self._values[gate])

    def _what(self, node: fx.Node) -> Operator:
        return operator_of(node, module_of(node, self._graph))

    def _rectified(self, signal: Signal, node: fx.Node, module: nn.Module | None) -> Signal | None:
        return signals.applied(signal, torch.relu, is_rectifier=True)

    def _applied(self, signal: Signal, node: fx.Node, module: nn.Module | None) -> Signal | None:
        return signals.applied(signal, self._function(node, module))

    @staticmethod
    def _averaged(signal: Signal, node: fx.Node, module: nn.Module | None) -> Signal | None:
        dims = argument(node, 1, "dim")
        dims = [dims] if isinstance(dims, int) else list(dims or range(signal.mean.ndim))
        return signals.averaged(signal, dims, keepdim=argument(node, 2, "keepdim", False))

    def _normalised(self, signal: Signal, node: fx.Node, module: nn.Module | None) -> Signal | None:
        """The signal after a BatchNorm, None if it has no statistics or those of several inputs."""
        given = _module_norm(module) if module else self._function_norm(node)
        is_called_once = module is None or self._n_calls[node.target] == 1
        if given.mean is None or given.variance is None or not is_called_once:
            return None
        gamma, beta = (
            torch.full_like(given.variance, fill) if each is None else each.detach()
            for each, fill in ((given.gamma, 1.0), (given.beta, 0.0))
        )
        std = (given.variance + given.eps).sqrt()
        shape = [1, -1, *[1] * (signal.mean.ndim - 2)]
        tensors = (each.view(shape) for each in (gamma, beta, given.mean, std))
        return signals.normalised(signal, *tensors)

    def _function_norm(self, node: fx.Node) -> _Norm:
        """The BatchNorm of a call of `torch.nn.functional.batch_norm`."""
        names = ("running_mean", "running_var", "weight", "bias")
        given = (argument(node, place, name) for place, name in enumerate(names, 1))
        mean, variance, gamma, beta = (self._known(each) for each in given)
        norm = _Norm(mean, variance, gamma, beta, argument(node, 7, "eps", 1e-5))
        is_training = argument(node, 5, "training", False)
        return norm._replace(mean=None) if is_training else norm

    def _padded(self, signal: Signal, node: fx.Node, module: nn.Module | None) -> Signal | None:
        if module:  # its padding is on the borders of maps
            return signal
        is_zero = argument(node, 2, "mode", "constant") == "constant" and not argument(
            node, 3, "value", 0
        )
        pads = argument(node, 1, "pad")
        return signals.padded(signal, pads) if is_zero or len(pads) <= 4 else None

    def _function(self, node: fx.Node, module: nn.Module | None) -> Function:
        """A pointwise function as one of points in float64 on the CPU."""
        if module:
            exact = copy.deepcopy(module).cpu().double()
            return lambda points: exact(points.clone())
        input_node = argument(node, 0, "input")
        others = {each: self._values[each] for each in node.all_input_nodes}
        exact_others = tree_map(_exact, others)
        return lambda points: self._run(node, {**exact_others, input_node: points.clone()})

    def _run(self, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
        """What a node gives for these values of its inputs."""
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda each: values[each])
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        function = module_of(node, self._graph) or cast("Callable[..., Any]", node.target)
        return function(*args, **kwargs)


class _Norm(NamedTuple):
    """The statistics of a BatchNorm and its affine function, (C,) each."""

    mean: Tensor | None
    variance: Tensor | None
    gamma: Tensor | None
    beta: Tensor | None
    eps: float


def _module_norm(module: nn.Module) -> _Norm:
    norm = cast(nn.BatchNorm2d, module)
    return _Norm(norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.eps)


def _holds_tensors(value: Any) -> bool:
    return any(isinstance(each, Tensor) for each in tree_leaves(value))


def _exact(value: Any) -> Any:
    return value.detach().cpu().double() if isinstance(value, Tensor) else value


def _output(layer: Layer, statistics: Statistics, dim: int, n_dims: int) -> Signal:
    """The signal of a layer's raw output, which moves by `sign * std` per sigma of excitation."""
    shape = [1] * n_dims
    shape[dim] = -1
    mean, std, sign, _ = statistics
    units = torch.arange(layer.n_units, device=mean.device)
    writer = Writer(layer.name, units.view(shape), (sign * std).view(shape))
    return Signal(mean.view(shape), (std**2).view(shape), (writer,))


def _summed(one: Signal, other: Signal, what: Operator) -> Signal:
    """The signal of a sum or difference, with its variance where both depend on one Gaussian."""
    summed = signals.summed(one, other, -1.0 if what.role == "difference" else 1.0)
    same = signals.combined(one, other, JOINS[what.role])
    if same is None:
        return summed
    return dataclasses.replace(same, mean=summed.mean, writers=summed.writers)


def _with_constant(
    what: Operator, signal: Signal, value: Tensor | float, *, is_second: bool
) -> Signal | None:
    """The signal joined with a constant; `is_second` if the signal is the second operand."""
    if what.role in ("sum", "product"):
        factor, shift = (1.0, value) if what.role == "sum" else (value, 0.0)
    elif what.role == "difference":
        factor, shift = (-1.0, value) if is_second else (1.0, -value)
    elif not is_second and torch.as_tensor(value).all():  # not divided by zero
        factor, shift = 1 / value, 0.0
    else:
        return None
    return signals.scaled(signal, factor, shift)
