"""Follow a network's graph from the image on: every layer, in forward order, with its facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from atlas.families.family import LayerPlace
from atlas.network.operators import (
    ADAPTIVE_POOLS,
    AVERAGE_POOLS,
    MAX_POOLS,
    SUMS,
    argument,
    module_of,
    operation_of,
)
from atlas.units import Layer, LayerKind

# Modules with weights that keep every channel in its place.
CHANNELWISE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d, nn.PReLU)


def walk(
    model: nn.Module, size_px: int, classifier: str, place: Callable[[str, bool], LayerPlace]
) -> tuple[Layer, ...]:
    """Every convolution and linear layer, in forward order, with its facts.

    Receptive fields and strides are followed along the graph; where paths meet, the larger
    counts. Source: Araujo et al. 2019, https://distill.pub/2019/computing-receptive-fields/

    A linear layer counts if it gives one vector per image. A layer that is called several times
    is described as it is called first.

    Args:
        model: in evaluation mode; torch.fx can trace it.
        size_px: side of the images that facts about sizes are true of.
        classifier: dotted name of the linear layer that gives the logits.
        place: stage and block of a layer, from its name and whether it is a convolution.
    """
    graph = fx.symbolic_trace(model)
    ShapeProp(graph).propagate(torch.zeros(1, 3, size_px, size_px))
    walker = _Walker(graph, classifier, place)
    for node in graph.graph.nodes:
        walker.follow(node)
    return tuple(walker.layers)


@dataclass(frozen=True)
class _View:
    """How much of the image a position of a map sees, and which layers it comes from.

    A set of layers is a whole number with one bit for each layer, by its index: to unite two
    takes one operation, however deep the network is.
    """

    size_px: int = 1
    stride_px: int = 1
    centre_px: float = 0.0  # of position 0
    before: int = 0  # all layers that it is computed from
    writers: int = 0  # the layers whose channels it has; none where channels were mixed


class _Window(NamedTuple):
    """What a node slides over a map, along the longer side, in positions of that map."""

    size: int = 1
    stride: int = 1
    padding: int = 0


class _Walker:
    """Goes through a graph node by node and gathers the layers."""

    def __init__(
        self, graph: fx.GraphModule, classifier: str, place: Callable[[str, bool], LayerPlace]
    ) -> None:
        self.layers: list[Layer] = []
        self._graph = graph
        self._classifier = classifier
        self._place = place
        self._views: dict[fx.Node, _View] = {}
        self._indices: dict[str, int] = {}  # of the layers, by name
        self._macs: list[int] = []  # of each layer alone

    def follow(self, node: fx.Node) -> None:
        """Take the next node in forward order."""
        module = module_of(node, self._graph)
        view = self._after(node, module)
        if isinstance(module, nn.Conv2d | nn.Linear) and _gives_units(node, module):
            index = self._indices.setdefault(str(node.target), len(self.layers))
            is_new = index == len(self.layers)
            if is_new:
                self._macs.append(_macs(node, module))
            view = dataclasses.replace(view, before=view.before | 1 << index, writers=1 << index)
            if is_new:
                self.layers.append(self._layer(node, module, view))
        self._views[node] = view

    def _after(self, node: fx.Node, module: nn.Module | None) -> _View:
        """What a node's output sees, from what its inputs see."""
        sources = [each for each in node.all_input_nodes if _gives_tensors(each)]
        if not sources or not _gives_tensors(node):
            return _View()
        widest = max((self._views[each] for each in sources), key=lambda view: view.size_px)
        # What is broadcast over a map does not decide its stride.
        longest_px = max(_side(each) for each in sources)
        stride_px = max(
            self._views[each].stride_px for each in sources if _side(each) == longest_px
        )
        window = _window(node, module)
        before = 0
        for each in sources:
            before |= self._views[each].before
        return _View(
            widest.size_px + (window.size - 1) * stride_px,
            stride_px * window.stride,
            widest.centre_px + ((window.size - 1) / 2 - window.padding) * stride_px,
            before,
            self._writers(node, module),
        )

    def _writers(self, node: fx.Node, module: nn.Module | None) -> int:
        tensors = [each for each in node.all_input_nodes if _shape(each)]
        mixed = isinstance(module, nn.ChannelShuffle) or (
            module is not None
            and not isinstance(module, CHANNELWISE)
            and any(True for _ in module.parameters())
        )
        joined = len(tensors) > 1 and operation_of(node, module) not in SUMS
        changed = any(_n_channels(each) != _n_channels(node) for each in tensors)
        if mixed or joined or changed:
            return 0
        writers = 0
        for each in tensors:
            writers |= self._views[each].writers
        return writers

    def _layer(self, node: fx.Node, module: nn.Conv2d | nn.Linear, view: _View) -> Layer:
        name = str(node.target)
        conv = module if isinstance(module, nn.Conv2d) else None
        place = self._place(name, conv is not None)
        read = self._views[node.all_input_nodes[0]].writers
        return Layer(
            name=name,
            index=len(self.layers),
            kind=self._kind(name, module),
            n_units=module.weight.shape[0],
            in_channels=conv.in_channels if conv else cast(nn.Linear, module).in_features,
            kernel=_pair(conv.kernel_size if conv else 1),
            stride=_pair(conv.stride if conv else 1),
            padding=_padding(conv) if conv else (0, 0),
            dilation=_pair(conv.dilation if conv else 1),
            groups=conv.groups if conv else 1,
            stage=place.stage,
            block=place.block,
            batch_norm=self._batch_norm_after(node),
            writers=tuple(self.layers[index].name for index in _members(read)),
            output_px=_map_px(node) or (1, 1),
            receptive_field_px=view.size_px,
            field_centre_px=view.centre_px,
            total_stride_px=view.stride_px,
            macs=sum(self._macs[index] for index in _members(view.before)),
        )

    def _kind(self, name: str, module: nn.Module) -> LayerKind:
        if isinstance(module, nn.Conv2d):
            return "conv"
        return "classifier" if name == self._classifier else "hidden"

    def _batch_norm_after(self, node: fx.Node) -> str | None:
        """The BatchNorm that alone reads a map, if it has statistics of its own."""
        users = list(node.users)
        norm = module_of(users[0], self._graph) if len(users) == 1 else None
        has_statistics = isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
        return str(users[0].target) if has_statistics else None


