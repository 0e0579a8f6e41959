"""Trace a network with torch.fx into a graph in which every layer is a module.

Subclasses of Conv2d and Linear are called as they are, whatever they do inside. A convolution,
linear map or BatchNorm that is called as a function, with weights that do not depend on the image,
becomes a module of its own, named after the module that owns the weights.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import TensorMetadata
from torch.nn import functional
from torch.nn.parameter import UninitializedParameter
from torch.utils._pytree import tree_leaves

from atlas.errors import NetworkError
from atlas.failures import does_not_run
from atlas.families.architecture import attention_in
from atlas.memory import is_out_of_memory
from atlas.network.constants import Constants
from atlas.network.operators import argument, module_of, put_module, works_in_place
from atlas.network.outputs import main_output
from atlas.network.products import write_products_as_layers
from atlas.network.weightless import Weightless, without_contents

LAYERS = (nn.Conv2d, nn.Linear)


class UntraceableError(NetworkError):
    """torch.fx cannot follow the network's code; its layers can be read through hooks."""


def trace(model: nn.Module, n_channels: int, size_px: int) -> fx.GraphModule:
    """The graph of a network, with the shape of every tensor in `node.meta["tensor_meta"]`.

    It shares the model's weights and ends with the main one of the network's outputs.

    Args:
        model: a network in evaluation mode that takes images (B, n_channels, size_px, size_px).
        n_channels: channels of the images.
        size_px: side of the images.

    Raises:
        UntraceableError: torch.fx cannot trace the network, or it has attention, which takes
            positions for channels in ways that no rule here follows.
        NetworkError: the network cannot be run on such images.
    """
    if attention := attention_in(model):
        raise UntraceableError(f"the network has attention ({attention[0] or 'in itself'})")
    shape = (1, n_channels, size_px, size_px)
    _initialise(model, shape)
    try:
        tracer = _Tracer()
        traced = fx.GraphModule(model, tracer.trace(model))
    except Exception as error:  # the network's own code runs here, on stand-ins for tensors
        if is_out_of_memory(error):
            raise
        raise UntraceableError(f"torch.fx cannot trace the network: {error}") from error
    _allow_any_layout(traced)
    _let_gradients_through(traced)
    write_products_as_layers(traced)
    _call_modules(traced)
    propagate_shapes(traced, shape)
    output = next(node for node in traced.graph.nodes if node.op == "output")
    output.args = (main_output(traced, output),)
    return part_of(traced, {"": output.args[0]})


def propagate_shapes(traced: fx.GraphModule, shape: tuple[int, ...]) -> None:
    """Write the shapes for images of a shape into a graph, where possible without computing.

    Raises:
        NetworkError: the network cannot be run on such images.
    """
    try:
        with without_contents():
            _Shapes(Weightless(traced)).run(torch.empty(shape))
    except Exception:  # the network's own operations: one may need numbers, another may fail
        _compute_shapes(traced, shape)


def _compute_shapes(traced: fx.GraphModule, shape: tuple[int, ...]) -> None:
    device = next((each.device for each in _tensors_of(traced)), None)
    try:
        with torch.inference_mode():
            _Shapes(traced).run(torch.zeros(shape, device=device))
    except Exception as error:  # the network's own operations
        if is_out_of_memory(error):
            raise
        _, n_channels, size_px, _ = shape
        raise does_not_run(traced, n_channels, size_px, error) from error


