"""One table of the operations between layers, for the modules that walk a network's graph.

An operation is given as the class of a module, as a function, or as the name of a method; those of
torchvision by their full names, as importing it takes a second and most networks have none of them.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx, nn
from torch.nn import functional

Role = Literal[
    "adaptive pool",
    "average pool",
    "batch norm",  # normalises with running statistics
    "concat",
    "conv",
    "difference",
    "expand",  # repeats elements
    "group norm",  # normalises each image by itself, over positions or neighbouring channels
    "layer norm",  # normalises over the last dims, each position by itself
    "linear",
    "max pool",
    "mean",
    "move",  # gives elements of its inputs at other places
    "negation",
    "pad",
    "passing",  # gives its input as it is, in evaluation mode
    "pointwise",  # the same function of each element, which may differ between channels
    "product",
    "quotient",
    "softmax",
    "rectifier",  # the ReLU, a pointwise function
    "scaled sum",  # a tensor, and the product of two others
    "resize",
    "sum",
    "unknown",
]


@dataclass(frozen=True)
class Operator:
    """What an operation does with maps."""

    role: Role
    never_falls: bool = False  # of pointwise functions: larger inputs give no smaller outputs
    is_bounded: bool = False  # the output is limited, as that of a gate is

    @property
    def is_pointwise(self) -> bool:
        """Whether each element of the output depends on the same element of the input alone."""
        return self.role in ("pointwise", "rectifier")


UNKNOWN = Operator("unknown")
TORCHVISION = "torchvision"
_STOCHASTIC_DEPTH = f"{TORCHVISION}.ops.stochastic_depth"  # its module
_RECTIFIER = Operator("rectifier", never_falls=True)
_POINTWISE = Operator("pointwise")
_RISING = Operator("pointwise", never_falls=True)
_GATE = Operator("pointwise", never_falls=True, is_bounded=True)


def _table(*rows: tuple[Operator, tuple[Any, ...]]) -> Mapping[Any, Operator]:
    return {operation: what for what, operations in rows for operation in operations}


OPERATORS = _table(
    (
        _RECTIFIER,
        (nn.ReLU, functional.relu, functional.relu_, torch.relu, torch.relu_, "relu", "relu_"),
    ),
    (
        _GATE,
        (
            *(nn.Sigmoid, functional.sigmoid, torch.sigmoid, torch.sigmoid_),
            *("sigmoid", "sigmoid_", torch.special.expit),
            *(nn.Hardsigmoid, functional.hardsigmoid),
            *(nn.Tanh, functional.tanh, torch.tanh, torch.tanh_, "tanh", "tanh_"),
        ),
    ),
    (
        _RISING,
        (
            *(nn.ReLU6, functional.relu6, nn.Hardtanh, functional.hardtanh, functional.hardtanh_),
            *(nn.Softplus, functional.softplus, nn.Softsign, functional.softsign),
            *(nn.LogSigmoid, functional.logsigmoid, nn.SELU, functional.selu, functional.selu_),
            *(torch.clamp, torch.clamp_, torch.clip, "clamp", "clamp_", "clip", "clip_"),
            *(torch.clamp_min, torch.clamp_max, "clamp_min", "clamp_max"),
            *("clamp_min_", "clamp_max_"),
        ),
    ),
    (
        _POINTWISE,
        (
            *(nn.SiLU, functional.silu, nn.GELU, functional.gelu, nn.Mish, functional.mish),
            *(nn.Hardswish, functional.hardswish, nn.ELU, functional.elu, functional.elu_),
            *(nn.CELU, functional.celu, nn.LeakyReLU, functional.leaky_relu),
            *(functional.leaky_relu_, nn.PReLU, functional.prelu, torch.prelu),
            *(nn.Tanhshrink, functional.tanhshrink, nn.Softshrink, functional.softshrink),
            *(torch.abs, operator.abs, "abs", torch.square, "square", torch.erf, "erf"),
        ),
    ),
    (
        Operator("passing"),
        (
            *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
            *(functional.dropout, functional.dropout1d, functional.dropout2d),
            *(functional.dropout3d, functional.alpha_dropout, torch.dropout),
            *(f"{_STOCHASTIC_DEPTH}.StochasticDepth", f"{_STOCHASTIC_DEPTH}.stochastic_depth"),
            *("contiguous", "clone", torch.clone, "detach", "float", "to"),
        ),
    ),
    (Operator("scaled sum"), (torch.addcmul,)),
    (Operator("sum"), (operator.add, operator.iadd, torch.add, "add", "add_")),
    (
        Operator("difference"),
        (operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_"),
    ),
    (
        Operator("product"),
        (operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_"),
    ),
    (
        Operator("quotient"),
        (operator.truediv, operator.itruediv, torch.div, torch.divide, "div", "div_"),
    ),
    (
        Operator("softmax", is_bounded=True),
        (nn.Softmax, nn.Softmax2d, functional.softmax, torch.softmax, "softmax"),
    ),
    (Operator("negation"), (operator.neg, torch.neg, "neg")),
    (Operator("concat"), (torch.cat, torch.concat, torch.concatenate)),
    (
        Operator("move"),
        (
            *(nn.Flatten, torch.flatten, "flatten", nn.Unflatten, torch.unflatten, "unflatten"),
            *("view", "view_as", torch.reshape, "reshape", "reshape_as", torch.permute, "permute"),
            *(torch.transpose, "transpose"),
            *(torch.swapaxes, "swapaxes", torch.movedim, "movedim"),
            *(torch.unsqueeze, "unsqueeze", torch.squeeze, "squeeze", torch.chunk, "chunk"),
            *(torch.split, "split", torch.tensor_split, "tensor_split", torch.unbind, "unbind"),
            *(operator.getitem, torch.narrow, "narrow", torch.select, "select", torch.stack),
            *(torch.index_select, "index_select", torch.flip, "flip", torch.roll, "roll"),
            *(nn.ChannelShuffle, functional.channel_shuffle, nn.PixelShuffle),
            *(functional.pixel_shuffle, nn.PixelUnshuffle, functional.pixel_unshuffle),
        ),
    ),
    (Operator("expand"), ("expand", "expand_as", "repeat", torch.tile, "tile")),
    (
        Operator("pad"),
        (
            *(functional.pad, nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d),
            nn.ReplicationPad2d,
        ),
    ),
    (
        Operator("resize"),
        (nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, functional.interpolate),
    ),
    (Operator("batch norm"), (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)),
    (
        Operator("group norm"),
        (
            *(nn.GroupNorm, functional.group_norm, torch.group_norm),
            *(nn.InstanceNorm2d, functional.instance_norm, torch.instance_norm),
            *(nn.LocalResponseNorm, functional.local_response_norm),
        ),
    ),
    (
        Operator("layer norm"),
        (
            *(nn.LayerNorm, functional.layer_norm, torch.layer_norm),
            *(nn.RMSNorm, functional.rms_norm, torch.rms_norm),
        ),
    ),
    (Operator("max pool"), (nn.MaxPool2d, functional.max_pool2d, torch.max_pool2d)),
    (Operator("average pool"), (nn.AvgPool2d, functional.avg_pool2d)),
    (
        Operator("adaptive pool"),
        (
            *(nn.AdaptiveAvgPool2d, functional.adaptive_avg_pool2d),
            *(nn.AdaptiveMaxPool2d, functional.adaptive_max_pool2d),
        ),
    ),
    (Operator("mean"), (torch.mean, "mean")),
    (Operator("conv"), (nn.Conv2d,)),
    (Operator("linear"), (nn.Linear,)),
)


MAP_DIMS = ({2, 3}, {-2, -1}, {2, -1}, {-2, 3})  # the height and the width of (B, C, H, W)


def _with_role(*roles: Role) -> frozenset[Any]:
    return frozenset(operation for operation, what in OPERATORS.items() if what.role in roles)


SUMS, PRODUCTS, CONCATENATIONS = _with_role("sum"), _with_role("product"), _with_role("concat")
MAX_POOLS, AVERAGE_POOLS = _with_role("max pool"), _with_role("average pool")
ADAPTIVE_POOLS, PADS = _with_role("adaptive pool"), _with_role("pad")
REARRANGEMENTS = _with_role("move", "expand", "passing")
BOUNDED = frozenset(operation for operation, what in OPERATORS.items() if what.is_bounded)
# Operations of which an input gives nothing but its shape or its type.
SHAPED_LIKE = frozenset({"expand_as", "view_as", "reshape_as", "type_as"})


def operator_of(node: fx.Node, module: nn.Module | None) -> Operator:
    """What a node does; `module` is the one that it calls."""
    if module is not None:
        return operator_of_module(module)
    return OPERATORS.get(operation_of(node, None), UNKNOWN)


def operator_of_module(module: nn.Module) -> Operator:
    """What a module does.

    A subclass does what its base class does, unless it computes its output in its own way.
    """
    for base in type(module).__mro__:
        if known := OPERATORS.get(_as_listed(base)):
            return known if _computes_as(module, base) else UNKNOWN
    return UNKNOWN


def _computes_as(module: nn.Module, base: type) -> bool:
    """Whether a module computes its output with the methods of one of its base classes."""
    return "forward" not in vars(module) and all(
        getattr(type(module), name, None) is getattr(base, name, None)
        for name in ("forward", "_conv_forward")
    )


def works_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a node writes its output into its first input."""
    if module is not None:
        return bool(getattr(module, "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    name = str(getattr(node.target, "__name__", node.target))
    is_augmented = name.strip("_") in ("iadd", "isub", "imul", "itruediv", "ipow")
    has_flag = operator_of(node, None).is_pointwise and any(each is True for each in node.args)
    is_told = has_flag or bool(node.kwargs.get("inplace", False))
    # Names of the in-place variants of functions and methods end with an underscore.
    return is_augmented or is_told or (name.endswith("_") and not name.endswith("__"))


def module_of(node: fx.Node, model: fx.GraphModule) -> nn.Module | None:
    """The module that a node calls; None if it calls none."""
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None


def put_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of another, whose own submodules stay where they are."""
    for child, kept in model.get_submodule(name).named_children():
        module.add_module(child, kept)
    model.set_submodule(name, module)


def operation_of(node: fx.Node, module: nn.Module | None) -> Any:
    """A node's operation as in the table; None for placeholders, attributes and outputs."""
    if module:
        return _as_listed(type(module))
    return _as_listed(node.target) if node.op in ("call_function", "call_method") else None


def _as_listed(operation: Any) -> Any:
    """A class, function or name of a method, as the table has it."""
    module, name = (str(getattr(operation, key, "")) for key in ("__module__", "__qualname__"))
    return f"{module}.{name}" if module.startswith(f"{TORCHVISION}.") else operation


def attribute_of(node: fx.Node, model: fx.GraphModule) -> Any:
    """What a node takes from its model; None if it computes something."""
    return operator.attrgetter(str(node.target))(model) if node.op == "get_attr" else None


def averages_maps(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a node pools maps (B, C, H, W) over all positions, as `maps.mean((2, 3))` does."""
    role = operator_of(node, module).role
    if role == "adaptive pool":
        size = module.output_size if module else argument(node, 1, "output_size")
        return size in (1, (1, 1), [1, 1])
    dims = argument(node, 1, "dim") if role == "mean" else None
    return isinstance(dims, list | tuple) and set(dims) in MAP_DIMS


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """An argument of a node's call, given by position or by name."""
    if position < len(node.args):
        return node.args[position]
    return node.kwargs.get(name, default)


def pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    """Height and width of what torch gives as one number, one for both, or two."""
    return (size, size) if isinstance(size, int) else (size[0], size[-1])
