"""What a module must be for the atlas to read it, and the network in what PyTorch wraps around."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from atlas.errors import NetworkError
from atlas.text import displayable

PARTS = ("_parameters", "_buffers", "_modules")  # the dicts with all that a module consists of
INSIDE = ("module", "_orig_mod")  # what DataParallel and torch.compile call the network in them


def plain(model: nn.Module) -> nn.Module:
    """The network without wrappers, in float32.

    What is wrapped inside of it is taken out in place, so that layers have the names that its own
    code gives them.
    """
    while (inner := _inside(model)) is not None:
        model = inner
    for name, child in list(model.named_children()):
        if (inner := _inside(child)) is not None:
            setattr(model, name, inner)
    for child in model.children():
        plain(child)
    model._compiled_call_impl = None  # what `model.compile()` sets
    return model.float()


def evaluated(model: nn.Module) -> nn.Module:
    """The network as it answers after training, changed in place.

    Every module is in evaluation mode, also where `eval` was overridden. A weight that a hook of
    PyTorch computes before each call, as `weight_norm`, `spectral_norm` and pruning do, becomes a
    parameter.
    """
    model.eval()
    for module in model.modules():
        module.training = False
        for key, hook in list(module._forward_pre_hooks.items()):
            if type(hook).__module__.startswith("torch.nn.utils.") and hasattr(hook, "remove"):
                hook.remove(module)
                del module._forward_pre_hooks[key]
    return model


def copied(model: nn.Module) -> nn.Module:
    """A copy of a module, also of one that keeps tensors that it has computed."""
    computed = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(model, computed)


def sharing_weights(module: nn.Module) -> nn.Module:
    """A copy of a module whose parameters are its own but have their numbers in the same memory.

    It can be taken to another precision or layout, but its weights are not to be changed in place.
    """
    if isinstance(module, fx.GraphModule):  # copying all in its modules takes three times as long
        return fx.GraphModule(
            with_tensors(module, _in_the_same_memory), copy.deepcopy(module.graph)
        )
    parameters = (each for each in module.parameters() if type(each) is nn.Parameter)
    shared = {id(each): nn.Parameter(each.detach(), each.requires_grad) for each in parameters}
    return copy.deepcopy(module, cast("dict[int, Any]", shared))


def with_tensors(
    module: nn.Module,
    new_tensor: Callable[[Tensor], Tensor],
    new_module: Callable[[nn.Module], nn.Module | None] = lambda _: None,
) -> nn.Module:
    """A copy of a module with other tensors; what else its modules hold is shared.

    Args:
        module: the module; unlike `copy`, this takes modules that compute their weights.
        new_tensor: gives the tensor that takes the place of one; asked once for each.
        new_module: gives the module that takes the place of one; None to copy it.
    """
    copies: dict[int, Any] = {}  # by the ids of the originals

    def copied_values(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: copied_once(value) for name, value in values.items()}

    def copied_once(value: Any) -> Any:
        if not isinstance(value, nn.Module | Tensor):
            return value
        if id(value) not in copies:
            copied = new_tensor(value) if isinstance(value, Tensor) else copied_module(value)
            copies[id(value)] = copied
        return copies[id(value)]

    def copied_module(original: nn.Module) -> nn.Module:
        if (other := new_module(original)) is not None:
            return other
        made: nn.Module = object.__new__(type(original))
        vars(made).update(copied_values(vars(original)))
        vars(made).update({part: copied_values(vars(original)[part]) for part in PARTS})
        return made

    return copied_module(module)


def _in_the_same_memory(tensor: Tensor) -> Tensor:
    """A parameter of its own with the same numbers; other tensors are copied."""
    if type(tensor) is nn.Parameter:
        return nn.Parameter(tensor.detach(), tensor.requires_grad)
    return copy.deepcopy(tensor) if isinstance(tensor, nn.Parameter) else tensor.clone()


def scripted_in(model: nn.Module) -> str:
    """Dotted name of the first module of TorchScript in a network; empty if there is none."""
    modules = model.named_modules()
    return next((name for name, each in modules if isinstance(each, torch.jit.ScriptModule)), "")


def refuse_unreadable(model: nn.Module, what: str) -> None:
    """Refuse a module whose layers or weights cannot be read.

    Args:
        model: the module.
        what: it is, for the message, such as "the network".

    Raises:
        NetworkError: it is of TorchScript or exported, or a tensor has no real numbers yet.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise NetworkError(
            f"{what} is a TorchScript module, which hides its layers; give the nn.Module that it "
            "was made from, and its weights with --weights FILE"
        )
    if any(map(_is_exported, model.modules())):
        raise NetworkError(
            f"{what} is an exported program, which has no layers any more; give the nn.Module that "
            "it was exported from"
        )
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for is_so, cause, remedy in _UNREADABLE:
        if names := [name for name, tensor in tensors.items() if is_so(tensor)]:
            raise NetworkError(f"{what} has {cause} ({displayable(names[0])}); {remedy}")
    if any(".quantized." in type(module).__module__ for module in model.modules()):
        raise NetworkError(f"{what} has quantised layers; {_UNQUANTISED}")


def _is_exported(module: nn.Module) -> bool:
    """Whether a module calls operations of PyTorch itself, as only exported programs do."""
    nodes = module.graph.nodes if isinstance(module, fx.GraphModule) else ()
    return any(isinstance(node.target, torch._ops.OpOverload) for node in nodes)


def _inside(model: nn.Module) -> nn.Module | None:
    """The network in a wrapper of PyTorch; None if the module is no wrapper.

    That is a class of PyTorch whose only child is called as wrappers call it.
    """
    children: Mapping[str, nn.Module] = dict(model.named_children())
    is_wrapper = type(model).__module__.startswith("torch.") and len(children) == 1
    return (
        next((children[name] for name in INSIDE if name in children), None) if is_wrapper else None
    )


_UNQUANTISED = "give the network from before it was quantised"
# Whether a tensor cannot be read, what it is then, and the remedy.
_UNREADABLE: Sequence[tuple[Callable[[Tensor], bool], str, str]] = [
    (
        nn.parameter.is_lazy,
        "lazy layers",
        "show it an image first, or give them their sizes",
    ),
    (
        lambda tensor: tensor.is_meta,
        "tensors on the meta device, without numbers",
        "make it on the CPU, or load its weights with assign=True first",
    ),
    (lambda tensor: tensor.is_quantized, "quantised tensors", _UNQUANTISED),
    (Tensor.is_complex, "complex weights", "the atlas reads real ones"),
    (
        lambda tensor: tensor.layout != torch.strided,
        "sparse tensors",
        "make them dense first, with to_dense()",
    ),
]