def _gives_units(node: fx.Node, module: nn.Conv2d | nn.Linear) -> bool:
    """Whether a channel or an output is a unit: of a linear layer over many positions it is not."""
    shape = _shape(node)
    return shape is not None and len(shape) == (4 if isinstance(module, nn.Conv2d) else 2)


def _window(node: fx.Node, module: nn.Module | None) -> _Window:
    if isinstance(module, nn.Conv2d):
        spans = [d * (k - 1) + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
        return _Window(max(spans), max(module.stride), max(_padding(module)))
    operation = operation_of(node, module)
    if operation in MAX_POOLS | AVERAGE_POOLS:
        window = _module_pool(module) if module else _function_pool(node)
        if window:
            return window
    return _window_by_size(node, is_pool=operation in ADAPTIVE_POOLS)


def _module_pool(pool: nn.Module) -> _Window:
    pool = cast("nn.MaxPool2d | nn.AvgPool2d", pool)
    dilation = max(_pair(pool.dilation)) if isinstance(pool, nn.MaxPool2d) else 1
    size = dilation * (max(_pair(pool.kernel_size)) - 1) + 1
    return _Window(size, max(_pair(pool.stride)), max(_pair(pool.padding)))


def _function_pool(node: fx.Node) -> _Window | None:
    """The window of a pooling that is called as a function; None where it depends on the input."""
    kernel = argument(node, 1, "kernel_size")
    stride = argument(node, 2, "stride") or kernel
    padding = argument(node, 3, "padding", 0)
    dilation = argument(node, 4, "dilation", 1) if operation_of(node, None) in MAX_POOLS else 1
    numbers = [*_flat(kernel), *_flat(stride), *_flat(padding), *_flat(dilation)]
    if not all(isinstance(number, int) for number in numbers):
        return None
    size = max(_pair(dilation)) * (max(_pair(kernel)) - 1) + 1
    return _Window(size, max(_pair(stride)), max(_pair(padding)))


def _window_by_size(node: fx.Node, is_pool: bool) -> _Window:
    """What a node without a kernel reads, told by how much smaller its output is than its input.

    What flattens or averages maps reads all of them.
    """
    n_in = max(_side(each) for each in node.all_input_nodes)
    n_out = _side(node)
    if n_in > 1 and n_out == 1 and _leaves_no_map(node):
        return _Window(n_in, n_in)
    if not is_pool or n_out >= n_in:
        return _Window()
    size = max(-(-(i + 1) * n_in // n_out) - i * n_in // n_out for i in range(n_out))
    return _Window(size, n_in // n_out)


def _leaves_no_map(node: fx.Node) -> bool:
    """Whether maps end here; where their sides change places with the channels they do not."""
    shape = _shape(node)
    n_in = max(source.numel() for each in node.all_input_nodes if (source := _shape(each)))
    return shape is not None and (len(shape) < 4 or shape.numel() < n_in)


def _padding(conv: nn.Conv2d) -> tuple[int, int]:
    if conv.padding == "valid":
        return 0, 0
    if conv.padding == "same":
        height, width = (
            d * (k - 1) // 2 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)
        )
        return height, width
    return _pair(cast("int | tuple[int, int]", conv.padding))


def _macs(node: fx.Node, module: nn.Conv2d | nn.Linear) -> int:
    height, width = _map_px(node) or (1, 1)
    return module.weight.numel() * height * width


def _members(layers: int) -> Iterator[int]:
    """The indices of a set of layers, in forward order."""
    while layers:
        lowest = layers & -layers
        yield lowest.bit_length() - 1
        layers ^= lowest


def _gives_tensors(node: fx.Node) -> bool:
    """Whether a node gives a tensor or several, and not a size or another number."""
    return "tensor_meta" in node.meta


def _shape(node: fx.Node) -> torch.Size | None:
    """Of the tensor that a node gives; None where it gives several, or something else."""
    meta = node.meta.get("tensor_meta")
    return meta.shape if isinstance(meta, TensorMetadata) else None


def _n_channels(node: fx.Node) -> int | None:
    shape = _shape(node)
    return shape[1] if shape and len(shape) > 1 else None


def _map_px(node: fx.Node) -> tuple[int, int] | None:
    """Height and width of the maps that a node gives; None where it gives no maps."""
    shape = _shape(node)
    return (shape[-2], shape[-1]) if shape and len(shape) >= 4 else None


def _side(node: fx.Node) -> int:
    """The longer side of a node's maps, 1 where it gives none."""
    return max(_map_px(node) or (1, 1))


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _flat(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
