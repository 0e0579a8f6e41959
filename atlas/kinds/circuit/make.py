"""Circuits, from the weights alone.

The strength of a connection says by how many of its own sigmas the reading unit moves when the
writing unit moves by one of its own; for a class, by how much its logit does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from atlas.kinds.circuit import CircuitRecord, CircuitSpec, Connection
from atlas.network.network import Network
from atlas.network.taps import Reader
from atlas.network.wiring import Signal
from atlas.pictures.panel import Panel, rounded
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Layer

N_TOP = 5  # inputs whose share is given
# By whether classes read, the record's fields for outputs of both signs.
OUTPUTS = {False: ("excites", "inhibits"), True: ("speaks_for", "speaks_against")}

Fields = dict[str, list[Any]]  # of a record


class Kernels(NamedTuple):
    """What a layer makes of its inputs, in its own sigmas: (n_units, in_channels) each.

    A kernel larger than 1x1 can both excite and inhibit: at different places.
    """

    positive: Tensor  # sum of the positive places
    negative: Tensor  # sum of the negative places, turned over
    norm: Tensor  # root of the sum of squares


class Connections(NamedTuple):
    """Strengths of all connections into some units, (units, channels) each, none below zero."""

    excitatory: Tensor
    inhibitory: Tensor


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The circuits of all jobs' layers, in one batch."""
    yield circuit_panels(renderer.network, [job.layer for job in jobs], jobs[0].spec)


@torch.inference_mode()
def circuit_panels(network: Network, layers: Sequence[Layer], spec: CircuitSpec) -> list[Panel]:
    """For each of these layers, the strongest inputs and outputs of every unit.

    An input channel that several layers write is named after the one that moves it most. What
    cannot be told from the weights is left out of a record.
    """

    @cache
    def kernels_of(reader: Layer) -> Kernels:
        return kernels(network.weight(reader), network.reader(reader))

    indices = {layer.name: layer.index for layer in network.facts.layers}
    panels = []
    for layer in layers:
        signal = network.wiring[layer.name]
        fields = _inputs(kernels_of(layer), signal, indices, spec) if signal else {}
        for are_classes, names in OUTPUTS.items():
            if swings := _swings(network, layer, are_classes=are_classes):
                into = [connections(kernels_of(reader), swing) for reader, swing in swings.items()]
                fields |= _outputs(tuple(swings), into, names, spec)
        panels.append(Panel(layer.whole, CircuitRecord(**fields)))
    return panels


def kernels(weight: Tensor, reader: Reader) -> Kernels:
    """A layer's weights (n_units, in_channels / groups, kh, kw) as they move it, in its sigmas."""
    in_sigmas = weight.flatten(2) * (reader.sign / reader.std).view(-1, 1, 1)
    parts = (
        in_sigmas.clamp(min=0).sum(2),
        -in_sigmas.clamp(max=0).sum(2),
        in_sigmas.square().sum(2).sqrt(),
    )
    return Kernels(*(_over_all_inputs(part, reader.layer) for part in parts))


def connections(kernels: Kernels, swing: Tensor) -> Connections:
    """What input channels do to a layer's units when they swing so far, (in_channels,)."""
    turned, size = swing < 0, swing.abs()
    return Connections(
        torch.where(turned, kernels.negative, kernels.positive) * size,
        torch.where(turned, kernels.positive, kernels.negative) * size,
    )


def spread(sizes: Tensor) -> Fields:
    """How many inputs count, and what the largest of them carry together.

    Args:
        sizes: of what each input does to each unit, (n_units, in_channels).

    Source: the participation ratio, https://en.wikipedia.org/wiki/Inverse_participation_ratio
    """
    whole = sizes.sum(1)
    some = whole.clamp(min=torch.finfo(sizes.dtype).tiny)
    top = sizes.topk(min(N_TOP, sizes.shape[1])).values.sum(1)
    shares = sizes / some[:, None]  # squares of the sizes themselves could vanish
    n_effective = torch.where(whole > 0, 1 / shares.square().sum(1), 0)
    return {"n_effective": rounded(n_effective), "top_share": rounded(top / some)}


def _over_all_inputs(part: Tensor, layer: Layer) -> Tensor:
    """From the channels of each unit's group (n_units, in_channels / groups) to all channels."""
    if layer.groups == 1:
        return part
    n_units, per_group = part.shape
    group = torch.arange(n_units, device=part.device) // (n_units // layer.groups)
    channels = group[:, None] * per_group + torch.arange(per_group, device=part.device)
    return part.new_zeros(n_units, layer.in_channels).scatter_(1, channels, part)


def _swings(network: Network, writer: Layer, *, are_classes: bool) -> dict[Layer, Tensor]:
    """By layer that reads this one, how far this one moves its input channels."""
    return {
        reader: signal.swings[writer.name]
        for reader in network.facts.layers
        if reader.is_classifier == are_classes
        and (signal := network.wiring[reader.name])
        and writer.name in signal.swings
    }


def _inputs(
    kernels: Kernels, signal: Signal, indices: Mapping[str, int], spec: CircuitSpec
) -> Fields:
    """Each unit's strongest inputs, their layers given by the `indices` of their names."""
    writers = torch.tensor([indices[name] for name in signal.writers], device=kernels.norm.device)
    strongest, swing = signal.strongest()  # (in_channels,)
    writer = writers[strongest]
    excitatory, inhibitory = connections(kernels, swing)
    return {
        "excited_by": _partners(excitatory, writer, None, 1, spec),
        "inhibited_by": _partners(inhibitory, writer, None, -1, spec),
        **spread(kernels.norm * swing.abs()),
    }


def _outputs(
    readers: Sequence[Layer],
    into: Sequence[Connections],
    names: tuple[str, str],
    spec: CircuitSpec,
) -> Fields:
    """The strongest over all units of all readers."""
    device = into[0].excitatory.device
    sizes = torch.tensor([reader.n_units for reader in readers], device=device)
    layer = torch.tensor([reader.index for reader in readers], device=device)
    layer = layer.repeat_interleave(sizes)  # (units of all readers,)
    channel = torch.cat([torch.arange(reader.n_units, device=device) for reader in readers])
    return {
        name: _partners(torch.cat(parts).T, layer, channel, sign, spec)
        for name, parts, sign in zip(names, zip(*into, strict=True), (1, -1), strict=True)
    }


def _partners(
    strengths: Tensor, layer: Tensor, channel: Tensor | None, sign: int, spec: CircuitSpec
) -> list[list[Connection]]:
    """Each unit's strongest partners, none that does nothing.

    Args:
        strengths: of P partners for N units, (N, P).
        layer: indices of the partners' layers, (P,).
        channel: the partners among the units of their layers, (P,); None: they are in order.
        sign: of the strengths.
        spec: how many.
    """
    values, places = strengths.topk(min(spec.n_partners, strengths.shape[1]))  # (N, n)
    channels = places if channel is None else channel[places]
    rows = zip(layer[places].tolist(), channels.tolist(), values.tolist(), strict=True)
    return [
        [
            [index, unit, sign * float(f"{value:.4g}")]
            for index, unit, value in zip(*row, strict=True)
            if value > 0
        ]
        for row in rows
    ]
