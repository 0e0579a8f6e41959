"""A loaded network: its facts, taps that read its layers, and how its layers are connected."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal, cast

import torch
from torch import Tensor, fx, nn

from atlas.console import say_above
from atlas.families.modules import evaluated, sharing_weights
from atlas.generated_images import Images, reference_images
from atlas.network.hooks import HookedInput, HookedOutputs
from atlas.network.measured import measure_operations, nodes_to_measure
from atlas.network.outputs import are_raw, layer_node, logits_of, shape_of, unrectified
from atlas.network.shortcuts import in_sigmas, pooled_first, shortened
from atlas.network.signals import Signal
from atlas.network.statistics import is_activated, measure, normalised_batches
from atlas.network.taps import Reader, Statistics, Tap, Watch
from atlas.network.tracing import UntraceableError, part_of, trace
from atlas.network.trial import is_random, why_it_fails
from atlas.network.weighting import is_plain, weighting
from atlas.network.wiring import follow
from atlas.progress import SILENT, Progress, counted
from atlas.units import N_REFERENCE_IMAGES, Layer, NetworkFacts

Precision = Literal["float32", "bfloat16"]


class Network:
    """A frozen network in evaluation mode, its facts, and access to its layers.

    Args:
        model: the network.
        facts: what is known of it.
        device: the device to put it on.
        progress: shows what is measured later, of layers without a BatchNorm.
        traced: its graph as `trace` gives it, if it was traced on this device already.
    """

    def __init__(
        self,
        model: nn.Module,
        facts: NetworkFacts,
        device: torch.device | str = "cpu",
        progress: Progress = SILENT,
        traced: fx.GraphModule | None = None,
    ) -> None:
        self.facts = facts
        self._progress = progress
        self._traced = traced
        self.device = torch.device(device)
        self.model = evaluated(model).requires_grad_(False)
        self.model = self.model.to(self.device)
        self._shortened: dict[Precision, nn.Module] = {}
        self._usable: dict[Precision, Precision] = {"float32": "float32"}
        self._image_mean, self._image_std = (
            torch.tensor(values, device=self.device).view(1, -1, 1, 1)
            for values in (facts.preprocessing.mean, facts.preprocessing.std)
        )

    @cached_property
    def graph(self) -> fx.GraphModule | None:
        """The network as a graph that shares its weights; None if torch.fx cannot trace it."""
        preprocessing, traced = self.facts.preprocessing, self._traced
        if traced is None:
            try:
                traced = trace(self.model, len(preprocessing.mean), preprocessing.size_px)
            except UntraceableError:
                return None
        return traced.to(memory_format=torch.channels_last)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its convolutions and linear layers, in forward order."""
        return self.facts.layers

    def tap(self, layer: Layer, precision: Precision | None = None) -> Tap:
        """The part of the network up to `layer`, with which the layer's output is computed.

        With a precision, it is rewritten to compute the same function faster (`shortcuts.py`).
        Without one, it is the network as it was loaded, in float32.
        """
        model = self._shortened_for(precision) if precision else self.graph or self.model
        if isinstance(model, fx.GraphModule):
            part = part_of(model, {"tap": _input_of(model, layer)})
            extractor: nn.Module = pooled_first(part) if precision else part
        else:
            extractor = HookedInput(model, layer.name)
        module = self._module(layer).to(getattr(torch, precision or "float32"))
        tap = Tap(
            *self._reader_args(layer),
            extractor=extractor,
            module=module,
            ascended=unrectified(module),
            own_only=bool(precision),
        )
        return tap.to(self.device)

    def _module(self, layer: Layer) -> nn.Module:
        """A copy of what computes a layer's output, or the logits of a classifier, from its input.

        Without a graph, the logits are the output of the classifier itself.
        """
        module: nn.Module = (self.graph or self.model).get_submodule(layer.name)
        if self.graph and layer.is_classifier:
            logits, node = logits_of(self.graph, layer.name), layer_node(self.graph, layer.name)
            if not are_raw(self.graph, logits, node):
                module = part_of(self.graph, {"": logits}, start=_input_of(self.graph, layer))
        return sharing_weights(module)

    def watch(self, layers: Sequence[Layer], precision: Precision = "float32") -> Watch:
        """Reads all these layers, in the order given, with one forward pass."""
        model, scaled = copy.deepcopy(self.graph or self.model), self._plain_layers()
        if isinstance(model, fx.GraphModule):
            model = in_sigmas(model, scaled)
        model = model.to(getattr(torch, precision))
        names = [layer.name for layer in layers]
        extractor: nn.Module = HookedOutputs(model, names)
        if isinstance(model, fx.GraphModule):
            model = model.to(memory_format=torch.channels_last)
            extractor = part_of(model, {each.name: _output_of(model, each) for each in layers})
        in_sigmas_already = {layer for layer in scaled if layer.batch_norm}
        return Watch([self.reader(layer) for layer in layers], extractor, in_sigmas_already)

    def reader(self, layer: Layer) -> Reader:
        """Converts the layer's raw output to standard deviations from each unit's average."""
        return Reader(*self._reader_args(layer)).to(self.device)

    @cached_property
    def measured(self) -> Mapping[str, Statistics]:
        """The statistics of the layers that no BatchNorm follows, measured on generated images."""
        layers = [
            layer
            for layer in self.facts.layers
            if layer.sigma == "measured" and not layer.is_classifier
        ]
        if not layers:
            return {}
        seen = self.facts.preprocessing
        images = reference_images(seen.size_px, len(seen.mean))
        with counted(self._progress, "measuring sigma", "images") as show:
            counted_images = _counted_images(images, show)
            found = measure(self._raw_outputs(layers), layers, seen, self.device, counted_images)
        return {
            layer.name: Statistics.measured(*found[layer.name], is_activated(self.graph, layer))
            for layer in layers
        }

    def prepare(self) -> None:
        """Measure now what would otherwise be measured while the first artifacts are made.

        Whether the network draws random numbers is tried, and said if it does.
        """
        _ = self.measured
        if is_random(self.model, self._small_images()):
            say_above(
                "The network answers the same image differently each time, as it draws random "
                "numbers also in evaluation mode; so its pictures and numbers depend on chance."
            )

    def _small_images(self) -> Tensor:
        """An image of chance, of the smallest size that all layers can be computed for."""
        size_px = max(
            self.facts.input_size_px if layer.takes_one_size else layer.smallest_px
            for layer in self.layers
        )
        shape = (1, len(self.facts.preprocessing.mean), size_px, size_px)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def _raw_outputs(self, layers: Sequence[Layer]) -> nn.Module:
        """Computes the outputs of layers from images, by their names."""
        if self.graph is None:
            return HookedOutputs(self.model, [layer.name for layer in layers])
        outputs = {layer.name: layer_node(self.graph, layer.name) for layer in layers}
        return part_of(self.graph, outputs)

    @cached_property
    def wiring(self) -> Mapping[str, Signal | None]:
        """By layer name, the signal at the layer's input; None where it cannot be derived."""
        if self.graph is None:
            return {layer.name: None for layer in self.facts.layers}
        seen = self.facts.preprocessing
        n_channels, size_px = len(seen.mean), seen.size_px
        images = normalised_batches(reference_images(size_px, n_channels), seen, self.device)
        measured = measure_operations(self.graph, nodes_to_measure(self.graph), images)
        layers = {layer: self._statistics(layer) for layer in self.facts.layers}
        return follow(self.graph, layers, (n_channels, size_px, size_px), measured)

    def input_swings(self, layer: Layer) -> Tensor:
        """How far each input channel moves with the layer that writes it, (in_channels,).

        That is for a move of the writing unit by one of its standard deviations. Of several
        writing layers, the one that moves the channel most counts. All ones where the input's
        signal is unknown.
        """
        signal = self.wiring[layer.name]
        if signal is None:
            return torch.ones(layer.in_channels, device=self.device)
        _, _, swings = signal.strongest()
        return swings

    def _reader_args(self, layer: Layer) -> tuple[Layer, Statistics, Tensor, Tensor]:
        return layer, self._statistics(layer), self._image_mean, self._image_std

    def _statistics(self, layer: Layer) -> Statistics:
        if layer.is_classifier:
            return Statistics.none(layer.n_units, self.device)
        if self.graph and layer.batch_norm:
            norm = self.graph.get_submodule(layer.batch_norm)
            return Statistics.of_norm(cast(nn.BatchNorm2d, norm))
        return self.measured[layer.name]

    def norm_shares(self, layer: Layer) -> Tensor | None:
        """How far each unit varies after the layer's BatchNorm, over the median unit, (n_units,).

        That is the factor of its channel, which training may have all but switched off. Source: Liu
        et al. 2017, https://arxiv.org/abs/1708.06519. None without a BatchNorm that has factors.
        """
        if not self.graph or not layer.batch_norm:
            return None
        norm = self.graph.get_submodule(layer.batch_norm)
        if not isinstance(norm, nn.BatchNorm2d) or not norm.affine:
            return None
        factors = norm.weight.detach().float().abs()
        median = factors.median()
        return factors / median if median > 0 else None

    def weight(self, layer: Layer) -> Tensor:
        """The weights that a layer applies, in float32: (n_units, in_channels / groups, kh, kw)."""
        module = (self.graph or self.model).get_submodule(layer.name)
        shape = shape_of(_input_of(self.graph, layer)) if self.graph else None
        size_px = self.facts.input_size_px
        weight = weighting(module, shape or (1, layer.in_channels, size_px, size_px)).weight
        return weight if weight.ndim == 4 else weight[:, :, None, None]

    def usable(self, precision: Precision) -> Precision:
        """The precision if the network runs in it, else `float32`, which is said once.

        Code that makes tensors in float32 itself, or asks for an operation that PyTorch does not
        have in another precision, does not run in that.
        """
        if precision not in self._usable:
            cause = self._why_it_fails(precision)
            if cause and self._why_it_fails("float32"):
                cause = ""  # which is not about the precision
            if cause:
                del self._shortened[precision]
                say_above(
                    f"The network does not run in {precision} ({cause}); pictures are made in "
                    "float32, which is slower."
                )
            self._usable[precision] = "float32" if cause else precision
        return self._usable[precision]

    def _why_it_fails(self, precision: Precision) -> str:
        seen = self.facts.preprocessing
        shape = (1, len(seen.mean), seen.size_px, seen.size_px)
        images = torch.zeros(shape, dtype=getattr(torch, precision), device=self.device)
        return why_it_fails(self._shortened_for(precision), images)

    def _shortened_for(self, precision: Precision) -> nn.Module:
        if precision not in self._shortened:
            if precision != "float32":  # the folded weights are the same, only rounded
                model = sharing_weights(self._shortened_for("float32"))
            else:
                model = sharing_weights(self.graph or self.model)
                if isinstance(model, fx.GraphModule):
                    model = shortened(model, self._plain_layers())
            model = model.requires_grad_(False).to(getattr(torch, precision))
            self._shortened[precision] = model.to(memory_format=torch.channels_last)
        return self._shortened[precision]

    def _plain_layers(self) -> list[Layer]:
        """The layers that can be rewritten.

        They do nothing but what their class in torch does, and neither they nor the BatchNorm that
        follows are used a second time.
        """
        if self.graph is None:
            return []
        calls = Counter(node.target for node in self.graph.graph.nodes)
        return [
            layer
            for layer in self.layers
            if is_plain(self.graph.get_submodule(layer.name))
            and calls[layer.name] == calls[layer.batch_norm or layer.name] == 1
        ]


def _input_of(graph: fx.GraphModule, layer: Layer) -> fx.Node:
    return layer_node(graph, layer.name).all_input_nodes[0]


def _output_of(graph: fx.GraphModule, layer: Layer) -> fx.Node:
    """The node that gives a layer's output, or the logits of a classifier."""
    return logits_of(graph, layer.name) if layer.is_classifier else layer_node(graph, layer.name)


def _counted_images(
    images: Iterator[Images], show: Callable[[int, int], object]
) -> Iterator[Images]:
    """The reference images; `show` is told how many were used, and of how many."""
    for n_used, image in enumerate(images):
        show(n_used, N_REFERENCE_IMAGES)
        yield image
