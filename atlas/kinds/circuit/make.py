"""Circuits, the strongest inputs and outputs of every unit, computed from the weights alone.

A connection goes from a unit that writes a channel to a unit that reads it. Its strength is by how
many of its own sigmas (standard deviations) the reading unit moves when the writing unit moves by
one of its own; for a class, by how much its logit moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from atlas.kinds.circuit import N_STRONGEST, CircuitRecord, CircuitSpec, Connection
from atlas.network.network import Network
from atlas.network.signals import NOBODY, Signal
from atlas.pictures.panel import Panel, rounded
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Layer

# Record fields for outputs of positive and negative strength, by whether the outputs are classes.
OUTPUTS = {False: ("excites", "inhibits"), True: ("speaks_for", "speaks_against")}

Fields = dict[str, Any]  # fields of a record by their names


class Kernels(NamedTuple):
    """Summaries of a layer's kernels in sigmas of its units: (n_units, channels) each.

    The channels are those that a unit reads. A kernel that reads several positions of a channel can
    have positive and negative weights at different ones.
    """

    positive: Tensor  # sum of the positive weights
    negative: Tensor  # minus the sum of the negative weights
    norm: Tensor  # root of the sum of squares


class Connections(NamedTuple):
    """Magnitudes of the connections into a layer's units, (n_units, channels) each."""

    excitatory: Tensor
    inhibitory: Tensor


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The circuits of all jobs' layers, in one batch."""
    yield circuit_panels(renderer.network, [job.layer for job in jobs], jobs[0].spec)


class Inputs(NamedTuple):
    """What a layer reads: channels, of which each unit reads those of its group."""

    kernels: Kernels
    signal: Signal  # of all channels; those of a map that was flattened stand here once
    groups: int
    shared: Tensor | None  # the kernels themselves, in sigmas, where units are in several channels

    @property
    def channels(self) -> Tensor:
        """Index of each channel that a unit reads: (n_units, channels)."""
        n_units, n_channels = self.kernels.norm.shape
        units = torch.arange(n_units, device=self.kernels.norm.device)
        first = units // (n_units // self.groups) * n_channels
        return first[:, None] + torch.arange(n_channels, device=first.device)

    def of_group(self, values: Tensor) -> Tensor:
        """Values of all channels as those that each unit reads: (n_units or 1, channels)."""
        return values[None] if self.groups == 1 else values[self.channels]


@torch.inference_mode()
def circuit_panels(network: Network, layers: Sequence[Layer], spec: CircuitSpec) -> list[Panel]:
    """For each of these layers, the strongest inputs and outputs of every unit.

    If several layers write an input channel, the one that moves it most is given. A unit that is
    in several channels is given once, with the effect of all its paths together. Fields that
    cannot be derived from the weights are left out of a record.
    """

    @cache
    def inputs_of(reader: Layer) -> Inputs | None:
        signal = network.wiring[reader.name]
        return layer_inputs(network, reader, signal) if signal else None

    layers_by_name = {layer.name: layer for layer in network.facts.layers}
    panels = []
    for layer in layers:
        inputs = inputs_of(layer)
        fields = _inputs(inputs, layer, layers_by_name, spec) if inputs else {}
        for are_classes, names in OUTPUTS.items():
            readers = _readers(network, layer, are_classes=are_classes)
            by_reader = [outputs(each, layer) for reader in readers if (each := inputs_of(reader))]
            if by_reader:
                fields |= _outputs(readers, by_reader, names, spec)
        panels.append(Panel(layer.whole, CircuitRecord(**fields)))
    return panels


def layer_inputs(network: Network, layer: Layer, signal: Signal) -> Inputs:
    """What a layer reads, with its weights and the signal at its input."""
    weight = network.weight(layer).flatten(2)  # (n_units, in_channels / groups, positions)
    is_vector = layer.groups == 1 and not layer.has_maps
    if is_vector and len(columns := _columns(signal)) < layer.in_channels:
        # A map of several positions was flattened: its positions are like those of a kernel.
        weight = weight[:, columns].flatten(2)
        first = columns[:, 0]
        signal = signal.rearranged(lambda values: values[first])
    reader = network.reader(layer)
    in_sigmas = weight * (reader.sign / reader.std).view(-1, 1, 1)
    shared = in_sigmas if _has_shared_units(signal) else None
    return Inputs(kernels(in_sigmas), signal, layer.groups, shared)


def kernels(in_sigmas: Tensor) -> Kernels:
    """Summaries of kernels in sigmas of the reading units, (n_units, channels, positions)."""
    return Kernels(
        in_sigmas.clamp(min=0).sum(2),
        -in_sigmas.clamp(max=0).sum(2),
        in_sigmas.square().sum(2).sqrt(),
    )


