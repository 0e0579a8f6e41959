"""What a network gives: its main output, and the layer whose units are the classes.

A layer gives the classes if its output becomes the network's, one vector per image with a number
for each of the layer's units, through nothing but pooling, rectifying, flattening and scaling. A
convolution must have a kernel of one position: a larger one that is pooled gives features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import TensorMetadata
from torch.nn import functional

from atlas.network.operators import module_of, operation_of, operator_of

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

    It is the first that a layer of classes gives; without one, the one with the most channels.
    """
    tensors = [node for node in _flat(output) if shape_of(node)]
    given = [node for node in tensors if _layer_behind(traced, node)]
    if given or not tensors:
        return given[0] if given else output.all_input_nodes[0]
    return max(tensors, key=_n_channels)


def classifier_of(traced: fx.GraphModule) -> str | None:
    """The name of the layer that gives the classes, None if there is none."""
    layer = _layer_behind(traced, _output_of(traced))
    return str(layer.target) if layer else None


def logits_of(traced: fx.GraphModule, classifier: str) -> fx.Node:
    """The node whose value is the logits: the network's output, before any softmax."""
    node = _output_of(traced)
    while operation_of(node, module_of(node, traced)) in PROBABILITIES:
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
    """The layer whose units are the numbers of an output (B, n)."""
    n_classes = _n_channels(output)
    shape = shape_of(output)
    if shape is None or shape.numel() != n_classes:
        return None
    node = output
    while not isinstance(module_of(node, traced), nn.Conv2d | nn.Linear):
        tensors = [each for each in node.all_input_nodes if shape_of(each)]
        module = module_of(node, traced)
        has_weights = module is not None and any(True for _ in module.parameters())
        if len(tensors) != 1 or has_weights or node.op == "placeholder":
            return None
        node = tensors[0]
        if _n_channels(node) != n_classes:
            return None
    module = module_of(node, traced)
    gives_features = isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1
    return None if gives_features else node


def _n_channels(node: fx.Node) -> int:
    shape = shape_of(node)
    return shape[1] if shape and len(shape) > 1 else 0