class _Shapes(fx.Interpreter):
    """Runs a graph and writes the shapes of all tensors into its nodes, as torch's ShapeProp does.

    Unlike that, it prints nothing when an operation fails.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        """Compute one node."""
        result = super().run_node(n)
        if any(isinstance(each, Tensor) for each in tree_leaves(result)):
            n.meta["tensor_meta"] = fx.node.map_aggregate(result, _metadata)
        return result


def _metadata(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    layout = value.stride() if value.layout == torch.strided else ()
    return TensorMetadata(value.shape, value.dtype, value.requires_grad, layout, None, False, {})


def part_of(
    traced: fx.GraphModule, outputs: Mapping[str, fx.Node], start: fx.Node | None = None
) -> fx.GraphModule:
    """The part of a graph that computes some of its nodes.

    Args:
        traced: the graph, which is left as it is; modules are shared.
        outputs: nodes by the names under which the part gives them, as a dict; a node under an
            empty name is given alone.
        start: the node whose value the part is given, instead of images.
    """
    needed = _needed(traced, outputs.values(), start)
    graph, copies, kept = fx.Graph(), {}, {}
    for node in traced.graph.nodes:
        if node is start or (node.op == "placeholder" and start is None):
            copies[node] = graph.placeholder("images" if start is None else "inputs")
            copies[node].meta = dict(node.meta)
        elif node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
        if node in outputs.values():
            kept[node] = copies[node]
            if any(user in needed and not _copies(user, traced) for user in node.users):
                kept[node] = graph.call_function(torch.clone, (copies[node],))
    results = {name: kept[node] for name, node in outputs.items()}
    graph.output(results.get("", results))
    return fx.GraphModule(traced, graph)


def _copies(node: fx.Node, model: fx.GraphModule) -> bool:
    """Whether a node certainly leaves its input alone: others change it, or pass it on as it is."""
    return isinstance(module_of(node, model), nn.Conv2d | nn.Linear | nn.BatchNorm2d)


class _Tracer(fx.Tracer):
    """Traces a network of one argument, the images, and keeps layers of every kind whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is called rather than traced."""
        return isinstance(m, LAYERS) or super().is_leaf_module(m, module_qualified_name)

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """The images; all other arguments keep their defaults."""
        return root_fn, [self.root, self.create_proxy("placeholder", "images", (), {})]


def _initialise(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Run a network whose lazy modules get their shapes from the first image."""
    if any(isinstance(each, UninitializedParameter) for each in model.parameters()):
        with torch.no_grad():
            model(torch.zeros(shape))


def _needed(
    traced: fx.GraphModule, targets: Iterable[fx.Node], start: fx.Node | None
) -> set[fx.Node]:
    """The nodes that some targets are computed from, and those that change these in place.

    A change counts if the changed tensor is read after it.
    """
    wanted, needed = set(targets), set[fx.Node]()
    for node in reversed(traced.graph.nodes):
        changed = node.args[0] if works_in_place(node, module_of(node, traced)) else None
        is_read_later = isinstance(changed, fx.Node) and any(
            user in needed for user in changed.users
        )
        if node in wanted or is_read_later:
            needed.add(node)
            wanted.update(node.all_input_nodes if node is not start else ())
    return needed


def _allow_any_layout(traced: fx.GraphModule) -> None:
    """Turn `view` into `reshape`: here maps have their channels last in memory."""
    for node in traced.graph.nodes:
        is_view = node.op == "call_method" and node.target == "view"
        if is_view and not any(isinstance(each, torch.dtype) for each in node.args):
            node.target = "reshape"


def _let_gradients_through(traced: fx.GraphModule) -> None:
    """Leave out `detach` and `data`, which only training wants: pictures need the gradient."""
    for node in traced.graph.nodes:
        is_detached = node.op == "call_method" and node.target == "detach"
        is_data = node.target is getattr and node.args[1:] == ("data",)
        if is_detached or is_data or node.target is torch.detach:
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)


def _call_modules(traced: fx.GraphModule) -> None:
    """Turn functions that are called with constant weights into modules of the graph."""
    constants = Constants(traced)
    names: dict[str, tuple[Any, ...]] = {}  # the weights behind each name
    for node in list(traced.graph.nodes):
        build = _BUILDERS.get(node.target) if node.op == "call_function" else None
        module = build(node, constants) if build else None
        if module is not None:
            name = _free_name(constants.owner(node), node.args[1:], names, traced)
            _set_module(traced, name, module.eval())
            with traced.graph.inserting_before(node):
                call = traced.graph.call_module(name, (argument(node, 0, "input"),))
            call.meta = dict(node.meta)
            node.replace_all_uses_with(call)
            traced.graph.erase_node(node)
    for node in reversed(traced.graph.nodes):
        if not node.users and constants.has(node):
            traced.graph.erase_node(node)


