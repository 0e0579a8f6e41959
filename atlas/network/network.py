"""A loaded network: its facts, taps that read its layers, and how its layers are connected."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from atlas.network.shortcuts import UnstridedConv, in_sigmas, pooled_first, shortened
from atlas.network.taps import Reader, Tap, Watch
from atlas.network.wiring import Signal, follow
from atlas.units import Layer, NetworkFacts

Precision = Literal["float32", "bfloat16"]


class Network:
    """A frozen network in evaluation mode, its facts, and access to its layers."""

    def __init__(
        self, model: nn.Module, facts: NetworkFacts, device: torch.device | str = "cpu"
    ) -> None:
        self.facts = facts
        self.device = torch.device(device)
        self._shortened_models: dict[str, nn.Module] = {}
        self.model = model.eval().requires_grad_(False)
        self.model = self.model.to(self.device).to(memory_format=torch.channels_last)
        self._image_mean, self._image_std = (
            torch.tensor(values, device=self.device).view(1, -1, 1, 1)
            for values in (facts.preprocessing.mean, facts.preprocessing.std)
        )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its convolutions and linear layers, in forward order."""
        return self.facts.layers

    def tap(self, layer: Layer, precision: Precision | None = None) -> Tap:
        """The part of the network up to `layer`, with which the layer's output is computed.

        With a precision, it is rewritten to compute the same function faster (`shortcuts.py`).
        Without one, it is the network as it was loaded, in float32.
        """
        model = self._shortened(precision) if precision else self.model
        tracer_kwargs = {"leaf_modules": [UnstridedConv]}
        extractor = create_feature_extractor(
            model, {layer.name: "tap"}, tracer_kwargs=tracer_kwargs
        ).eval()
        # With an identity in the layer's place, the extractor returns the layer's input.
        extractor.set_submodule(layer.name, nn.Identity())
        if precision:
            extractor = pooled_first(extractor)
        module = copy.deepcopy(self.model.get_submodule(layer.name))
        module = module.to(getattr(torch, precision or "float32"))
        tap = Tap(
            *self._reader_args(layer), extractor=extractor, module=module, own_only=bool(precision)
        )
        return tap.to(self.device)

    def watch(self, layers: Sequence[Layer], precision: Precision = "float32") -> Watch:
        """Reads all these layers, in the order given, with one forward pass."""
        names = {layer.name: layer.name for layer in layers}
        model = in_sigmas(copy.deepcopy(self.model), self.facts.layers)
        model = model.to(getattr(torch, precision)).to(memory_format=torch.channels_last)
        tracer_kwargs = {"leaf_modules": [UnstridedConv]}
        extractor = create_feature_extractor(model, names, tracer_kwargs=tracer_kwargs).eval()
        return Watch([self.reader(layer) for layer in layers], extractor)

    def reader(self, layer: Layer) -> Reader:
        """Converts the layer's raw output to standard deviations from each unit's average."""
        return Reader(*self._reader_args(layer)).to(self.device)

    @cached_property
    def wiring(self) -> Mapping[str, Signal | None]:
        """By layer name, the signal at the layer's input; None where it cannot be derived."""
        return follow(self.model, [self.reader(layer) for layer in self.facts.layers])

    def input_swings(self, layer: Layer) -> Tensor:
        """How far each input channel moves with the layer that writes it, (in_channels,).

        That is for a move of the writing unit by one of its standard deviations. Of several
        writing layers, the one that moves the channel most counts. All ones where the input's
        signal is unknown.
        """
        signal = self.wiring[layer.name]
        if signal is None:
            return torch.ones(layer.in_channels, device=self.device)
        _, swings = signal.strongest()
        return swings

    def _reader_args(self, layer: Layer) -> tuple[Layer, nn.BatchNorm2d | None, Tensor, Tensor]:
        norm = self.model.get_submodule(layer.batch_norm) if layer.batch_norm else None
        return layer, cast("nn.BatchNorm2d | None", norm), self._image_mean, self._image_std

    def weight(self, layer: Layer) -> Tensor:
        """The layer's weights in float32: (n_units, in_channels / groups, kh, kw)."""
        weight = cast(Tensor, self.model.get_submodule(layer.name).weight)
        return weight if weight.ndim == 4 else weight[:, :, None, None]

    def _shortened(self, precision: Precision) -> nn.Module:
        if precision not in self._shortened_models:
            model = shortened(copy.deepcopy(self.model), self.facts.layers)
            model = model.requires_grad_(False).to(getattr(torch, precision))
            self._shortened_models[precision] = model.to(memory_format=torch.channels_last)
        return self._shortened_models[precision]
