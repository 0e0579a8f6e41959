"""Read the layers of a network that torch.fx cannot trace, through hooks.

A hook on the layer ends the run as soon as its input is there. What lies between layers is not
seen, so their connections and receptive fields are not known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from atlas.errors import NetworkError
from atlas.failures import does_not_run, fails_on, takes_one_image
from atlas.families.family import LayerPlace
from atlas.memory import is_out_of_memory
from atlas.network.gradients import gradients_let_through
from atlas.network.places import Spot, places
from atlas.network.weighting import weighting
from atlas.units import Layer, LayerKind

LARGEST_STEP_PX = 64  # which the sizes of images that a network takes may be multiples of


class _ReachedError(Exception):
    """Ends a run at the layer that is read."""


@dataclasses.dataclass(frozen=True)
class _Call:
    """The first call of a layer, and how many there are."""

    name: str
    module: nn.Module
    input_shape: torch.Size
    output_shape: torch.Size
    n_calls: int = 1


class HookedInput(nn.Module):
    """Computes the input of one layer from images, as an extractor made from a graph does."""

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model = model
        self._layer = layer

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The layer's input under the name "tap", for normalised images (B, C, H, W)."""
        found: list[Tensor] = []

        def stop(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            found.append(inputs[0])
            raise _ReachedError

        handle = self.model.get_submodule(self._layer).register_forward_pre_hook(stop)
        try:
            _run_to_end(self.model, images)
        except _ReachedError:
            return {"tap": found[0]}
        finally:
            handle.remove()
        raise NetworkError(f"{self._layer} was not called; give images that it is called for")


class HookedOutputs(nn.Module):
    """Computes the outputs of several layers from images, each at its first call."""

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._layers = tuple(layers)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The layers' outputs by their names, for normalised images (B, C, H, W)."""
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                if name not in found:
                    found[name] = output.clone()  # the next operation may work in place
                if len(found) == len(self._layers):
                    raise _ReachedError

            return hook

        with _hooks(self.model, {name: keep(name) for name in self._layers}):
            try:
                _run_to_end(self.model, images)
            except _ReachedError:
                return found
        missing = next(name for name in self._layers if name not in found)
        raise NetworkError(f"{missing} was not called; give images that it is called for")


def _run_to_end(model: nn.Module, images: Tensor) -> None:
    """Run a network, with gradients if images have any; a hook may end it earlier.

    Raises:
        NetworkError: its code fails on these images.
    """
    with gradients_let_through() if images.requires_grad else nullcontext():
        try:
            model(images.contiguous())  # its code may ask for views of that
        except (_ReachedError, NetworkError):
            raise
        except Exception as error:  # the network's own code
            if is_out_of_memory(error):
                raise
            raise fails_on(images.shape[1], images.shape[2], error) from error


def describe(
    model: nn.Module,
    size_px: int,
    classifier: str | None,
    place: Callable[[str, bool], LayerPlace] | None,
    n_channels: int,
) -> tuple[Layer, ...]:
    """Descriptions of the layers in the order of their first calls, without connections.

    Each counts as reading the whole image, and everything that runs before it as its work. The
    classifier is the last layer, if it gives one vector per image and the network gives one that is
    as long.

    Args:
        model: a network in evaluation mode.
        size_px: side of the square images that map sizes and costs are given for.
        classifier: name of the layer that gives the logits; empty if there is none, None to find
            it.
        place: gives the stage and block of a layer; None to find stages by the sizes of maps.
        n_channels: channels of the images.

    Raises:
        NetworkError: the network cannot be run, or has no layer.
    """
    calls, lengths = _run(model, n_channels, size_px)
    of_two = _run_at(model, n_channels, size_px, n_images=2)
    if missing := [call.name for call in calls if call.name not in of_two]:
        raise takes_one_image(missing[0])
    if classifier is None:
        last = calls[-1]
        gives_classes = len(last.output_shape) == 2 and last.output_shape[1] in lengths
        classifier = last.name if gives_classes else ""
    of_any_size = set.intersection(
        *(_run_at(model, n_channels, px) for px in other_sizes_px(size_px))
    )
    layers: list[Layer] = []
    for call in calls:
        if kind := _kind(call, classifier):
            macs = layers[-1].macs if layers else 0
            layer = _layer(call, kind, len(layers), size_px, macs)
            one_size = call.name not in of_any_size
            # Which smaller sizes it takes is not tried.
            layers.append(dataclasses.replace(layer, takes_one_size=one_size, smallest_px=size_px))
    return _placed(layers, place)


def _placed(
    layers: Sequence[Layer], place: Callable[[str, bool], LayerPlace] | None
) -> tuple[Layer, ...]:
    spots = [
        Spot(layer.name, layer.output_px if layer.has_maps else None, layer.is_classifier)
        for layer in layers
    ]
    found = (
        [place(layer.name, layer.is_conv) for layer in layers] if place else places(spots, (), {})
    )
    return tuple(
        dataclasses.replace(layer, stage=each.stage, block=each.block)
        for layer, each in zip(layers, found, strict=True)
    )


def _layer(call: _Call, kind: LayerKind, index: int, size_px: int, macs_before: int) -> Layer:
    applied = weighting(call.module, call.input_shape)
    map_px = _map_px(call, kind)
    return Layer(
        name=call.name,
        index=index,
        kind=kind,
        **applied.layer_facts,
        stage="",
        block=None,
        batch_norm=None,
        writers=(),
        output_px=map_px,
        receptive_field_px=size_px,
        field_centre_px=(size_px - 1) / 2,
        total_stride_px=max(1, size_px // max(map_px)),
        macs=macs_before + applied.weight.numel() * map_px[0] * map_px[1],
        is_traced=False,
        n_calls=call.n_calls,
    )


def _kind(call: _Call, classifier: str) -> LayerKind | None:
    n_dims = len(call.output_shape)
    if call.name == classifier:
        return "classifier"
    if isinstance(call.module, nn.Conv2d):
        return "conv" if n_dims == 4 else None
    return {4: "pointwise", 2: "hidden"}.get(n_dims)  # type: ignore[return-value]


def _map_px(call: _Call, kind: LayerKind) -> tuple[int, int]:
    shape = call.output_shape
    if kind == "conv":
        return shape[2], shape[3]
    return (shape[1], shape[2]) if kind == "pointwise" else (1, 1)


def other_sizes_px(size_px: int) -> tuple[int, int]:
    """Sizes of images that a layer is tried with to see whether it takes any size.

    Maps that are halved, enlarged again and joined with those before fit each other only if their
    sizes were even. Halving one of these sizes gives odd sizes all the way down if halves are
    rounded down, and halving the other if they are rounded up.
    """
    multiple_px = (size_px // LARGEST_STEP_PX + 1) * LARGEST_STEP_PX
    return multiple_px - 1, multiple_px + 1


def _run_at(model: nn.Module, n_channels: int, size_px: int, n_images: int = 1) -> set[str]:
    """The layers that can be computed for images of a size, so many at once."""
    calls: list[_Call] = []
    with suppress(NetworkError):
        _run(model, n_channels, size_px, calls, n_images)
    return {call.name for call in calls}


def _run(
    model: nn.Module,
    n_channels: int,
    size_px: int,
    calls: list[_Call] | None = None,
    n_images: int = 1,
) -> tuple[list[_Call], set[int]]:
    """The first calls of all layers in their order, and how long the vectors are that it gives."""
    calls = [] if calls is None else calls
    modules = {
        name: each
        for name, each in model.named_modules()
        if isinstance(each, nn.Conv2d | nn.Linear)
    }

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            for position, call in enumerate(calls):
                if call.name == name:
                    calls[position] = dataclasses.replace(call, n_calls=call.n_calls + 1)
                    return
            calls.append(_Call(name, module, inputs[0].shape, output.shape))

        return hook

    device = next(model.parameters()).device
    with torch.no_grad(), _hooks(model, {name: keep(name) for name in modules}):
        try:
            output = model(torch.zeros(n_images, n_channels, size_px, size_px, device=device))
        except Exception as error:  # the network's own code
            if is_out_of_memory(error):
                raise
            raise does_not_run(model, n_channels, size_px, error) from error
    if not calls:
        raise NetworkError(
            "the network calls no convolution and no linear layer; give one that has such modules"
        )
    vectors = (each for each in _tensors(output) if each.ndim <= 2)
    return calls, {each.shape[1] if each.ndim == 2 else each.numel() for each in vectors}


def _tensors(output: Any) -> Iterator[Tensor]:
    """The tensors in a network's output, which may be a tuple, a mapping or a dataclass."""
    if isinstance(output, Tensor):
        yield output
        return
    if dataclasses.is_dataclass(output):
        output = vars(output)
    if isinstance(output, Mapping):
        output = list(output.values())
    for each in output if isinstance(output, list | tuple) else ():
        yield from _tensors(each)


@contextmanager
def _hooks(model: nn.Module, hooks: dict[str, Callable[..., None]]) -> Iterator[None]:
    handles = [
        model.get_submodule(name).register_forward_hook(hook) for name, hook in hooks.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
