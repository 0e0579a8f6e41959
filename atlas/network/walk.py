"""Walk a network's graph from the image onwards and describe every layer, in forward order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from atlas.families.family import LayerPlace
from atlas.memory import is_out_of_memory
from atlas.network.operators import (
    ADAPTIVE_POOLS,
    AVERAGE_POOLS,
    MAX_POOLS,
    SUMS,
    argument,
    module_of,
    operation_of,
    pair,
)
from atlas.units import Layer, LayerKind

OTHER_SIZE_PX = 64  # added to the input size to see which layers take images of other sizes
# Modules with weights that do not mix channels.
CHANNELWISE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d, nn.PReLU)


def walk(
    model: nn.Module, size_px: int, classifier: str, place: Callable[[str, bool], LayerPlace]
) -> tuple[Layer, ...]:
    """Descriptions of all convolutions and linear layers, in forward order.

    Receptive fields and strides are computed along the graph; where branches join, the larger
    one counts. Source: Araujo et al. 2019, https://distill.pub/2019/computing-receptive-fields/

    Linear layers are included if they give one vector per image. A layer that is called several
    times is described by its first call.

    Args:
        model: a network in evaluation mode that torch.fx can trace.
        size_px: side of the square images that map sizes and costs are given for.
        classifier: dotted name of the linear layer that gives the logits.
        place: gives the stage and block of a layer from its name and whether it is a convolution.
    """
    graph = fx.symbolic_trace(model)
    ShapeProp(graph).propagate(torch.zeros(1, 3, size_px, size_px))
    walker = _Walker(graph, classifier, place, _reached_at(graph, size_px + OTHER_SIZE_PX))
    for node in graph.graph.nodes:
        walker.follow(node)
    return tuple(walker.layers)


@dataclass(frozen=True)
class _View:
    """The receptive field of a node's output, and the layers that the output comes from.

    A set of layers is an integer with one bit per layer, by its index, so that the union of two
    sets takes one operation, however deep the network is.
    """

    size_px: int = 1
    stride_px: int = 1
    centre_px: float = 0.0  # of the receptive field of position 0
    before: int = 0  # set of all layers that it is computed from
    writers: int = 0  # set of the layers that wrote its channels; empty where channels were mixed


class _Window(NamedTuple):
    """The window that a node slides over its input map, the larger of its two directions."""

    size: int = 1
    stride: int = 1
    padding: int = 0


class _Walker:
    """Visits the nodes of a graph in forward order and collects the layers."""

    def __init__(
        self,
        graph: fx.GraphModule,
        classifier: str,
        place: Callable[[str, bool], LayerPlace],
        of_any_size: Container[str],
    ) -> None:
        self.layers: list[Layer] = []
        self._graph = graph
        self._classifier = classifier
        self._place = place
        self._of_any_size = of_any_size  # names of the layers that take images of other sizes
        self._views: dict[fx.Node, _View] = {}
        self._indices: dict[str, int] = {}  # indices of the layers, by name
        self._macs: list[int] = []  # multiply-accumulates of each layer alone

    def follow(self, node: fx.Node) -> None:
        """Visit the next node in forward order."""
        module = module_of(node, self._graph)
        view = self._view_after(node, module)
        if isinstance(module, nn.Conv2d | nn.Linear) and _gives_units(node, module):
            index = self._indices.setdefault(str(node.target), len(self.layers))
            is_new = index == len(self.layers)
            if is_new:
                self._macs.append(_macs(node, module))
            view = dataclasses.replace(view, before=view.before | 1 << index, writers=1 << index)
            if is_new:
                self.layers.append(self._layer(node, module, view))
        self._views[node] = view

    def _view_after(self, node: fx.Node, module: nn.Module | None) -> _View:
        """The view of a node's output, from the views of its inputs."""
        sources = [each for each in node.all_input_nodes if _gives_tensors(each)]
        if not sources or not _gives_tensors(node):
            return _View()
        widest = max((self._views[each] for each in sources), key=lambda view: view.size_px)
        # Smaller inputs, which are broadcast over the largest map, do not decide the stride.
        longest_px = max(_longer_side(each) for each in sources)
        stride_px = max(
            self._views[each].stride_px for each in sources if _longer_side(each) == longest_px
        )
        window = _window(node, module)
        before = 0
        for source in sources:
            before |= self._views[source].before
        return _View(
            widest.size_px + (window.size - 1) * stride_px,
            stride_px * window.stride,
            widest.centre_px + ((window.size - 1) / 2 - window.padding) * stride_px,
            before,
            self._writers(node, module),
        )

    def _writers(self, node: fx.Node, module: nn.Module | None) -> int:
        """The layers that wrote the channels of a node's output, as a set like in `_View`."""
        inputs = [each for each in node.all_input_nodes if _shape(each)]
        mixes_channels = isinstance(module, nn.ChannelShuffle) or (
            module is not None
            and not isinstance(module, CHANNELWISE)
            and any(True for _ in module.parameters())
        )
        joins_inputs = len(inputs) > 1 and operation_of(node, module) not in SUMS
        changes_channels = any(_n_channels(each) != _n_channels(node) for each in inputs)
        if mixes_channels or joins_inputs or changes_channels:
            return 0
        writers = 0
        for input_node in inputs:
            writers |= self._views[input_node].writers
        return writers

    def _layer(self, node: fx.Node, module: nn.Conv2d | nn.Linear, view: _View) -> Layer:
        name = str(node.target)
        conv = module if isinstance(module, nn.Conv2d) else None
        place = self._place(name, conv is not None)
        input_writers = self._views[node.all_input_nodes[0]].writers
        return Layer(
            name=name,
            index=len(self.layers),
            kind=self._kind(name, module),
            n_units=module.weight.shape[0],
            in_channels=conv.in_channels if conv else cast(nn.Linear, module).in_features,
            kernel=pair(conv.kernel_size if conv else 1),
            stride=pair(conv.stride if conv else 1),
            padding=_padding(conv) if conv else (0, 0),
            dilation=pair(conv.dilation if conv else 1),
            groups=conv.groups if conv else 1,
            stage=place.stage,
            block=place.block,
            batch_norm=self._batch_norm_after(node),
            writers=tuple(self.layers[index].name for index in _layer_indices(input_writers)),
            output_px=_map_px(node) or (1, 1),
            receptive_field_px=view.size_px,
            field_centre_px=view.centre_px,
            total_stride_px=view.stride_px,
            macs=sum(self._macs[index] for index in _layer_indices(view.before)),
            takes_one_size=name not in self._of_any_size,
        )

    def _kind(self, name: str, module: nn.Module) -> LayerKind:
        if isinstance(module, nn.Conv2d):
            return "conv"
        return "classifier" if name == self._classifier else "hidden"

    def _batch_norm_after(self, node: fx.Node) -> str | None:
        """Name of the BatchNorm that is the only user of a node, if it has running statistics."""
        users = list(node.users)
        norm = module_of(users[0], self._graph) if len(users) == 1 else None
        has_statistics = isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
        return str(users[0].target) if has_statistics else None