def connections(kernels: Kernels, swing: Tensor) -> Connections:
    """Connections into units, from how far what they read moves, (n_units or 1, channels)."""
    is_negative, size = swing < 0, swing.abs()
    return Connections(
        torch.where(is_negative, kernels.negative, kernels.positive) * size,
        torch.where(is_negative, kernels.positive, kernels.negative) * size,
    )


def outputs(inputs: Inputs, writer: Layer) -> Connections:
    """Connections from a layer's units to those of a layer that reads it: (n_readers, n_units)."""
    if inputs.shared is not None:
        return _signed_parts(net_effects(inputs, writer.name, writer.n_units))
    n_readers = len(inputs.kernels.norm)
    total = Connections(*inputs.kernels.norm.new_zeros(2, n_readers, writer.n_units + 1))
    for each in inputs.signal.writers:
        if each.layer == writer.name:
            # What no unit of the layer writes is added to one more unit, which is left out.
            unit = torch.where(each.unit == NOBODY, writer.n_units, each.unit)
            columns = inputs.of_group(unit).expand(n_readers, -1)
            found = connections(inputs.kernels, inputs.of_group(each.swing))
            for sum_, part in zip(total, found, strict=True):
                sum_.scatter_add_(1, columns, part)
    return Connections(*(part[:, :-1] for part in total))


def net_effects(inputs: Inputs, layer: str, n_units: int, counts: Tensor | None = None) -> Tensor:
    """The effects of a layer's units by all their paths together: (n_readers, n_units, positions).

    Args:
        inputs: of the reading units.
        layer: the writing layer.
        n_units: its number of units.
        counts: whether the layer counts as writing a channel, (channels,); all of them if left out.
    """
    assert inputs.shared is not None
    n_readers, _, n_positions = inputs.shared.shape
    total = inputs.shared.new_zeros(n_readers, n_units + 1, n_positions)
    for each in inputs.signal.writers:
        if each.layer == layer:
            is_there = each.unit != NOBODY
            if counts is not None:
                is_there = is_there & counts
            # What no unit of the layer writes is added to one more unit, which is left out.
            unit = torch.where(is_there, each.unit, n_units)
            columns = inputs.of_group(unit).expand(n_readers, -1)[:, :, None]
            effects = inputs.shared * inputs.of_group(each.swing)[:, :, None]
            total.scatter_add_(1, columns.expand_as(effects), effects)
    return total[:, :-1]


def _signed_parts(effects: Tensor) -> Connections:
    """Connections from effects at each position of a kernel: (..., positions) -> (...)."""
    return Connections(effects.clamp(min=0).sum(-1), -effects.clamp(max=0).sum(-1))


def _has_shared_units(signal: Signal) -> bool:
    """Whether a unit is in several channels of a signal, so that it has several paths."""
    units: dict[str, list[Tensor]] = {}
    for each in signal.writers:
        units.setdefault(each.layer, []).append(each.unit[each.unit != NOBODY])
    return any(len(found := torch.cat(each)) > len(found.unique()) for each in units.values())


def spread(sizes: Tensor) -> Fields:
    """The effective number of each unit's inputs, and the share of the `N_STRONGEST` largest ones.

    Args:
        sizes: magnitude of each input's effect on each unit, (n_units, in_channels).

    Source: the participation ratio, https://en.wikipedia.org/wiki/Inverse_participation_ratio
    """
    total = sizes.sum(1)
    least = torch.finfo(sizes.dtype).tiny  # below it, digits are lost
    divisor = total.clamp(min=least)
    top = sizes.topk(min(N_STRONGEST, sizes.shape[1])).values.sum(1)
    shares = sizes / divisor[:, None]  # squares of the sizes themselves could underflow
    n_effective = torch.where(total >= least, 1 / shares.square().sum(1), 0)
    return {"n_effective": rounded(n_effective), "top_share": rounded(top / divisor)}


def _columns(signal: Signal) -> Tensor:
    """The columns of a layer's weights that read the same channel: (channels, positions).

    If channels have different numbers of columns, each column counts as a channel.
    """
    rows = torch.stack([row for each in signal.writers for row in (each.unit, each.swing)])
    found = rows.unique(dim=1, return_inverse=True, return_counts=True)
    channel, n_columns = found[1], found[2]
    if (n_columns != n_columns[0]).any():
        return torch.arange(len(channel), device=channel.device)[:, None]
    columns: Tensor = channel.argsort(stable=True).view(len(n_columns), -1)
    return columns


