"""What a network gives: its main output, and the layer whose units are the classes.

A layer gives the classes if its output becomes the network's, one vector per image with a number
for each of the layer's units, through nothing but pooling, rectifying, flattening and scaling. The
vector may have lost its dimensions, as with `squeeze(1)` of a single logit. A convolution must have
a kernel of one position: a larger one that is pooled gives features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import TensorMetadata
from torch.nn import functional

from atlas.network.operators import REARRANGEMENTS, module_of, operation_of, operator_of

# Operations that turn logits into probabilities.
PROBABILITIES: frozenset[Any] = frozenset(
    {
        nn.Softmax,
        nn.LogSoftmax,
        nn.Sigmoid,
        functional.softmax,
        functional.log_softmax,
        functional.sigmoid,
        torch.softmax,
        torch.log_softmax,
        torch.sigmoid,
        "softmax",
        "log_softmax",
        "sigmoid",
    }
)
# Operations that leave the logits as they are, in evaluation mode.
SAME_LOGITS: frozenset[Any] = frozenset(
    {nn.Dropout, nn.Identity, nn.Flatten, functional.dropout, torch.flatten, "flatten"}
)


def shape_of(node: fx.Node) -> torch.Size | None:
    """The shape of the tensor that a node gives; None if it gives several or something else."""
    meta = node.meta.get("tensor_meta")
    return meta.shape if isinstance(meta, TensorMetadata) else None


def main_output(traced: fx.GraphModule, output: fx.Node) -> fx.Node:
    """The main one of a network's outputs, which may be a tuple, a dict or a dataclass.

    It is the first that a layer of classes gives, one with a dimension of classes before others;
    without one, it is the one with the most channels.
    """
    tensors = [node for node in _flat(output) if shape_of(node) is not None]
    given = [node for node in tensors if _layer_behind(traced, node)]
    given.sort(key=_is_flattened)
    if given or not tensors:
        return given[0] if given else output.all_input_nodes[0]
    return max(tensors, key=_n_channels)


def classifier_of(traced: fx.GraphModule) -> str | None:
    """The name of the layer that gives the classes, None if there is none."""
    layer = _layer_behind(traced, _output_of(traced))
    return str(layer.target) if layer else None


def logits_of(traced: fx.GraphModule, classifier: str) -> fx.Node:
    """The node whose value is the logits: the network's output, before any softmax.

    Where it has no dimension of classes, its value is the B · n numbers of all images.
    """
    node = _output_of(traced)
    while _is_after_logits(traced, node):
        node = node.all_input_nodes[0]
    if node.target == classifier or classifier_of(traced) != classifier:
        return layer_node(traced, classifier)
    return node


def are_raw(traced: fx.GraphModule, logits: fx.Node, layer: fx.Node) -> bool:
    """Whether logits are the output of a layer as it is, flattened at most."""
    while logits is not layer:
        is_same = operation_of(logits, module_of(logits, traced)) in SAME_LOGITS
        if not is_same or shape_of(logits) != shape_of(layer):
            return False
        logits = logits.all_input_nodes[0]
    return True


def unrectified(module: nn.Module) -> nn.Module:
    """What computes logits, without the pointwise functions that never fall, such as a ReLU.

    These keep the order of their inputs, so the way up is the same; but where a ReLU is zero at all
    positions, its gradient is zero too. Anything but a graph is a layer, and is given as it is.
    """
    if not isinstance(module, fx.GraphModule):
        return module
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in module.graph.nodes:
        if operator_of(node, module_of(node, module)).never_falls:
            copies[node] = copies[node.all_input_nodes[0]]
        else:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    return fx.GraphModule(module, graph)


def layer_node(traced: fx.GraphModule, name: str) -> fx.Node:
    """The first node that calls a layer."""
    calls = (node for node in traced.graph.nodes if node.op == "call_module")
    found: fx.Node = next(node for node in calls if node.target == name)
    return found


def _output_of(traced: fx.GraphModule) -> fx.Node:
    output: fx.Node = next(node for node in traced.graph.nodes if node.op == "output")
    return output.all_input_nodes[0]


def _flat(output: fx.Node) -> Iterator[fx.Node]:
    """The nodes that an output holds, and the fields of a dataclass that it is."""
    for node in output.all_input_nodes:
        if node.op == "call_function" and isinstance(node.target, type):
            yield from node.all_input_nodes
        else:
            yield node


def _layer_behind(traced: fx.GraphModule, output: fx.Node) -> fx.Node | None:
    """The layer whose units are the numbers of an output, which is traced for one image."""
    shape = shape_of(output)
    if shape is None or shape.numel() != _n_numbers(output):
        return None
    n_classes = shape.numel()
    node = output
    while not isinstance(module_of(node, traced), nn.Conv2d | nn.Linear):
        tensors = _tensors_into(node)
        module = module_of(node, traced)
        has_weights = module is not None and any(True for _ in module.parameters())
        if len(tensors) != 1 or has_weights or node.op == "placeholder":
            return None
        if _is_flattened(node) and _n_items(tensors[0]) != n_classes:
            return None  # what makes fewer numbers of them may make them of all images
        node = tensors[0]
        if _n_numbers(node) != n_classes:
            return None
    module = module_of(node, traced)
    gives_features = isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1
    return None if gives_features else node


def _is_after_logits(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node makes probabilities of its input, or takes a dimension from it."""
    operation = operation_of(node, module_of(node, traced))
    return operation in PROBABILITIES or (_is_flattened(node) and operation in REARRANGEMENTS)


def _tensors_into(node: fx.Node) -> list[fx.Node]:
    """The tensors that a node reads; single numbers beside others only scale these."""
    tensors = [each for each in node.all_input_nodes if shape_of(each) is not None]
    return [each for each in tensors if shape_of(each)] or tensors


def _n_channels(node: fx.Node) -> int:
    shape = shape_of(node)
    return shape[1] if shape and len(shape) > 1 else 0


def _n_numbers(node: fx.Node) -> int:
    """The channels of a node; of one without a dimension of channels, all its numbers."""
    return _n_items(node) if _is_flattened(node) else _n_channels(node)


def _n_items(node: fx.Node) -> int:
    return math.prod(shape_of(node) or ())


def _is_flattened(node: fx.Node) -> bool:
    """Whether a tensor has no dimension of channels beside that of images."""
    return len(shape_of(node) or ()) < 2
