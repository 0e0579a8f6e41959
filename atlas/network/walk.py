"""Walk a network's graph from the image onwards and describe every layer, in forward order."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import fx, nn

from atlas.console import say_line
from atlas.failures import takes_one_image
from atlas.families.family import LayerPlace
from atlas.memory import is_out_of_memory
from atlas.network.fields import (
    IMAGE,
    Spans,
    after,
    after_layer,
    field_facts,
    map_px,
    permuted_dims,
    sides_of,
    united,
)
from atlas.network.hooks import describe, other_sizes_px
from atlas.network.operators import (
    BOUNDED,
    CONCATENATIONS,
    PRODUCTS,
    REARRANGEMENTS,
    SHAPED_LIKE,
    SUMS,
    module_of,
    operation_of,
)
from atlas.network.outputs import classifier_of, logits_of, shape_of
from atlas.network.places import Junction, Spot, places
from atlas.network.tracing import UntraceableError, trace
from atlas.network.weighting import Weighting, weighting
from atlas.network.weightless import Weightless, without_contents
from atlas.units import Layer, LayerKind, Merge

SIZE_STEP_PX = 16  # of the sizes that are tried for the smallest one
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

    Receptive fields and strides are computed along the graph (`fields.py`); where branches join,
    the smallest field that holds those of all branches counts. A gate, whose one number multiplies
    a whole map, reads the whole image and is left out of the fields of what it multiplies.

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
    return walk_and_trace(model, size_px, classifier, place, n_channels)[0]


def walk_and_trace(
    model: nn.Module,
    size_px: int,
    classifier: str | None = None,
    place: Place | None = None,
    n_channels: int = 3,
) -> tuple[tuple[Layer, ...], fx.GraphModule | None]:
    """The layers as `walk` describes them, and the graph, as `trace` gives it, if there is one."""
    try:
        traced = trace(model, n_channels, size_px)
    except UntraceableError as error:
        layers = describe(model, size_px, classifier, place, n_channels)
        say_line(
            f"{error}; it is read through hooks, which is slower, and its connections and "
            "receptive fields are not known"
        )
        return layers, None
    if classifier is None:
        classifier = classifier_of(traced) or ""
    weightless = Weightless(traced)
    walker = _Walker(traced, weightless, classifier)
    for node in traced.graph.nodes:
        walker.follow(node)
    described = _with_sizes(walker.finished(), weightless, n_channels, size_px)
    classes = {name: type(module).__name__ for name, module in model.named_modules()}
    return _placed(described, place, walker.junctions, classes), traced


def class_layer(model: nn.Module, size_px: int, n_channels: int = 3) -> str:
    """Dotted name of the layer whose units are the classes, as `walk` finds it; empty if none is.

    Args:
        model: a network in evaluation mode.
        size_px: side of the square images that it is traced or run for.
        n_channels: channels of the images.

    Raises:
        NetworkError: the network cannot be run on such images.
    """
    try:
        return classifier_of(trace(model, n_channels, size_px)) or ""
    except UntraceableError:
        layers = describe(model, size_px, None, None, n_channels)
        return next((layer.name for layer in layers if layer.is_classifier), "")


@dataclass(frozen=True)
class _View:
    """What a node's output is computed from.

    A set of layers, or of calls of layers, is an integer with one bit for each, by its index, so
    that the union of two sets takes one operation, however deep the network is.
    """

    spans: Spans = IMAGE  # what its positions see of the image
    calls: int = 0  # set of all calls of layers before
    inputs: int = 0  # set of the layers before with no layer between
    merge: Merge = ""  # how these are joined
    gates: int = 0  # set of the layers whose output multiplies them
    writers: int = 0  # set of the layers that wrote its channels; empty where channels were mixed
    channel_dim: int = 1
    is_bounded: bool = False  # whether its values are limited, as those of a sigmoid are


class _Walker:
    """Visits the nodes of a graph in forward order and collects the layers."""

    def __init__(self, traced: fx.GraphModule, weightless: Weightless, classifier: str) -> None:
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
        n_calls = Counter(index for index, _ in self._called)
        return tuple(
            dataclasses.replace(layer, n_calls=n_calls[layer.index]) for layer in self.layers
        )

    def _after_layer(self, node: fx.Node, module: nn.Conv2d | nn.Linear) -> _View:
        """The view of a layer's output; the layer is described if this is its first call."""
        source = self._views[node.all_input_nodes[0]]
        twin = self._weightless.get_submodule(str(node.target))
        applied = weighting(twin, cast(torch.Size, shape_of(node.all_input_nodes[0])))
        index = self._indices.setdefault(str(node.target), len(self._indices))
        n_positions = math.prod(map_px(node, source.channel_dim) or (1, 1))
        call = 1 << len(self._called)
        self._called.append((index, applied.weight.numel() * n_positions))
        view = _View(
            after_layer(source.spans, applied),
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
        return dataclasses.replace(
            view,
            spans=after(view.spans, node, module, sources[0], view.channel_dim),
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
        sides = [
            sides_of(each, view.channel_dim) for each, view in zip(sources, views, strict=True)
        ]
        widest = max(range(len(views)), key=lambda position: max(sides[position]))
        merges = {view.merge for view in views} - {""} | ({merge} - {""})
        return _View(
            spans=united([view.spans for view in views], sides),
            calls=_union(view.calls for view in views),
            inputs=_union(view.inputs for view in views),
            merge=cast(Merge, "mixed" if len(merges) > 1 else next(iter(merges), "")),
            gates=_union(view.gates for view in views),
            channel_dim=views[widest].channel_dim,
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
        are_known = all(each.writers for each in views)
        is_wanted = are_known and not joins and not changes_channels
        return _union(each.writers for each in views) if is_wanted else 0

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
            output_px=map_px(node, view.channel_dim) or (1, 1),
            **field_facts(view.spans),
            macs=sum(self._called[call][1] for call in _bits(view.calls)),
            inputs=self._names(source.inputs),
            merge=source.merge,
            gates=self._names(source.gates),
        )

    def _pool_classifier(self, node: fx.Node) -> None:
        """Describe the classifier, a convolution, as what is read of it: one number per unit."""
        index = self._indices[self._classifier]
        self.layers[index] = dataclasses.replace(
            self.layers[index], output_px=(1, 1), **field_facts(self._views[node].spans)
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
    layers: Sequence[Layer], weightless: Weightless, n_channels: int, size_px: int
) -> list[Layer]:
    """The layers with the sizes of images that they can be computed for.

    Raises:
        NetworkError: a layer that is computed for one image is not computed for two.
    """

    # Two images, so that networks for one image at a time are found as well.
    def reached(px: int, n_images: int = 2) -> set[str]:
        return _reached_at(weightless, (n_images, n_channels, px, px))

    of_any_size = set.intersection(*map(reached, other_sizes_px(size_px)))
    of_one_size = {layer.name for layer in layers} - of_any_size
    if of_one_size and (missing := of_one_size & reached(size_px, 1) - reached(size_px)):
        raise takes_one_image(next(layer.name for layer in layers if layer.name in missing))
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

    def __init__(self, weightless: Weightless) -> None:
        super().__init__(weightless)
        self.reached: set[str] = set()

    def run_node(self, n: fx.Node) -> Any:
        """Compute one node."""
        output = super().run_node(n)
        self.reached.add(str(n.target))
        return output


def _reached_at(weightless: Weightless, shape: Sequence[int]) -> set[str]:
    """Targets of the nodes that can be computed for images of a certain shape.

    A linear layer that reads a flattened map, for example, fits one size of the map only.
    """
    interpreter = _Reaching(weightless)
    interpreter.extra_traceback = False
    try:
        with without_contents():
            interpreter.run(torch.empty(tuple(shape)))
    except Exception as error:  # the network's own operations
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
    dims = permuted_dims(node, len(shape))
    return dims.index(view.channel_dim) if dims else view.channel_dim


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


def _longer_side(node: fx.Node, view: _View) -> int:
    """The longer side of a node's maps; 1 if it gives none."""
    return max(sides_of(node, view.channel_dim))
