"""Compute only those positions of maps that are needed.

Where positions near the border of a layer's map are not needed, neither is what only they depend
on. From the last map backwards, convs lose their padding and the maps that they read lose rows and
columns at each side, as far as there are any to lose. All other positions are the same up to
rounding. What feeds an operation that is not known to work position by position stays whole.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal, NamedTuple, cast

import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from atlas.network.operators import (
    argument,
    attribute_of,
    averages_maps,
    module_of,
    operator_of,
    operator_of_module,
    pair,
    works_in_place,
)
from atlas.network.shortcuts import UnstridedConv

# Operations whose output at a position depends on their inputs at this position alone.
POSITIONWISE = {
    *("rectifier", "pointwise", "passing", "batch norm", "concat"),
    *("sum", "difference", "product", "quotient", "negation"),
}
JOINING = {"sum", "difference", "product", "quotient"}
SIZES = {"size", "dim", getattr}  # operations that give no tensors

# What a node gives: maps of positions; what was computed from whole maps and has no positions left;
# or what is the same for maps of any content.
Extent = Literal["maps", "whole", "constant"]


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
    extents = _extents(trimmed_copy)
    trims: dict[fx.Node, Trim] = {}
    for node in reversed(trimmed_copy.graph.nodes):
        unread = min((trims[user].read for user in node.users), default=n_unread)
        is_map = extents[node] == "maps"
        trims[node] = _trim_node(trimmed_copy, node, unread, extents) if is_map else NOTHING
    for node in list(trimmed_copy.graph.nodes):
        for user in list(node.users) if extents[node] == "maps" else ():
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
    if not _slides_evenly(module):
        return module, NOTHING
    window = cast(nn.MaxPool2d, module)  # or another module with a stride and a padding
    rows, columns = (
        n_unread * stride - padding
        for stride, padding in zip(pair(window.stride), pair(window.padding), strict=True)
    )
    if rows != columns or rows < 0:
        return module, NOTHING
    trimmed_module = copy.copy(window)  # shares the weights
    trimmed_module.padding = (0, 0)
    if isinstance(trimmed_module, nn.Conv2d):
        trimmed_module.padding_mode = "zeros"  # other modes pad by sizes that they keep elsewhere
    return trimmed_module, Trim(n_unread, rows)


def cut(maps: Tensor, n: int) -> Tensor:
    """Maps (..., H, W) without n rows and columns at each side.

    At least the middle is kept: maps of one row or one column are broadcast over other maps, and
    code that crops maps may leave fewer rows than strides fit into the image.
    """
    rows, columns = (-min(n, (size - 1) // 2) for size in maps.shape[-2:])
    if rows == columns == 0:
        return maps
    # Unlike that of a slice, its gradient is channels last.
    return F.pad(maps, (columns, columns, rows, rows))


def _slides_evenly(module: nn.Module) -> bool:
    """Whether a module slides a window over maps with the same padding at all sides."""
    role = operator_of_module(module).role
    # Modules whose weights are parametrised cannot be copied without their weights.
    if role not in ("conv", "max pool", "average pool") or is_parametrized(module):
        return False
    window = cast(nn.Conv2d, module)
    # With `ceil_mode`, the last window may reach over the border of a map.
    is_cut_off = getattr(module, "ceil_mode", False) and max(pair(window.stride)) > 1
    gives_indices = getattr(module, "return_indices", False)
    return not (isinstance(window.padding, str) or is_cut_off or gives_indices)


def _extents(model: fx.GraphModule) -> Mapping[fx.Node, Extent]:
    """What each node gives."""
    extents: dict[fx.Node, Extent] = {}
    for node in model.graph.nodes:
        inputs = {extents[each] for each in node.all_input_nodes}
        if node.op == "get_attr" or node.target in SIZES or inputs == {"constant"}:
            extents[node] = "constant"
        elif _leaves_no_positions(node, module_of(node, model), inputs):
            extents[node] = "whole"
        else:
            extents[node] = "maps"
    return extents


def _leaves_no_positions(node: fx.Node, module: nn.Module | None, inputs: set[Extent]) -> bool:
    """Whether a node averages maps, or computes something from what has no positions."""
    has_maps = not inputs or "maps" in inputs
    role = operator_of(node, module).role
    stays_so = role in POSITIONWISE or role in ("conv", "linear", "move", "adaptive pool", "mean")
    return averages_maps(node, module) if has_maps else stays_so


def _trim_node(
    model: fx.GraphModule, node: fx.Node, n_unread: int, extents: Mapping[fx.Node, Extent]
) -> Trim:
    module = module_of(node, model)
    if node.op == "output" or _works_by_position(model, node, module, extents):
        return Trim(n_unread, n_unread)
    if module is None:
        return NOTHING
    trimmed_module, trim = trim_module(module, n_unread)
    if trimmed_module is not module:
        node.target = f"{node.name}_trimmed"
        model.add_submodule(node.target, trimmed_module)
    return trim


def _works_by_position(
    model: fx.GraphModule,
    node: fx.Node,
    module: nn.Module | None,
    extents: Mapping[fx.Node, Extent],
) -> bool:
    """Whether a node's output at each position depends on its inputs at this position alone."""
    role = operator_of(node, module).role
    if role not in POSITIONWISE or (role == "concat" and argument(node, 1, "dim", 0) != 1):
        return False
    # Others who read what is overwritten would read the whole map as it was before.
    if works_in_place(node, module) and len(node.all_input_nodes[0].users) > 1:
        return False
    constants = [each for each in node.all_input_nodes if extents[each] == "constant"]
    return role not in JOINING or all(_has_no_positions(model, each) for each in constants)


def _has_no_positions(model: fx.GraphModule, constant: fx.Node) -> bool:
    """Whether a constant is the same at all positions of maps that it is joined with."""
    value = attribute_of(constant, model)
    return isinstance(value, Tensor) and (value.numel() == 1 or value.shape[-2:] == (1, 1))
