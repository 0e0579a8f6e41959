"""Receptive fields: which pixels a position of a map sees, along rows and along columns.

Source: Araujo et al. 2019, https://distill.pub/2019/computing-receptive-fields/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from torch import fx, nn

from atlas.network.operators import (
    ADAPTIVE_POOLS,
    AVERAGE_POOLS,
    MAX_POOLS,
    PADS,
    argument,
    operation_of,
    operator_of,
    pair,
)
from atlas.network.outputs import shape_of
from atlas.network.weighting import Weighting

# Positions by which interpolations reach further to either side than the nearest one does.
INTERPOLATED = {"bilinear": 0.5, "bicubic": 1.5}
Sides = tuple[int, int]  # height and width


class Window(NamedTuple):
    """The window that a node slides over its input map along one axis."""

    size: int = 1
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Span:
    """What the positions of a map see of the image along one axis."""

    low_px: float = 0.0  # the first pixel that position 0 sees
    high_px: float = 0.0  # the last one
    stride_px: float = 1.0  # between neighbouring positions

    @property
    def n_px(self) -> int:
        """How many pixels one position sees."""
        return round(self.high_px - self.low_px) + 1

    def slid(self, window: Window) -> Span:
        """The span after a window was slid along the axis."""
        return Span(
            self.low_px - window.padding * self.stride_px,
            self.high_px + (window.size - 1 - window.padding) * self.stride_px,
            self.stride_px * window.stride,
        )

    def resized(self, scale: float, shift: float, reach: float) -> Span:
        """The span after the axis was made `scale` times as long.

        Args:
            scale: the factor.
            shift: the position before that position 0 has its middle at.
            reach: how many positions before it sees to either side of that.
        """
        return Span(
            self.low_px + (shift - reach) * self.stride_px,
            self.high_px + (shift + reach) * self.stride_px,
            self.stride_px / scale,
        )


Spans = tuple[Span, Span]  # along rows and along columns
Windows = tuple[Window, Window]
IMAGE: Spans = (Span(), Span())


def field_facts(spans: Spans) -> dict[str, Any]:
    """The facts of a layer about its receptive field, a square that holds what it sees."""
    larger = max(spans, key=lambda span: span.n_px)
    return {
        "receptive_field_px": larger.n_px,
        "field_centre_px": (larger.low_px + larger.high_px) / 2,
        "total_stride_px": max(1, round(max(span.stride_px for span in spans))),
    }


def united(spans: Sequence[Spans], sides: Sequence[Sides]) -> Spans:
    """What is seen of several maps together; `sides` are their heights and widths.

    Smaller maps, which are broadcast over the largest one, do not decide the stride.
    """
    rows, columns = (
        _united([each[axis] for each in spans], [each[axis] for each in sides]) for axis in (0, 1)
    )
    return rows, columns


def _united(spans: Sequence[Span], lengths: Sequence[int]) -> Span:
    longest = max(lengths)
    wide = [span for span, length in zip(spans, lengths, strict=True) if length == longest]
    return Span(
        min(span.low_px for span in spans),
        max(span.high_px for span in spans),
        max(span.stride_px for span in wide),
    )


def after_layer(spans: Spans, applied: Weighting) -> Spans:
    """What a layer's positions see, from what those of its input see."""
    if applied.weight.ndim == 2:
        return spans
    sizes = [d * (k - 1) + 1 for k, d in zip(applied.kernel, applied.dilation, strict=True)]
    return _slid(spans, _windows(sizes, applied.stride, applied.padding))


def after(
    spans: Spans, node: fx.Node, module: nn.Module | None, source: fx.Node, channel_dim: int
) -> Spans:
    """What the positions of a node without weights see.

    Args:
        spans: what those of its inputs see together.
        node: the node.
        module: the module that it calls.
        source: the first of its inputs.
        channel_dim: the dimension of that input that has the channels.
    """
    spans = _slid(spans, _windows_of(node, module, source, channel_dim))
    spans = _rescaled(spans, node, module, source, channel_dim)
    return spans[::-1] if _swaps_sides(node, channel_dim) else spans


