"""Walk a network's graph from the image onwards and describe every layer, in forward order."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import fx, nn

from atlas.console import say_line
from atlas.families.family import LayerPlace
from atlas.memory import is_out_of_memory
from atlas.network.hooks import describe, other_sizes_px
from atlas.network.operators import (
    ADAPTIVE_POOLS,
    AVERAGE_POOLS,
    BOUNDED,
    CONCATENATIONS,
    MAX_POOLS,
    PADS,
    PRODUCTS,
    REARRANGEMENTS,
    SHAPED_LIKE,
    SUMS,
    argument,
    module_of,
    operation_of,
    operator_of,
    pair,
)
from atlas.network.outputs import classifier_of, logits_of, shape_of
from atlas.network.places import Junction, Spot, places
from atlas.network.tracing import UntraceableError, on_meta, trace
from atlas.network.weighting import Weighting, weighting
from atlas.units import Layer, LayerKind, Merge

SIZE_STEP_PX = 16  # of the sizes that are tried for the smallest one
# Positions by which interpolations reach further to either side than the nearest one does.
INTERPOLATED = {"bilinear": 0.5, "bicubic": 1.5}
# Modules with weights that do not mix channels.
CHANNELWISE = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.InstanceNorm2d,
    nn.PReLU,
)

Place = Callable[[str, bool], LayerPlace]


def walk(
    model: nn.Module,
    size_px: int,
    classifier: str | None = None,
    place: Place | None = None,
    n_channels: int = 3,
) -> tuple[Layer, ...]:
    """Descriptions of all convolutions and linear layers, in forward order.

    Receptive fields and strides are computed along the graph; where branches join, the smallest
    field that holds those of all branches counts. A gate, whose one number multiplies a whole map,
    reads the whole image and is left out of the fields of what it multiplies. Source: Araujo et al.
    2019, https://distill.pub/2019/computing-receptive-fields/

    Linear layers are included if they give one vector per image, or one at every position of a map.
    A layer that is called several times is described by its first call. A network that torch.fx
    cannot trace is described without its connections.

    Args:
        model: a network in evaluation mode.
        size_px: side of the square images that map sizes and costs are given for.
        classifier: dotted name of the layer that gives the logits, empty if there is none; None to
            find it in the graph.
        place: gives the stage and block of a layer from its name and whether it is a convolution;
            None to find them in the graph.
        n_channels: channels of the images.
    """
    try:
        traced = trace(model, n_channels, size_px)
    except UntraceableError as error:
        say_line(
            f"{error}; it is read through hooks, which is slower, and its connections and "
            "receptive fields are not known"
        )
        return describe(model, size_px, classifier, place, n_channels)
    if classifier is None:
        classifier = classifier_of(traced) or ""
    weightless = on_meta(traced)
    walker = _Walker(traced, weightless, classifier)
    for node in traced.graph.nodes:
        walker.follow(node)
    layers = _with_sizes(walker.finished(), weightless, n_channels, size_px)
    classes = {name: type(module).__name__ for name, module in model.named_modules()}
    return _placed(layers, place, walker.junctions, classes)


@dataclass(frozen=True)
class _View:
    """What a node's output is computed from.

    A set of layers, or of calls of layers, is an integer with one bit for each, by its index, so
    that the union of two sets takes one operation, however deep the network is.
    """

    low_px: float = 0.0  # the first pixel in the receptive field of position 0
    high_px: float = 0.0  # the last one
    stride_px: float = 1.0
    calls: int = 0  # set of all calls of layers before
    inputs: int = 0  # set of the layers before with no layer between
    merge: Merge = ""  # how these are joined
    gates: int = 0  # set of the layers whose output multiplies them
    writers: int = 0  # set of the layers that wrote its channels; empty where channels were mixed
    channel_dim: int = 1
    is_bounded: bool = False  # whether its values are limited, as those of a sigmoid are


class _Window(NamedTuple):
    """The window that a node slides over its input map, the larger of its two directions."""

    size: int = 1
    stride: int = 1
    padding: int = 0


class _Walker:
    """Visits the nodes of a graph in forward order and collects the layers."""

    def __init__(self, traced: fx.GraphModule, weightless: fx.GraphModule, classifier: str) -> None:
        self.layers: list[Layer] = []
        self.junctions: list[Junction] = []
        self._traced = traced
        self._weightless = weightless  # its layers are run to see what they do
        self._classifier = classifier
        names = {str(node.target) for node in traced.graph.nodes if node.op == "call_module"}
        self._logits = logits_of(traced, classifier) if classifier in names else None
        self._views: dict[fx.Node, _View] = {}
        self._of_image: set[fx.Node] = set()  # nodes that depend on the image
        self._indices: dict[str, int] = {}  # indices of the layers, by name
        self._called: list[tuple[int, int]] = []  # of each call, the layer and its own MACs

    def follow(self, node: fx.Node) -> None:
        """Visit the next node in forward order."""
        module = module_of(node, self._traced)
        if node.op == "placeholder" or any(map(self._of_image.__contains__, node.all_input_nodes)):
            self._of_image.add(node)
        if isinstance(module, nn.Conv2d | nn.Linear) and _kind(node, module, self._views):
            self._views[node] = self._after_layer(node, module)
        else:
            self._views[node] = self._after(node, module)
        if node is self._logits and node.target != self._classifier:
            self._pool_classifier(node)

    def finished(self) -> tuple[Layer, ...]:
        """The layers in forward order."""
        return tuple(self.layers)

    def _after_layer(self, node: fx.Node, module: nn.Conv2d | nn.Linear) -> _View:
        """The view of a layer's output; the layer is described if this is its first call."""
        source = self._views[node.all_input_nodes[0]]
        twin = self._weightless.get_submodule(str(node.target))
        applied = weighting(twin, cast(torch.Size, shape_of(node.all_input_nodes[0])))
        index = self._indices.setdefault(str(node.target), len(self._indices))
        n_positions = math.prod(_map_px(node, source.channel_dim) or (1, 1))
        call = 1 << len(self._called)
        self._called.append((index, applied.weight.numel() * n_positions))
        view = _slid(source, _window_of(applied))
        view = _View(
            *(view.low_px, view.high_px, view.stride_px),
            calls=source.calls | call,
            inputs=1 << index,
            writers=1 << index,
            channel_dim=source.channel_dim if isinstance(module, nn.Linear) else 1,
        )
        if index == len(self.layers):
            self.layers.append(self._layer(node, module, applied, source, view))
        return view

    def _after(self, node: fx.Node, module: nn.Module | None) -> _View:
        """The view of another node's output, from the views of its inputs."""
        sources = self._sources(node)
        if not sources or not _gives_tensors(node):
            return _View()
        operation = operation_of(node, module)
        views = [self._views[each] for each in sources]
        view = self._joined(node, sources, views, operation)
        view = _slid(view, _window(node, module, sources[0], view))
        view = _rescaled(view, node, module, sources[0])
        return dataclasses.replace(
            view,
            writers=self._writers(node, module, sources, view),
            channel_dim=_channel_dim(node, sources[0], view),
            is_bounded=operation in BOUNDED or (view.is_bounded and operation in REARRANGEMENTS),
        )

    def _sources(self, node: fx.Node) -> list[fx.Node]:
        """The inputs of a node that are computed from the image."""
        inputs = node.all_input_nodes
        if operation_of(node, None) in SHAPED_LIKE:
            inputs = inputs[:1]
        return [each for each in inputs if each in self._of_image and _gives_tensors(each)]

    def _joined(
        self, node: fx.Node, sources: Sequence[fx.Node], views: Sequence[_View], operation: Any
    ) -> _View:
        """The view of several inputs together, before anything is slid over them."""
        if len({view.inputs for view in views}) == 1:
            return self._united(sources, views, "")
        if operation not in PRODUCTS:
            merge = _merge_of(operation)
            if merge != "mixed":
                self.junctions.append(self._junction(node, views))
            return self._united(sources, views, merge)
        gate = _gate(sources, views)
        if gate is None:
            return self._united(sources, views, "product")
        main = views[1 - gate]
        return dataclasses.replace(
            main,
            calls=main.calls | views[gate].calls,
            gates=main.gates | views[gate].inputs,
        )

    def _united(self, sources: Sequence[fx.Node], views: Sequence[_View], merge: Merge) -> _View:
        # Smaller inputs, which are broadcast over the largest map, do not decide the stride.
        longest_px = max(
            _longer_side(source, view) for source, view in zip(sources, views, strict=True)
        )
        wide = [
            view
            for source, view in zip(sources, views, strict=True)
            if _longer_side(source, view) == longest_px
        ]
        merges = {view.merge for view in views} - {""} | ({merge} - {""})
        return _View(
            low_px=min(view.low_px for view in views),
            high_px=max(view.high_px for view in views),
            stride_px=max(view.stride_px for view in wide),
            calls=_union(view.calls for view in views),
            inputs=_union(view.inputs for view in views),
            merge=cast(Merge, "mixed" if len(merges) > 1 else next(iter(merges), "")),
            gates=_union(view.gates for view in views),
            channel_dim=wide[0].channel_dim,
            is_bounded=all(view.is_bounded for view in views),
        )

    def _junction(self, node: fx.Node, views: Sequence[_View]) -> Junction:
        """Where branches join: the layers before some of a node's inputs and not before all."""
        shared = -1
        for view in views:
            shared &= view.calls
        branches = _union(view.calls for view in views) & ~shared
        layers = dict.fromkeys(self._called[call][0] for call in _bits(branches))
        names = tuple(self.layers[index].name for index in layers)
        return Junction(_module_around(node), names)

    def _writers(
        self,
        node: fx.Node,
        module: nn.Module | None,
        sources: Sequence[fx.Node],
        view: _View,
    ) -> int:
        """The layers that wrote the channels of a node's output, as a set like in `_View`."""
        operation = operation_of(node, module)
        mixes_channels = (
            module is not None
            and not isinstance(module, CHANNELWISE)
            and any(True for _ in module.parameters())
        )
        views = [self._views[each] for each in sources]
        if mixes_channels or _moves_positions(node, sources[0], views[0], view):
            return 0
        if operation in PRODUCTS and len(sources) > 1:
            gate = _gate(sources, views)
            same = len({each.inputs for each in views}) == 1
            return views[0].writers if same else 0 if gate is None else views[1 - gate].writers
        joins = len(sources) > 1 and operation not in SUMS | CONCATENATIONS
        changes_channels = operation not in REARRANGEMENTS | CONCATENATIONS and any(
            _n_channels(each, self._views[each]) != _n_channels(node, view) for each in sources
        )
        return 0 if joins or changes_channels else _union(each.writers for each in views)

    def _layer(
        self,
        node: fx.Node,
        module: nn.Conv2d | nn.Linear,
        applied: Weighting,
        source: _View,
        view: _View,
    ) -> Layer:
        name = str(node.target)
        kind = "classifier" if name == self._classifier else _kind(node, module, self._views)
        return Layer(
            name=name,
            index=len(self.layers),
            kind=cast(LayerKind, kind),
            **applied.layer_facts,
            stage="",
            block=None,
            batch_norm=self._batch_norm_after(node),
            writers=self._names(source.writers),
            output_px=_map_px(node, view.channel_dim) or (1, 1),
            **_field(view),
            macs=sum(self._called[call][1] for call in _bits(view.calls)),
            inputs=self._names(source.inputs),
            merge=source.merge,
            gates=self._names(source.gates),
        )

    def _pool_classifier(self, node: fx.Node) -> None:
        """Describe the classifier, a convolution, as what is read of it: one number per unit."""
        index = self._indices[self._classifier]
        self.layers[index] = dataclasses.replace(
            self.layers[index], output_px=(1, 1), **_field(self._views[node])
        )

    def _names(self, layers: int) -> tuple[str, ...]:
        return tuple(self.layers[index].name for index in _bits(layers))

    def _batch_norm_after(self, node: fx.Node) -> str | None:
        """Name of the BatchNorm that is the only user of a node, if it has running statistics."""
        users = list(node.users)
        norm = module_of(users[0], self._traced) if len(users) == 1 else None
        has_statistics = isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
        return str(users[0].target) if has_statistics else None