def _readers(network: Network, writer: Layer, *, are_classes: bool) -> list[Layer]:
    """The layers that read `writer`, as far as that is known."""
    return [
        reader
        for reader in network.facts.layers
        if reader.is_classifier == are_classes
        and (signal := network.wiring[reader.name])
        and any(each.layer == writer.name for each in signal.writers)
    ]


def _inputs(inputs: Inputs, layer: Layer, layers: Mapping[str, Layer], spec: CircuitSpec) -> Fields:
    """Each unit's strongest inputs; `layers` are those of the network by their names."""
    signal, device = inputs.signal, inputs.kernels.norm.device
    indices_of_writers = [layers[each.layer].index for each in signal.writers]
    strongest, unit, swing = signal.strongest()  # (channels,)
    writer = torch.tensor(indices_of_writers, device=device)[strongest]
    if inputs.shared is not None:
        writing = [each for each in layers.values() if (writer == each.index).any()]
        return _net_inputs(inputs, writing, writer, spec) | _named_inputs(layer, writer, unit)
    own_swing, own_writer, own_unit = map(inputs.of_group, (swing, writer, unit))
    excitatory, inhibitory = connections(inputs.kernels, own_swing)
    return {
        "excited_by": _partners(excitatory, own_writer, own_unit, 1, spec),
        "inhibited_by": _partners(inhibitory, own_writer, own_unit, -1, spec),
        **spread(inputs.kernels.norm * own_swing.abs()),
        **_named_inputs(layer, writer, unit),
    }


def _net_inputs(
    inputs: Inputs, writing: Sequence[Layer], writer: Tensor, spec: CircuitSpec
) -> Fields:
    """Each unit's strongest inputs where units are in several channels, each of them once.

    Args:
        inputs: what the units read.
        writing: the layers that write it.
        writer: index of the layer that counts as writing each channel, (channels,).
        spec: gives the number of partners.
    """
    effects = [
        net_effects(inputs, each.name, each.n_units, writer == each.index) for each in writing
    ]
    effect = torch.cat(effects, 1)  # (n_units, partners, positions)
    excitatory, inhibitory = _signed_parts(effect)
    partners = [(each.index, unit.index) for each in writing for unit in each.units]
    index, unit = torch.tensor(partners, device=effect.device).T[:, None]
    return {
        "excited_by": _partners(excitatory, index, unit, 1, spec),
        "inhibited_by": _partners(inhibitory, index, unit, -1, spec),
        **spread(effect.square().sum(2).sqrt()),
    }


def _named_inputs(layer: Layer, writer: Tensor, unit: Tensor) -> Fields:
    """What a page needs to know where an input channel is not the unit of the same number."""
    if len(unit) < layer.in_channels:
        return {"n_inputs": len(unit)}
    is_same = torch.equal(unit, torch.arange(len(unit), device=unit.device))
    if is_same or layer.kernel == (1, 1):  # kernels of one weight have no slices to be shown
        return {}
    return {"input_units": torch.stack([writer, unit], 1).tolist()}


def _outputs(
    readers: Sequence[Layer],
    by_reader: Sequence[Connections],
    names: tuple[str, str],
    spec: CircuitSpec,
) -> Fields:
    """Each unit's strongest outputs among the units of all readers."""
    device = by_reader[0].excitatory.device
    n_units = torch.tensor([reader.n_units for reader in readers], device=device)
    layer = torch.tensor([reader.index for reader in readers], device=device)
    layer = layer.repeat_interleave(n_units)  # (units of all readers,)
    channel = torch.cat([torch.arange(reader.n_units, device=device) for reader in readers])
    return {
        name: _partners(torch.cat(parts).T, layer[None], channel[None], sign, spec)
        for name, parts, sign in zip(names, zip(*by_reader, strict=True), (1, -1), strict=True)
    }


def _partners(
    strengths: Tensor, layer: Tensor, channel: Tensor, sign: int, spec: CircuitSpec
) -> list[list[Connection]]:
    """Each unit's strongest partners, without those of strength 0.

    Args:
        strengths: magnitudes of P partners' connections to N units, (N, P).
        layer: index of each partner's layer, (N or 1, P).
        channel: index of each partner in its layer, (N or 1, P).
        sign: sign of the strengths.
        spec: gives the number of partners.
    """
    values, order = strengths.topk(min(spec.n_partners, strengths.shape[1]))  # (N, n)
    layers, channels = (each.expand_as(strengths).gather(1, order) for each in (layer, channel))
    rows = zip(layers.tolist(), channels.tolist(), values.tolist(), strict=True)
    return [
        [
            [index, unit, sign * float(f"{value:.4g}")]
            for index, unit, value in zip(*row, strict=True)
            if value > 0
        ]
        for row in rows
    ]
