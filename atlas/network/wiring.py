"""How far a layer's answers move what later layers take in, told by the BatchNorms alone.

No image is shown. Every node of the graph is given the mean and the variance of its channels, and
for every layer that wrote into it the swing: how far it moves when the same channel of that layer
moves by one of its own sigmas. A BatchNorm's output is known beforehand, since its statistics make
what it takes in standard: mean beta, deviation |gamma|. From there on channels are taken to be
Gaussian before a ReLU, independent where they are summed, and everything between to be linear.
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
    """What one node of the graph carries in its C channels."""

    mean: Tensor  # (C,)
    variance: Tensor  # (C,)
    swings: Mapping[str, Tensor]  # by layer that wrote into it, (C,) each

    @property
    def writers(self) -> tuple[str, ...]:
        """The layers that wrote into it."""
        return tuple(self.swings)

    def strongest(self) -> tuple[Tensor, Tensor]:
        """For each channel the position of the writer that moves it most, and its swing: (C,)."""
        swings = torch.stack(tuple(self.swings.values()))  # (writers, C)
        writer = swings.abs().argmax(0, keepdim=True)
        return writer[0], swings.gather(0, writer)[0]

    def moved(self, mean: Tensor, variance: Tensor, slope: Tensor) -> Signal:
        """The signal after something that is as steep as `slope`."""
        return Signal(mean, variance, {name: slope * swing for name, swing in self.swings.items()})


def follow(model: nn.Module, readers: Sequence[Reader]) -> dict[str, Signal | None]:
    """What each layer takes in, by its name; None where that cannot be told, as for the image.

    Args:
        model: a network that torch.fx can trace.
        readers: of all its layers.
    """
    graph = torch.fx.symbolic_trace(model)
    by_name = {reader.layer.name: reader for reader in readers}
    signals: dict[torch.fx.Node, Signal | None] = {}
    taken_in: dict[str, Signal | None] = {}
    for node in graph.graph.nodes:
        inputs = [signals[each] for each in node.args if isinstance(each, torch.fx.Node)]
        reader = by_name.get(str(node.target)) if node.op == "call_module" else None
        if reader:
            name = reader.layer.name
            is_first = name not in taken_in  # a layer may be called on several signals
            fitting = _if_fitting(inputs[0], reader.layer.in_channels)
            taken_in[name] = fitting if is_first else None
            signals[node] = _written(reader)
        else:
            known = [each for each in inputs if each]
            signals[node] = _after(node, module_of(node, graph), known, len(inputs))
    return taken_in


def _if_fitting(signal: Signal | None, n_channels: int) -> Signal | None:
    """A map that was flattened has other channels than it had."""
    return signal if signal and len(signal.mean) == n_channels else None


def _written(reader: Reader) -> Signal:
    """A layer's raw output: one of its sigmas, on its own excitatory side, is `sign * std`."""
    return Signal(reader.mean, reader.std**2, {reader.layer.name: reader.sign * reader.std})


def _after(
    node: torch.fx.Node, module: nn.Module | None, inputs: Sequence[Signal], n_inputs: int
) -> Signal | None:
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
    """Moments of a rectified Gaussian; the best line through a ReLU is as steep as it is open.

    That is Stein's lemma: cov(relu(x), x) = P(x > 0) var(x) for a Gaussian x.
    """
    mean, std = signal.mean, signal.variance.sqrt()
    ratio = mean / std.clamp(min=1e-12)
    is_open = torch.special.ndtr(ratio)
    density = torch.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    rectified = mean * is_open + std * density
    square = (mean**2 + std**2) * is_open + mean * std * density
    return signal.moved(rectified, (square - rectified**2).clamp(min=0), is_open)


def _summed(first: Signal, second: Signal) -> Signal | None:
    """A layer that reaches the sum by both ways counts with both."""
    if len(first.mean) != len(second.mean):  # a map was flattened, or is broadcast
        return None
    swings = dict(first.swings)
    for name, swing in second.swings.items():
        swings[name] = swings[name] + swing if name in swings else swing
    return Signal(first.mean + second.mean, first.variance + second.variance, swings)