def _placed(
    layers: Sequence[Layer],
    place: Place | None,
    junctions: Sequence[Junction],
    classes: dict[str, str],
) -> tuple[Layer, ...]:
    """The layers with their stages and blocks."""
    if place:
        found = tuple(place(layer.name, layer.is_conv) for layer in layers)
    else:
        found = places([_spot(layer) for layer in layers], junctions, classes)
    return tuple(
        dataclasses.replace(layer, stage=each.stage, block=each.block)
        for layer, each in zip(layers, found, strict=True)
    )


def _spot(layer: Layer) -> Spot:
    return Spot(layer.name, layer.output_px if layer.has_maps else None, layer.is_classifier)


def _with_sizes(
    layers: Sequence[Layer], weightless: fx.GraphModule, n_channels: int, size_px: int
) -> list[Layer]:
    """The layers with the sizes of images that they can be computed for."""

    def reached(px: int) -> set[str]:
        return _reached_at(weightless, (1, n_channels, px, px))

    of_any_size = set.intersection(*map(reached, other_sizes_px(size_px)))
    smallest_px: dict[str, int] = {}
    for px in (1, *range(SIZE_STEP_PX, size_px, SIZE_STEP_PX)):
        if of_any_size.issubset(smallest_px):
            break
        smallest_px |= {name: px for name in reached(px) if name not in smallest_px}
    return [
        dataclasses.replace(
            layer,
            takes_one_size=layer.name not in of_any_size,
            smallest_px=smallest_px.get(layer.name, size_px),
        )
        for layer in layers
    ]


