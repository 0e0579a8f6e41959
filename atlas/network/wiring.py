"""How far each layer moves the inputs of later layers, derived from BatchNorm statistics alone.

No image is needed. Every node of the graph gets the mean and the variance of its channels, and a
swing for each of its writers. A writer is a layer whose channels are in the node's output, perhaps
summed with others. Its swing is how far a channel of the node moves when the same channel of the
writer moves by one of its own sigmas (standard deviations). The output of a BatchNorm has mean beta
and standard deviation |gamma|, because its statistics standardise its input. From there on,
channels are assumed to be Gaussian before a ReLU and independent where they are summed, and all
other operations to be linear.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.fx
from torch import Tensor, nn

from atlas.network.operators import (
    PASSING,
    RECTIFIERS,
    SUMS,
    averages_maps,
    module_of,
    operation_of,
)
from atlas.network.taps import Reader


@dataclass(frozen=True)
class Signal:
    """Statistics of the C channels that one node of the graph gives."""

    mean: Tensor  # (C,)
    variance: Tensor  # (C,)
    swings: Mapping[str, Tensor]  # by name of the writer, (C,) each

    @property
    def writers(self) -> tuple[str, ...]:
        """Names of the layers that wrote these channels."""
        return tuple(self.swings)

    def strongest(self) -> tuple[Tensor, Tensor]:
        """The position in `writers` of the one that moves a channel most, and its swing: (C,)."""
        swings = torch.stack(tuple(self.swings.values()))  # (writers, C)
        writer = swings.abs().argmax(0, keepdim=True)
        return writer[0], swings.gather(0, writer)[0]

    def moved(self, mean: Tensor, variance: Tensor, slope: Tensor) -> Signal:
        """The signal after an operation of this slope, with the mean and variance that it gives."""
        return Signal(mean, variance, {name: slope * swing for name, swing in self.swings.items()})


def follow(graph: torch.fx.GraphModule, readers: Sequence[Reader]) -> dict[str, Signal | None]:
    """By layer name, the signal at the layer's input; None if it cannot be derived.

    It cannot for the image, behind operations that are not handled here, and for a layer that is
    called several times.

    Args:
        graph: a traced network, in which all layers are modules.
        readers: readers of all its layers.
    """
    by_name = {reader.layer.name: reader for reader in readers}
    signals: dict[torch.fx.Node, Signal | None] = {}
    layer_inputs: dict[str, Signal | None] = {}
    for node in graph.graph.nodes:
        inputs = [signals[each] for each in node.args if isinstance(each, torch.fx.Node)]
        reader = by_name.get(str(node.target)) if node.op == "call_module" else None
        if reader:
            name = reader.layer.name
            is_first_call = name not in layer_inputs  # a layer may be called on several signals
            signal = _if_n_channels(inputs[0], reader.layer.in_channels)
            layer_inputs[name] = signal if is_first_call else None
            signals[node] = _output_signal(reader)
        else:
            known = [each for each in inputs if each]
            signals[node] = _signal_after(node, module_of(node, graph), known, len(inputs))
    return layer_inputs


def _if_n_channels(signal: Signal | None, n_channels: int) -> Signal | None:
    """The signal, or None if maps of several positions were flattened to other channels."""
    return signal if signal and len(signal.mean) == n_channels else None


def _output_signal(reader: Reader) -> Signal:
    """The signal of a layer's raw output, which moves by `sign * std` per sigma of excitation."""
    return Signal(reader.mean, reader.std**2, {reader.layer.name: reader.sign * reader.std})


def _signal_after(
    node: torch.fx.Node, module: nn.Module | None, inputs: Sequence[Signal], n_inputs: int
) -> Signal | None:
    """The signal after a node from its known inputs; None if it cannot be derived."""
    operation = operation_of(node, module)
    if not inputs or len(inputs) < n_inputs:
        return None
    if isinstance(module, nn.BatchNorm2d):
        return _normalised(inputs[0], module)
    if operation in RECTIFIERS:
        return _rectified(inputs[0])
    if operation in SUMS and n_inputs == 2 and not node.kwargs:
        return _summed(*inputs)
    return inputs[0] if operation in PASSING or averages_maps(node) else None


def _normalised(signal: Signal, norm: nn.BatchNorm2d) -> Signal | None:
    if norm.running_var is None:
        return None
    gamma = norm.weight.detach() if norm.affine else torch.ones_like(signal.mean)
    beta = norm.bias.detach() if norm.affine else torch.zeros_like(signal.mean)
    return signal.moved(beta, gamma**2, gamma / (norm.running_var + norm.eps).sqrt())


def _rectified(signal: Signal) -> Signal:
    """The signal after a ReLU: the moments of a rectified Gaussian.

    The slope of the best linear fit to the ReLU is P(x > 0), by Stein's lemma:
    cov(relu(x), x) = P(x > 0) var(x) for a Gaussian x.
    """
    mean, std = signal.mean, signal.variance.sqrt()
    ratio = mean / std.clamp(min=1e-12)
    p_positive = torch.special.ndtr(ratio)
    density = torch.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    new_mean = mean * p_positive + std * density
    mean_square = (mean**2 + std**2) * p_positive + mean * std * density
    return signal.moved(new_mean, (mean_square - new_mean**2).clamp(min=0), p_positive)


def _summed(first: Signal, second: Signal) -> Signal | None:
    """The signal of a sum; the swings of a layer that writes both terms add up."""
    if len(first.mean) != len(second.mean):  # one term was flattened or is broadcast
        return None
    swings = dict(first.swings)
    for name, swing in second.swings.items():
        swings[name] = swings[name] + swing if name in swings else swing
    return Signal(first.mean + second.mean, first.variance + second.variance, swings)
