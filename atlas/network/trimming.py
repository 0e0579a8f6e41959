"""Compute only those positions of maps that are needed.

Where positions near the border of a layer's map are not needed, neither is what only they depend
on. From the last map backwards, convs lose their padding and the maps that they read lose rows and
columns at each side, as far as there are any to lose. All other positions are the same up to
rounding.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, fx, nn

from atlas.network.operators import RECTIFIERS, SUMS, module_of, operation_of, pair
from atlas.network.shortcuts import UnstridedConv
from atlas.network.weighting import is_plain

POINTWISE: frozenset[Any] = RECTIFIERS | SUMS | {nn.Identity, nn.BatchNorm2d, nn.Dropout}


class Trim(NamedTuple):
    """Rows and columns that are left out at each of a map's four sides."""

    made: int  # of a node's output
    read: int  # of the map that the output is computed from


NOTHING = Trim(0, 0)


def trimmed(extractor: fx.GraphModule, n_unread: int) -> fx.GraphModule:
    """A copy of an extractor that leaves out rows and columns at each side of its maps.

    Args:
        extractor: computes maps from images, in evaluation mode; it is not changed.
        n_unread: how many rows and columns to leave out, 0 or more.
    """
    trimmed_copy = fx.GraphModule(extractor, copy.deepcopy(extractor.graph))
    trims: dict[fx.Node, Trim] = {}
    for node in reversed(trimmed_copy.graph.nodes):
        unread = min((trims[user].read for user in node.users), default=n_unread)
        trims[node] = _trim_node(trimmed_copy, node, unread)
    for node in list(trimmed_copy.graph.nodes):
        for user in list(node.users):
            if n_cut := trims[user].read - trims[node].made:  # where another user reads more
                with trimmed_copy.graph.inserting_before(user):
                    user.replace_input_with(
                        node, trimmed_copy.graph.call_function(cut, (node, n_cut))
                    )
    trimmed_copy.recompile()
    trimmed_copy.delete_all_unused_submodules()
    return trimmed_copy


def trim_module(module: nn.Module, n_unread: int) -> tuple[nn.Module, Trim]:
    """A layer that leaves out `n_unread` rows and columns at each side if it can, and its trim.

    Position p of the output reads its input from position p * stride - padding on. If the input
    is cut by n_unread * stride - padding at each side, the layer without padding begins with
    position n_unread. A layer that cannot be trimmed is returned as it is.
    """
    if not n_unread:
        return module, NOTHING
    if isinstance(module, UnstridedConv):
        return module.trimmed(n_unread), Trim(n_unread, 0)
    if not _is_symmetric(module):
        return module, NOTHING
    assert isinstance(module, nn.Conv2d | nn.MaxPool2d)
    rows, columns = (
        n_unread * stride - padding
        for stride, padding in zip(pair(module.stride), _padding(module), strict=True)
    )
    if rows != columns or rows < 0:
        return module, NOTHING
    trimmed_module = copy.copy(module)  # shares the weights
    trimmed_module.padding = (0, 0)
    return trimmed_module, Trim(n_unread, rows)


def _is_symmetric(module: nn.Module) -> bool:
    """Whether a window's output depends on what it slides over alike at all sides."""
    if isinstance(module, nn.MaxPool2d):
        return not module.ceil_mode  # else the last window may reach beyond the map
    return isinstance(module, nn.Conv2d) and is_plain(module)


def _padding(module: nn.Conv2d | nn.MaxPool2d) -> tuple[int, int]:
    assert not isinstance(module.padding, str)
    return pair(module.padding)


def cut(maps: Tensor, n: int) -> Tensor:
    """Maps (..., H, W) without n rows and columns at each side.

    Maps of one position, which are broadcast over other maps, are returned as they are.
    """
    if maps.shape[-1] == 1:
        return maps
    return F.pad(maps, (-n, -n, -n, -n))  # unlike that of a slice, its gradient is channels last


def _trim_node(model: fx.GraphModule, node: fx.Node, n_unread: int) -> Trim:
    module = module_of(node, model)
    if node.op == "output" or operation_of(node, module) in POINTWISE:
        return Trim(n_unread, n_unread)
    if module is None:
        return NOTHING
    trimmed_module, trim = trim_module(module, n_unread)
    if trimmed_module is not module:
        node.target = f"{node.name}_trimmed"
        model.add_submodule(node.target, trimmed_module)
    return trim