class _Reaching(fx.Interpreter):
    """Runs a graph and remembers the targets of the nodes that could be computed."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.reached: set[str] = set()

    def run_node(self, n: fx.Node) -> Any:
        """Compute one node."""
        output = super().run_node(n)
        self.reached.add(str(n.target))
        return output


def _reached_at(weightless: fx.GraphModule, shape: Sequence[int]) -> set[str]:
    """Targets of the nodes that can be computed for images of a certain shape.

    A linear layer that reads a flattened map, for example, fits one size of the map only.
    """
    interpreter = _Reaching(weightless)
    interpreter.extra_traceback = False
    try:
        with torch.inference_mode(), torch.device("meta"):
            interpreter.run(torch.empty(tuple(shape)))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        if is_out_of_memory(error):
            raise
    return interpreter.reached


def _kind(
    node: fx.Node, module: nn.Conv2d | nn.Linear, views: dict[fx.Node, _View]
) -> LayerKind | None:
    """The kind of a layer; None if its outputs are neither maps nor one vector per image."""
    shape = shape_of(node)
    if shape is None or isinstance(module, nn.Conv2d):
        return "conv" if shape and len(shape) == 4 else None
    if len(shape) == 4 and views[node.all_input_nodes[0]].channel_dim == 3:
        return "pointwise"
    return "hidden" if len(shape) == 2 else None


def _field(view: _View) -> dict[str, Any]:
    """The facts of a layer about receptive fields, from the view of its output."""
    return {
        "receptive_field_px": round(view.high_px - view.low_px) + 1,
        "field_centre_px": (view.low_px + view.high_px) / 2,
        "total_stride_px": max(1, round(view.stride_px)),
    }


def _slid(view: _View, window: _Window) -> _View:
    """The view after a window has been slid over a map."""
    return dataclasses.replace(
        view,
        low_px=view.low_px - window.padding * view.stride_px,
        high_px=view.high_px + (window.size - 1 - window.padding) * view.stride_px,
        stride_px=view.stride_px * window.stride,
    )


def _rescaled(view: _View, node: fx.Node, module: nn.Module | None, source: fx.Node) -> _View:
    """The view after a node has enlarged maps, or made them smaller by interpolation.

    With maps that are `scale` times as large, position p is at (p + 1/2) / scale - 1/2 of the maps
    before, and sees what is nearest there, or what an interpolation or a kernel reaches. How far
    that is away differs from position to position; the field here holds all of it.
    """
    operation = operator_of(node, module)
    is_transposed = isinstance(module, nn.ConvTranspose2d)
    if operation.role != "resize" and not is_transposed:
        return view
    scale = _longer_side(node, view) / _longer_side(source, view)
    reach = max(0.0, 0.5 - 0.5 / scale)
    shift = -reach  # of a position that sees one position
    if is_transposed:
        window = cast(Any, module)
        reach = max(window.dilation) * (max(window.kernel_size) - 1) / 2 / scale
        shift = max(window.padding) / scale - reach
    elif further := INTERPOLATED.get(_mode(node, module)):
        shift, reach = 0.5 / scale - 0.5, reach + further
    return dataclasses.replace(
        view,
        low_px=view.low_px + (shift - reach) * view.stride_px,
        high_px=view.high_px + (shift + reach) * view.stride_px,
        stride_px=view.stride_px / scale,
    )


def _mode(node: fx.Node, module: nn.Module | None) -> str:
    """The interpolation of a node that resizes maps."""
    return str(module.mode if module else argument(node, 3, "mode", "nearest"))


def _gate(sources: Sequence[fx.Node], views: Sequence[_View]) -> int | None:
    """Which of two factors is a gate: that with fewer positions, else that with limited values."""
    if len(sources) != 2:
        return None
    sides = [_longer_side(each, view) for each, view in zip(sources, views, strict=True)]
    if sides[0] != sides[1]:
        return sides.index(min(sides))
    bounded = [view.is_bounded for view in views]
    return bounded.index(True) if sum(bounded) == 1 else None


def _merge_of(operation: Any) -> Merge:
    return "sum" if operation in SUMS else "concat" if operation in CONCATENATIONS else "mixed"


def _module_around(node: fx.Node) -> str:
    """The dotted name of the innermost module whose code a node is in."""
    stack = node.meta.get("nn_module_stack") or {}
    return str([path for path, _ in stack.values()][-1]) if stack else ""


def _window_of(applied: Weighting) -> _Window:
    if applied.weight.ndim == 2:
        return _Window()
    spans = [d * (k - 1) + 1 for k, d in zip(applied.kernel, applied.dilation, strict=True)]
    return _Window(max(spans), max(applied.stride), max(applied.padding))


def _window(node: fx.Node, module: nn.Module | None, source: fx.Node, view: _View) -> _Window:
    operation = operation_of(node, module)
    if operation in MAX_POOLS | AVERAGE_POOLS:
        window = _module_pool(module) if module else _function_pool(node)
        if window:
            return window
    if operation in PADS:
        return _Window(padding=_pad_before(node, module))
    return _window_by_size(node, source, view, is_pool=operation in ADAPTIVE_POOLS)


def _pad_before(node: fx.Node, module: nn.Module | None) -> int:
    """Rows and columns that a padding adds above and to the left, the larger of the two."""
    widths = cast(Any, module).padding if module else argument(node, 1, "pad", ())
    widths = widths if isinstance(widths, list | tuple) else (widths,) * 4
    numbers = [width for width in widths[:4:2] if isinstance(width, int)]
    return max(numbers, key=abs, default=0)


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


def _window_by_size(node: fx.Node, source: fx.Node, view: _View, is_pool: bool) -> _Window:
    """The window of a node without a kernel, derived from the sizes of its input and output.

    A node that flattens or averages maps reads all their positions.
    """
    n_in, n_out = _longer_side(source, view), _longer_side(node, view)
    if n_in > 1 and n_out == 1 and _leaves_no_map(node, source):
        return _Window(n_in, n_in)
    if not is_pool or n_out >= n_in:
        return _Window()
    size = max(-(-(i + 1) * n_in // n_out) - i * n_in // n_out for i in range(n_out))
    return _Window(size, n_in // n_out)


def _leaves_no_map(node: fx.Node, source: fx.Node) -> bool:
    """Whether a node flattens or shrinks maps, rather than moving their sides to other dims."""
    shape, before = shape_of(node), shape_of(source)
    return shape is not None and (
        len(shape) < 4 or (before is not None and shape.numel() < before.numel())
    )


def _moves_positions(node: fx.Node, source: fx.Node, view: _View, view_after: _View) -> bool:
    """Whether a node makes channels of positions, or positions of channels."""
    shape, before = shape_of(node), shape_of(source)
    if shape is None or before is None or shape.numel() != before.numel():
        return False
    return _longer_side(source, view) != _longer_side(node, view_after)


def _channel_dim(node: fx.Node, source: fx.Node, view: _View) -> int:
    """The dimension of a node's output that has the channels."""
    shape, before = shape_of(node), shape_of(source)
    if shape is None or before is None:  # several tensors, such as the chunks of one
        return view.channel_dim
    if len(shape) != len(before):
        return 1
    dims = _permuted_dims(node, len(shape))
    return dims.index(view.channel_dim) if dims else view.channel_dim


