"""What is known of the operations between layers: one table for all who follow a graph.

An operation is the class of a module, a function itself, or the name of a method.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

RECTIFIERS: frozenset[Any] = frozenset(
    {nn.ReLU, functional.relu, torch.relu, torch.relu_, "relu", "relu_"}
)
SUMS: frozenset[Any] = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
MAX_POOLS: frozenset[Any] = frozenset({nn.MaxPool2d, functional.max_pool2d, torch.max_pool2d})
AVERAGE_POOLS: frozenset[Any] = frozenset({nn.AvgPool2d, functional.avg_pool2d})
ADAPTIVE_POOLS: frozenset[Any] = frozenset(
    {
        nn.AdaptiveAvgPool2d,
        nn.AdaptiveMaxPool2d,
        functional.adaptive_avg_pool2d,
        functional.adaptive_max_pool2d,
    }
)
# About linear, and channel by channel. A map of one position can be flattened; one of several has
# other channels afterwards, which is for the reader to notice.
PASSING: frozenset[Any] = (
    MAX_POOLS
    | AVERAGE_POOLS
    | ADAPTIVE_POOLS
    | {
        nn.Flatten,
        nn.Dropout,
        nn.Identity,
        functional.dropout,
        torch.flatten,
        "flatten",
    }
)
MEANS: frozenset[Any] = frozenset({torch.mean, "mean"})
MAP_DIMS = ({2, 3}, {-2, -1}, {2, -1}, {-2, 3})  # of a batch of maps, the height and the width


def module_of(node: fx.Node, model: fx.GraphModule) -> nn.Module | None:
    """The module that a node calls."""
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None


def operation_of(node: fx.Node, module: nn.Module | None) -> Any:
    """What a node does, as the tables here have it; None where it does nothing to its inputs."""
    if module:
        return type(module)
    return node.target if node.op in ("call_function", "call_method") else None


def averages_maps(node: fx.Node) -> bool:
    """Whether a node is the mean over all positions of maps, as in `maps.mean((2, 3))`."""
    if node.target not in MEANS:
        return False
    dims = argument(node, 1, "dim")
    return isinstance(dims, list | tuple) and set(dims) in MAP_DIMS


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """What a function or method is called with, by position or by name."""
    if position < len(node.args):
        return node.args[position]
    return node.kwargs.get(name, default)
