"""A loaded network: its facts, taps into any layer, and how its layers are wired."""

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
    """A frozen network in evaluation mode, its facts, and taps into it."""

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
        """Everything up to `layer`, nothing after it.

        With a precision, by the quickest way to the same function (`shortcuts.py`). Without one,
        the network as it was loaded, in float32.
        """
        model = self._shortened(precision) if precision else self.model
        leaves = {"leaf_modules": [UnstridedConv]}
        extractor = create_feature_extractor(
            model, {layer.name: "tap"}, tracer_kwargs=leaves
        ).eval()
        # With nothing in the layer's place, what comes out is what the layer takes in.
        extractor.set_submodule(layer.name, nn.Identity())
        if precision:
            extractor = pooled_first(extractor)
        module = copy.deepcopy(self.model.get_submodule(layer.name))
        module = module.to(getattr(torch, precision or "float32"))
        tap = Tap(
            *self._reading(layer), extractor=extractor, module=module, own_only=bool(precision)
        )
        return tap.to(self.device)

    def watch(self, layers: Sequence[Layer], precision: Precision = "float32") -> Watch:
        """All these layers at once, in the order given."""
        names = {layer.name: layer.name for layer in layers}
        model = in_sigmas(copy.deepcopy(self.model), self.facts.layers)
        model = model.to(getattr(torch, precision)).to(memory_format=torch.channels_last)
        leaves = {"leaf_modules": [UnstridedConv]}
        extractor = create_feature_extractor(model, names, tracer_kwargs=leaves).eval()
        return Watch([self.reader(layer) for layer in layers], extractor)

    def reader(self, layer: Layer) -> Reader:
        """How to read the layer's raw output."""
        return Reader(*self._reading(layer)).to(self.device)

    @cached_property
    def wiring(self) -> Mapping[str, Signal | None]:
        """What each layer takes in and from whom, by its name; None where it cannot be told."""
        return follow(self.model, [self.reader(layer) for layer in self.facts.layers])

    def input_swings(self, layer: Layer) -> Tensor:
        """How far each input moves with whoever writes it, 1 where unknown: (in_channels,)."""
        signal = self.wiring[layer.name]
        if signal is None:
            return torch.ones(layer.in_channels, device=self.device)
        _, swings = signal.strongest()
        return swings

    def _reading(self, layer: Layer) -> tuple[Layer, nn.BatchNorm2d | None, Tensor, Tensor]:
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