def _permuted_dims(node: fx.Node, n_dims: int) -> list[int]:
    """The order in which a node puts the dimensions of its input; empty if it leaves them."""
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    rest = node.args[1:] or tuple(node.kwargs.values())
    given = [each for part in rest for each in _as_tuple(part)]
    if not all(isinstance(each, int) for each in given):
        return []
    dims = [cast(int, each) % n_dims for each in given]
    if name == "permute" and len(dims) == n_dims:
        return dims
    if name in ("transpose", "swapaxes") and len(dims) == 2:
        swap = {dims[0]: dims[1], dims[1]: dims[0]}
        return [swap.get(dim, dim) for dim in range(n_dims)]
    return []


def _bits(numbers: int) -> Iterator[int]:
    """The numbers in a set, in order."""
    while numbers:
        lowest = numbers & -numbers
        yield lowest.bit_length() - 1
        numbers ^= lowest


def _union(sets: Iterator[int]) -> int:
    union = 0
    for each in sets:
        union |= each
    return union


def _gives_tensors(node: fx.Node) -> bool:
    """Whether a node gives one or several tensors, rather than a size or another number."""
    return "tensor_meta" in node.meta


def _n_channels(node: fx.Node, view: _View) -> int | None:
    shape = shape_of(node)
    return shape[view.channel_dim] if shape and len(shape) > view.channel_dim else None


def _map_px(node: fx.Node, channel_dim: int) -> tuple[int, int] | None:
    """Height and width of the maps that a node gives; None if it gives no maps."""
    shape = shape_of(node)
    if not shape or len(shape) < 4:
        return None
    return (shape[1], shape[2]) if channel_dim == len(shape) - 1 else (shape[-2], shape[-1])


def _longer_side(node: fx.Node, view: _View) -> int:
    """The longer side of a node's maps; 1 if it gives none."""
    return max(_map_px(node, view.channel_dim) or (1, 1))


def _as_tuple(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
