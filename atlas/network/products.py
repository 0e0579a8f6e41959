"""Products of the image's values with constant matrices, written as linear maps and convolutions.

A network may write a linear map as `x @ weight.T + bias`, as `torch.addmm`, or as `torch.einsum`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.nn import functional

from atlas.network.constants import Constants


class Product(NamedTuple):
    """What a node multiplies: `values` on their last axis, or channels of maps, by a matrix."""

    values: fx.Node
    matrix: fx.Node  # constant
    is_transposed: bool  # (inputs, outputs) instead of (outputs, inputs)
    bias: Any = None
    is_of_maps: bool = False  # values are (B, C, H, W)


def write_products_as_layers(traced: fx.GraphModule) -> None:
    """Replace products with constant matrices by calls of `linear` or `conv2d`, in place."""
    constants = Constants(traced)
    for node in list(traced.graph.nodes):
        read = _READERS.get(node.target) if node.op in _CALLS else None
        product = read(node) if read else None
        if product and _is_layer(product, constants):
            _replace(traced, node, product, constants)


def _is_layer(product: Product, constants: Constants) -> bool:
    if constants.has(product.values) or not isinstance(product.matrix, fx.Node):
        return False
    if not constants.is_learnt(product.matrix):
        return False
    matrix = constants.value(product.matrix)
    if not isinstance(matrix, Tensor) or matrix.ndim != 2 or not matrix.is_floating_point():
        return False
    return product.bias is None or _is_bias(product, product.bias, constants)


def _is_bias(product: Product, bias: Any, constants: Constants) -> bool:
    """Whether a value is a constant vector with a number for each output of a product."""
    if not constants.has(bias):
        return False
    vector, matrix = constants.value(bias), constants.value(product.matrix)
    n_outputs = matrix.shape[1 if product.is_transposed else 0]
    return isinstance(vector, Tensor) and vector.shape == (n_outputs,)


def _replace(traced: fx.GraphModule, node: fx.Node, product: Product, constants: Constants) -> None:
    """Put a linear map or a 1 x 1 convolution in a product's place, with the bias added to it."""
    replaced, bias = node, product.bias
    addition = _addition_of(node)
    if addition and bias is None and not product.is_of_maps:
        addend = next(each for each in addition.args if each is not node)
        if _is_bias(product, addend, constants):
            replaced, bias = addition, addend
    with traced.graph.inserting_before(replaced):
        weight = product.matrix
        if product.is_transposed:
            weight = traced.graph.call_function(torch.t, (weight,))
        function: Callable[..., Tensor] = functional.linear
        if product.is_of_maps:
            function = functional.conv2d
            for axis in (2, 3):
                weight = traced.graph.call_function(torch.unsqueeze, (weight, axis))
        call = traced.graph.call_function(function, (product.values, weight, bias))
    call.meta = dict(node.meta)
    replaced.replace_all_uses_with(call)
    for old in dict.fromkeys((replaced, node)):
        traced.graph.erase_node(old)


def _addition_of(node: fx.Node) -> fx.Node | None:
    """The addition of another value that alone reads a node."""
    users = list(node.users)
    if len(users) != 1 or users[0].op not in _CALLS or users[0].target not in _ADDITIONS:
        return None
    args = users[0].args
    is_plain = len(args) == 2 and args[0] is not args[1] and not users[0].kwargs
    return users[0] if is_plain else None


def _of_matmul(node: fx.Node) -> Product | None:
    """`x @ matrix`."""
    if len(node.args) != 2 or not all(isinstance(each, fx.Node) for each in node.args):
        return None
    values, matrix = node.args
    return Product(values, matrix, is_transposed=True)  # type: ignore[arg-type]


def _of_addmm(node: fx.Node) -> Product | None:
    """`torch.addmm(bias, x, matrix)`."""
    if len(node.args) != 3 or node.kwargs:
        return None
    bias, values, matrix = node.args
    if not isinstance(values, fx.Node) or not isinstance(matrix, fx.Node):
        return None
    return Product(values, matrix, is_transposed=True, bias=bias)


def _of_einsum(node: fx.Node) -> Product | None:
    """`torch.einsum("bc,kc->bk", x, matrix)`, with the two in any order and any letters."""
    equation, *operands = node.args
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = list(operands[0])
    if not isinstance(equation, str) or "->" not in equation or len(operands) != 2:
        return None
    inputs, output = equation.replace(" ", "").replace("...", "*").split("->")
    pairs = list(zip(inputs.split(","), operands, strict=True))
    for (letters, values), (axes, matrix) in (pairs, pairs[::-1]):
        is_matrix = len(axes) == 2 and len(letters) > 1 and isinstance(values, fx.Node)
        product = _of_letters(letters, axes, output, values, matrix) if is_matrix else None
        if product:
            return product
    return None


def _of_letters(letters: str, axes: str, output: str, values: Any, matrix: Any) -> Product | None:
    """The product whose matrix has the axes of one summed and one new letter, in either order."""
    for summed, new, is_transposed in ((axes[1], axes[0], False), (axes[0], axes[1], True)):
        if summed in output or new in letters or letters.replace(summed, new) != output:
            continue
        if letters.endswith(summed):
            return Product(values, matrix, is_transposed)
        if len(letters) == 4 and letters[1] == summed and "*" not in letters:
            return Product(values, matrix, is_transposed, is_of_maps=True)
    return None


_CALLS = ("call_function", "call_method")
_ADDITIONS = (operator.add, torch.add, "add")
_READERS: Mapping[Any, Callable[[fx.Node], Product | None]] = {
    operator.matmul: _of_matmul,
    torch.matmul: _of_matmul,
    torch.mm: _of_matmul,
    "matmul": _of_matmul,
    "mm": _of_matmul,
    torch.addmm: _of_addmm,
    torch.einsum: _of_einsum,
}
