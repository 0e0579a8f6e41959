"""What can be said of an architecture from its modules, before any weights are loaded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from atlas.errors import NetworkError
from atlas.heap import no_garbage_collection

HEADS = ("num_heads", "n_heads", "heads")  # by which attention says how it splits channels
CONVS_PER_ATTENTION = 3  # of a network that is mainly convolutional, at least
# The key of a layer's weight, also where this is in parts, as weight normalisation leaves it.
_WEIGHT = re.compile(r"(?P<layer>.+)\.(weight(_[a-z]+)?|parametrizations\.weight\..+)")
N_CLASSES = (11, 13)  # two numbers of classes that tell the classifier from other layers
MAKE = frozenset({torch.empty, torch.zeros, torch.ones})
FILL = frozenset(
    {
        *(Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_),
        *(Tensor.erfinv_, Tensor.mul_, Tensor.add_, Tensor.clamp_),  # of truncated distributions
        *(init.normal_, init.uniform_, init.constant_, init.kaiming_uniform_),
    }
)
# With these, PyTorch finds the numbers of a truncated distribution that are to be drawn anew.
COMPARE = frozenset({Tensor.lt, Tensor.gt, Tensor.__lt__, Tensor.__gt__})


class _WithoutMemory(TorchFunctionMode):
    """Tensors that are about to be filled are made without memory; others are as they are.

    Unlike under `torch.device("meta")`, what an architecture computes from small tensors, such as
    its widths, still has values. What has no memory is not filled, which would take most of the
    time: PyTorch draws random numbers for it in Python, step by step.
    """

    def __torch_function__(
        self, func: Any, _types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in MAKE:
            options["device"] = "meta"
        elif func in FILL and (filled := args[0] if args else options["tensor"]).is_meta:
            return filled
        return func(*args, **options)


class _Unfilled(TorchFunctionMode):
    """Parameters keep whatever their memory holds; other tensors are as they are."""

    def __torch_function__(
        self, func: Any, _types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in FILL:
            filled = args[0] if args else options["tensor"]
            if isinstance(filled, nn.Parameter):
                return filled
        if func in COMPARE and isinstance(args[0], nn.Parameter):
            return torch.tensor(False)  # none is
        return func(*args, **options)


def unfilled(build: Callable[[int], nn.Module], n_classes: int) -> nn.Module:
    """The network with parameters of no meaning, in memory: the weights of a file follow.

    Drawing random numbers for them takes longer than reading the file does.

    Args:
        build: builds it from the number of classes, and computes nothing from its parameters.
        n_classes: the number of classes.
    """
    with _Unfilled():
        return build(n_classes)


def outline(build: Callable[[int], nn.Module], n_classes: int = N_CLASSES[0]) -> nn.Module:
    """The network without memory for its weights.

    Args:
        build: builds it from the number of classes, and keeps nothing of it.
        n_classes: the number of classes.
    """
    with no_garbage_collection(), _WithoutMemory():
        return build(n_classes)


def classifier_of(build: Callable[[int], nn.Module]) -> str:
    """Dotted name of the layer whose outputs are the classes; the last, if there are several.

    It is the one whose size follows the number of classes; empty if there is none.

    Args:
        build: builds the network, or an outline of it, from the number of classes.
    """
    few, more = (_shapes(build(n_classes)) for n_classes in N_CLASSES)
    following = [key for key in few if key in more and few[key] != more[key]]
    names = [match["layer"] for key in following if (match := _WEIGHT.fullmatch(key))]
    return names[-1] if names else ""


def image_channels(model: nn.Module) -> int:
    """The channels of the first convolution that the network defines; 3 if there is none.

    A kernel of its own, which it gives to a function, may come before its modules. One of a single
    channel may be of a depthwise convolution instead.
    """
    convs = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    first = [conv.in_channels for conv in itertools.islice(convs, 1)]
    own = [each.shape[1] for each in model.parameters(recurse=False) if each.ndim == 4]
    return min([*first, *(n for n in own[:1] if n > 1)], default=3)


def with_image_channels(model: nn.Module, conv_name: str, n_channels: int) -> nn.Module:
    """The network with a convolution that reads images of other channels, without its weights.

    What is no plain convolution stays as it is.
    """
    conv = model.get_submodule(conv_name)
    if isinstance(conv, nn.Conv2d) and conv.groups == 1:
        n_units, _, *kernel_px = conv.weight.shape
        conv.in_channels = n_channels
        conv.weight = nn.Parameter(conv.weight.new_empty(n_units, n_channels, *kernel_px))
    return model


def n_units_of(model: nn.Module) -> int:
    """The number of channels of convolutions and of outputs of linear layers."""
    layers = (module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    return sum(layer.weight.shape[0] for layer in layers)


def why_not_drawn(model: nn.Module) -> str:
    """Why the atlas does not draw a network: it is a transformer, or has no convolutions.

    A hybrid is drawn if it is mainly convolutional.
    """
    attention = attention_in(model)
    n_convs = len(_convs_beside(attention, model))
    if attention and not n_convs:
        return "is a transformer"
    if n_convs < CONVS_PER_ATTENTION * len(attention):
        return (
            f"is mainly a transformer ({len(attention)} modules of attention, {n_convs} "
            "convolutions beside them)"
        )
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not convs:
        return "has no convolutions"
    if all(_cuts_patches(conv) for conv in convs):
        return "has no convolutions but the one that cuts the image into patches"
    return ""


def refuse_other_than_convolutional(name: str, model: nn.Module) -> None:
    """Refuse a network that is none of those that the atlas draws.

    Raises:
        NetworkError: it is a transformer, or has no convolutions beyond a patch embedding.
    """
    if why := why_not_drawn(model):
        raise NetworkError(f"{name} {why}; the atlas draws convolutional networks")


def attention_in(model: nn.Module) -> list[str]:
    """Dotted names of the modules that are attention, without those inside of another."""
    found: list[str] = []
    for name, module in model.named_modules():
        if _has_heads(module) and not any(_is_inside(name, outer) for outer in found):
            found.append(name)
    return found


def _convs_beside(attention: Sequence[str], model: nn.Module) -> list[nn.Conv2d]:
    """The convolutions outside of attention, without those that cut the image into patches."""
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
        and not _cuts_patches(module)
        and not any(_is_inside(name, outer) for outer in attention if outer)
    ]


def _is_inside(name: str, module: str) -> bool:
    return not module or name.startswith(f"{module}.")


def _shapes(model: nn.Module) -> Mapping[str, torch.Size]:
    return {key: tensor.shape for key, tensor in model.state_dict().items()}


def _has_heads(module: nn.Module) -> bool:
    """Whether a module is attention: it splits its channels among heads."""
    return any(type(getattr(module, name, None)) is int for name in HEADS)


def _cuts_patches(conv: nn.Conv2d) -> bool:
    """Whether a convolution sees each pixel once, as the patch embedding of transformers does."""
    return conv.kernel_size == conv.stride and conv.kernel_size != (1, 1)