def _conv(node: fx.Node, constants: Constants) -> nn.Module | None:
    defaults = {"weight": None, "bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    given = [
        argument(node, position, name, default)
        for position, (name, default) in enumerate(defaults.items(), 1)
    ]
    if not all(map(constants.has, given)) or given[0] is None:
        return None
    weight, bias, stride, padding, dilation, groups = map(constants.value, given)
    n_units, per_group, *kernel = weight.shape
    shape = (per_group * groups, n_units, kernel, stride, padding, dilation, groups)
    with torch.device("meta"):
        conv = nn.Conv2d(*shape, bias=bias is not None)
    return _with_weights(conv, weight, bias)


def _linear(node: fx.Node, constants: Constants) -> nn.Module | None:
    given = [argument(node, 1, "weight"), argument(node, 2, "bias")]
    if not all(map(constants.has, given)) or given[0] is None:
        return None
    weight, bias = map(constants.value, given)
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _with_weights(linear, weight, bias)


def _batch_norm(node: fx.Node, constants: Constants) -> nn.Module | None:
    """The BatchNorm2d of a functional call, if that is what the owner of its statistics is."""
    names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = [argument(node, position, name) for position, name in enumerate(names, 1)]
    if not all(map(constants.has, given)) or not isinstance(given[0], fx.Node) or given[4]:
        return None
    if not _is_in_batch_norm(node):
        return None
    mean, var, weight, bias, _, _, eps = map(constants.value, given)
    norm = nn.BatchNorm2d(len(mean), 1e-5 if eps is None else eps, affine=weight is not None)
    norm.running_mean, norm.running_var = mean, var
    return _with_weights(norm, weight, bias) if weight is not None else norm


def _is_in_batch_norm(node: fx.Node) -> bool:
    """Whether a node was traced in a module that is a BatchNorm2d."""
    stack = node.meta.get("nn_module_stack") or {}
    classes = [kind for _, kind in stack.values()]
    return (
        bool(classes) and isinstance(classes[-1], type) and issubclass(classes[-1], nn.BatchNorm2d)
    )


_BUILDERS: Mapping[Any, Callable[[fx.Node, Constants], nn.Module | None]] = {
    functional.conv2d: _conv,
    functional.linear: _linear,
    functional.batch_norm: _batch_norm,
}


def _with_weights(module: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    module.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias.detach(), requires_grad=False)
    result: nn.Module = module
    return result


def _free_name(
    owner: str, weights: tuple[Any, ...], names: dict[str, tuple[Any, ...]], traced: fx.GraphModule
) -> str:
    """The owner's name, or with a number if another layer has it."""
    name, number = owner, 1
    called = {str(node.target) for node in traced.graph.nodes if node.op == "call_module"}
    while (
        names.get(name, weights) != weights
        or (name in called and name not in names)
        or isinstance(getattr(traced, name, None), Tensor)  # a weight of the network itself
    ):
        number += 1
        name = f"{owner}_{number}"
    names[name] = weights
    return name


def _set_module(traced: fx.GraphModule, name: str, module: nn.Module) -> None:
    """Put a module into the graph's own tree; weights under that name stay reachable."""
    try:
        old = traced.get_submodule(name)
    except AttributeError:
        traced.add_submodule(name, module)
        return
    for key, weight in old.named_parameters(recurse=False):
        if not hasattr(module, key):
            module.register_parameter(key, weight)
    for key, buffer in old.named_buffers(recurse=False):
        if not hasattr(module, key):
            module.register_buffer(key, buffer)
    put_module(traced, name, module)


def _tensors_of(traced: fx.GraphModule) -> Iterable[Tensor]:
    yield from traced.parameters()
    yield from traced.buffers()
    for node in traced.graph.nodes:
        if node.op == "get_attr":
            value = operator.attrgetter(str(node.target))(traced)
            if isinstance(value, Tensor):
                yield value