def map_px(node: fx.Node, channel_dim: int) -> Sides | None:
    """Height and width of the maps that a node gives; None if it gives no maps."""
    shape = shape_of(node)
    if not shape or len(shape) < 4:
        return None
    rows, columns = _map_dims(len(shape), channel_dim)
    return shape[rows], shape[columns]


def sides_of(node: fx.Node, channel_dim: int) -> Sides:
    """Height and width of a node's maps; 1 and 1 if it gives none."""
    return map_px(node, channel_dim) or (1, 1)


def permuted_dims(node: fx.Node, n_dims: int) -> list[int]:
    """The order in which a node puts the dimensions of its input; empty if it leaves them."""
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    rest = node.args[1:] or tuple(node.kwargs.values())
    if name == "getattr" and rest[:1] in (("mT",), ("mH",)):
        name, rest = "transpose", (-2, -1)
    given = [each for part in rest for each in _as_tuple(part)]
    if not n_dims or not all(isinstance(each, int) for each in given):
        return []
    dims = [cast(int, each) % n_dims for each in given]
    if name == "permute" and len(dims) == n_dims:
        return dims
    if name in ("transpose", "swapaxes") and len(dims) == 2:
        swap = {dims[0]: dims[1], dims[1]: dims[0]}
        return [swap.get(dim, dim) for dim in range(n_dims)]
    return []


def _swaps_sides(node: fx.Node, channel_dim: int) -> bool:
    """Whether a node makes rows of columns, and columns of rows."""
    shape = shape_of(node)
    dims = permuted_dims(node, len(shape)) if shape and len(shape) == 4 else []
    sides = [dim for dim in dims if dim not in (0, channel_dim)]
    return sides != sorted(sides)


def _map_dims(n_dims: int, channel_dim: int) -> Sides:
    return (1, 2) if channel_dim == n_dims - 1 else (n_dims - 2, n_dims - 1)


def _slid(spans: Spans, windows: Windows) -> Spans:
    rows, columns = (span.slid(window) for span, window in zip(spans, windows, strict=True))
    return rows, columns


def _windows(sizes: Sequence[int], strides: Sequence[int], paddings: Sequence[int]) -> Windows:
    rows, columns = map(Window, sizes, strides, paddings)
    return rows, columns


def _windows_of(
    node: fx.Node, module: nn.Module | None, source: fx.Node, channel_dim: int
) -> Windows:
    operation = operation_of(node, module)
    if operation in MAX_POOLS | AVERAGE_POOLS:
        windows = _of_module_pool(module) if module else _of_function_pool(node)
        if windows:
            return windows
    if operation in PADS:
        return _windows((1, 1), (1, 1), _pads_before(node, module, channel_dim))
    return _by_sizes(node, source, channel_dim, is_pool=operation in ADAPTIVE_POOLS)


def _pads_before(node: fx.Node, module: nn.Module | None, channel_dim: int) -> Sides:
    """Rows that a padding adds above, and columns that it adds to the left."""
    widths = cast(Any, module).padding if module else argument(node, 1, "pad", ())
    widths = widths if isinstance(widths, list | tuple) else (widths,) * 4
    shape = shape_of(node)
    n_dims = len(shape) if shape else 4
    places = [2 * (n_dims - 1 - dim) for dim in _map_dims(n_dims, channel_dim)]
    given = [widths[place] if place < len(widths) else 0 for place in places]
    above, left = (each if isinstance(each, int) else 0 for each in given)
    return above, left


def _of_module_pool(pool: nn.Module) -> Windows:
    pool = cast("nn.MaxPool2d | nn.AvgPool2d", pool)
    dilation = pool.dilation if isinstance(pool, nn.MaxPool2d) else 1
    return _pool_windows(pool.kernel_size, pool.stride, pool.padding, dilation)