class _Reaching(fx.Interpreter):
    """Runs a graph and remembers the targets of the nodes that could be computed."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.reached: set[str] = set()

    def run_node(self, n: fx.Node) -> Any:
        """Compute one node."""
        output = super().run_node(n)
        self.reached.add(str(n.target))
        return output


def _reached_at(graph: fx.GraphModule, size_px: int) -> set[str]:
    """Targets of the nodes that can be computed for an image of a certain size.

    A linear layer that reads a flattened map, for example, fits one size of the map only.
    """
    interpreter = _Reaching(graph)
    interpreter.extra_traceback = False
    try:
        with torch.inference_mode():
            interpreter.run(torch.zeros(1, 3, size_px, size_px))
    except (RuntimeError, ValueError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
    return interpreter.reached


def _gives_units(node: fx.Node, module: nn.Conv2d | nn.Linear) -> bool:
    """Whether a layer has units; a linear layer that is applied at many positions has none."""
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
    dilation = max(pair(pool.dilation)) if isinstance(pool, nn.MaxPool2d) else 1
    size = dilation * (max(pair(pool.kernel_size)) - 1) + 1
    return _Window(size, max(pair(pool.stride)), max(pair(pool.padding)))


def _function_pool(node: fx.Node) -> _Window | None:
    """The window of a pooling function; None if it depends on the input."""
    kernel = argument(node, 1, "kernel_size")
    stride = argument(node, 2, "stride") or kernel
    padding = argument(node, 3, "padding", 0)
    dilation = argument(node, 4, "dilation", 1) if operation_of(node, None) in MAX_POOLS else 1
    numbers = [*_as_tuple(kernel), *_as_tuple(stride), *_as_tuple(padding), *_as_tuple(dilation)]
    if not all(isinstance(number, int) for number in numbers):
        return None
    size = max(pair(dilation)) * (max(pair(kernel)) - 1) + 1
    return _Window(size, max(pair(stride)), max(pair(padding)))


def _window_by_size(node: fx.Node, is_pool: bool) -> _Window:
    """The window of a node without a kernel, derived from the sizes of its input and output.

    A node that flattens or averages maps reads all their positions.
    """
    n_in = max(_longer_side(each) for each in node.all_input_nodes)
    n_out = _longer_side(node)
    if n_in > 1 and n_out == 1 and _leaves_no_map(node):
        return _Window(n_in, n_in)
    if not is_pool or n_out >= n_in:
        return _Window()
    size = max(-(-(i + 1) * n_in // n_out) - i * n_in // n_out for i in range(n_out))
    return _Window(size, n_in // n_out)


def _leaves_no_map(node: fx.Node) -> bool:
    """Whether a node flattens or shrinks maps, rather than moving their sides to other dims."""
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
    return pair(cast("int | tuple[int, int]", conv.padding))


def _macs(node: fx.Node, module: nn.Conv2d | nn.Linear) -> int:
    height, width = _map_px(node) or (1, 1)
    return module.weight.numel() * height * width


def _layer_indices(layers: int) -> Iterator[int]:
    """The indices of the layers in a set, in forward order."""
    while layers:
        lowest = layers & -layers
        yield lowest.bit_length() - 1
        layers ^= lowest


def _gives_tensors(node: fx.Node) -> bool:
    """Whether a node gives one or several tensors, rather than a size or another number."""
    return "tensor_meta" in node.meta


def _shape(node: fx.Node) -> torch.Size | None:
    """The shape of the tensor that a node gives; None if it gives several or something else."""
    meta = node.meta.get("tensor_meta")
    return meta.shape if isinstance(meta, TensorMetadata) else None


def _n_channels(node: fx.Node) -> int | None:
    shape = _shape(node)
    return shape[1] if shape and len(shape) > 1 else None


def _map_px(node: fx.Node) -> tuple[int, int] | None:
    """Height and width of the maps that a node gives; None if it gives no maps."""
    shape = _shape(node)
    return (shape[-2], shape[-1]) if shape and len(shape) >= 4 else None


def _longer_side(node: fx.Node) -> int:
    """The longer side of a node's maps; 1 if it gives none."""
    return max(_map_px(node) or (1, 1))


def _as_tuple(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