def _of_function_pool(node: fx.Node) -> Windows | None:
    """The windows of a pooling function; None if they depend on the input."""
    kernel = argument(node, 1, "kernel_size")
    stride = argument(node, 2, "stride") or kernel
    padding = argument(node, 3, "padding", 0)
    dilation = argument(node, 4, "dilation", 1) if operation_of(node, None) in MAX_POOLS else 1
    numbers = [*_as_tuple(kernel), *_as_tuple(stride), *_as_tuple(padding), *_as_tuple(dilation)]
    if not all(isinstance(number, int) for number in numbers):
        return None
    return _pool_windows(kernel, stride, padding, dilation)


def _pool_windows(kernel: Any, stride: Any, padding: Any, dilation: Any) -> Windows:
    sizes = [d * (k - 1) + 1 for k, d in zip(pair(kernel), pair(dilation), strict=True)]
    return _windows(sizes, pair(stride), pair(padding))


def _by_sizes(node: fx.Node, source: fx.Node, channel_dim: int, *, is_pool: bool) -> Windows:
    """The windows of a node without a kernel, derived from the sizes of its input and output.

    A node that flattens or averages maps reads all their positions.
    """
    leaves_no_map = _leaves_no_map(node, source)
    before, after_ = sides_of(source, channel_dim), sides_of(node, channel_dim)
    rows, columns = (
        _by_size(n_in, n_out, is_pool=is_pool, leaves_no_map=leaves_no_map)
        for n_in, n_out in zip(before, after_, strict=True)
    )
    return rows, columns


def _by_size(n_in: int, n_out: int, *, is_pool: bool, leaves_no_map: bool) -> Window:
    if n_in > 1 and n_out == 1 and leaves_no_map:
        return Window(n_in, n_in)
    if not is_pool or n_out >= n_in:
        return Window()
    size = max(-(-(i + 1) * n_in // n_out) - i * n_in // n_out for i in range(n_out))
    return Window(size, n_in // n_out)


def _leaves_no_map(node: fx.Node, source: fx.Node) -> bool:
    """Whether a node flattens or shrinks maps, rather than moving their sides to other dims."""
    shape, before = shape_of(node), shape_of(source)
    return shape is not None and (
        len(shape) < 4 or (before is not None and shape.numel() < before.numel())
    )


def _rescaled(
    spans: Spans, node: fx.Node, module: nn.Module | None, source: fx.Node, channel_dim: int
) -> Spans:
    """What is seen after a node enlarged maps, or made them smaller by interpolation."""
    is_transposed = isinstance(module, nn.ConvTranspose2d)
    if operator_of(node, module).role != "resize" and not is_transposed:
        return spans
    before, after_ = sides_of(source, channel_dim), sides_of(node, channel_dim)
    scales = [n_out / n_in for n_in, n_out in zip(before, after_, strict=True)]
    rows, columns = (
        span.resized(
            scale,
            *_reach_of_transposed(cast("nn.ConvTranspose2d", module), axis, scale)
            if is_transposed
            else _reach_of_resize(_mode(node, module), scale),
        )
        for axis, (span, scale) in enumerate(zip(spans, scales, strict=True))
    )
    return rows, columns


def _reach_of_resize(mode: str, scale: float) -> tuple[float, float]:
    """Where position 0 is on the maps before, and how far it sees from there.

    With maps that are `scale` times as large, position p is at (p + 1/2) / scale - 1/2 of the maps
    before, and sees what is nearest there, or what an interpolation reaches. How far that is away
    differs from position to position; the reach here holds all of it.
    """
    reach = max(0.0, 0.5 - 0.5 / scale)
    if further := INTERPOLATED.get(mode):
        return 0.5 / scale - 0.5, reach + further
    return -reach, reach


def _reach_of_transposed(conv: nn.ConvTranspose2d, axis: int, scale: float) -> tuple[float, float]:
    """The same for a transposed convolution."""
    dilation, kernel, padding = (
        cast(Any, each)[axis] for each in (conv.dilation, conv.kernel_size, conv.padding)
    )
    reach = dilation * (kernel - 1) / 2 / scale
    return padding / scale - reach, reach


def _mode(node: fx.Node, module: nn.Module | None) -> str:
    """The interpolation of a node that resizes maps."""
    return str(module.mode if module else argument(node, 3, "mode", "nearest"))


def _as_tuple(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
