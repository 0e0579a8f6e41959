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
from atlas.network.taps import Reader
from atlas.network.wiring import Signal
from atlas.pictures.panel import Panel, rounded
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Layer

# Record fields for outputs of positive and negative strength, by whether the outputs are classes.
OUTPUTS = {False: ("excites", "inhibits"), True: ("speaks_for", "speaks_against")}

Fields = dict[str, list[Any]]  # fields of a record by their names


class Kernels(NamedTuple):
    """Summaries of a layer's kernels in sigmas of its units: (n_units, in_channels) each.

    A kernel larger than 1x1 can have positive and negative weights at different positions.
    """

    positive: Tensor  # sum of the positive weights
    negative: Tensor  # minus the sum of the negative weights
    norm: Tensor  # root of the sum of squares


class Connections(NamedTuple):
    """Magnitudes of the connections into a layer's units, (n_units, in_channels) each."""

    excitatory: Tensor
    inhibitory: Tensor


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The circuits of all jobs' layers, in one batch."""
    yield circuit_panels(renderer.network, [job.layer for job in jobs], jobs[0].spec)


@torch.inference_mode()
def circuit_panels(network: Network, layers: Sequence[Layer], spec: CircuitSpec) -> list[Panel]:
    """For each of these layers, the strongest inputs and outputs of every unit.

    If several layers write an input channel, the one that moves it most is given. Fields that
    cannot be derived from the weights are left out of a record.
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
                by_reader = [
                    connections(kernels_of(reader), swing) for reader, swing in swings.items()
                ]
                fields |= _outputs(tuple(swings), by_reader, names, spec)
        panels.append(Panel(layer.whole, CircuitRecord(**fields)))
    return panels


def kernels(weight: Tensor, reader: Reader) -> Kernels:
    """Summaries of a layer's kernels, from weights (n_units, in_channels / groups, kh, kw)."""
    in_sigmas = weight.flatten(2) * (reader.sign / reader.std).view(-1, 1, 1)
    parts = (
        in_sigmas.clamp(min=0).sum(2),
        -in_sigmas.clamp(max=0).sum(2),
        in_sigmas.square().sum(2).sqrt(),
    )
    return Kernels(*(_to_all_channels(part, reader.layer) for part in parts))


def connections(kernels: Kernels, swing: Tensor) -> Connections:
    """Connections into a layer's units, from how far its inputs move, `swing` (in_channels,)."""
    is_negative, size = swing < 0, swing.abs()
    return Connections(
        torch.where(is_negative, kernels.negative, kernels.positive) * size,
        torch.where(is_negative, kernels.positive, kernels.negative) * size,
    )


def spread(sizes: Tensor) -> Fields:
    """The effective number of each unit's inputs, and the share of the `N_STRONGEST` largest ones.

    Args:
        sizes: magnitude of each input's effect on each unit, (n_units, in_channels).

    Source: the participation ratio, https://en.wikipedia.org/wiki/Inverse_participation_ratio
    """
    total = sizes.sum(1)
    divisor = total.clamp(min=torch.finfo(sizes.dtype).tiny)  # never zero
    top = sizes.topk(min(N_STRONGEST, sizes.shape[1])).values.sum(1)
    shares = sizes / divisor[:, None]  # squares of the sizes themselves could underflow
    n_effective = torch.where(total > 0, 1 / shares.square().sum(1), 0)
    return {"n_effective": rounded(n_effective), "top_share": rounded(top / divisor)}


def _to_all_channels(part: Tensor, layer: Layer) -> Tensor:
    """Values for a group's channels (n_units, in_channels / groups) as (n_units, in_channels)."""
    if layer.groups == 1:
        return part
    n_units, per_group = part.shape
    group = torch.arange(n_units, device=part.device) // (n_units // layer.groups)
    channels = group[:, None] * per_group + torch.arange(per_group, device=part.device)
    return part.new_zeros(n_units, layer.in_channels).scatter_(1, channels, part)


def _swings(network: Network, writer: Layer, *, are_classes: bool) -> dict[Layer, Tensor]:
    """For each layer that reads `writer`, how far `writer` moves its inputs, (in_channels,)."""
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
    """Each unit's strongest inputs; `indices` are the layers' indices by their names."""
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
        name: _partners(torch.cat(parts).T, layer, channel, sign, spec)
        for name, parts, sign in zip(names, zip(*by_reader, strict=True), (1, -1), strict=True)
    }


def _partners(
    strengths: Tensor, layer: Tensor, channel: Tensor | None, sign: int, spec: CircuitSpec
) -> list[list[Connection]]:
    """Each unit's strongest partners, without those of strength 0.

    Args:
        strengths: magnitudes of P partners' connections to N units, (N, P).
        layer: index of each partner's layer, (P,).
        channel: index of each partner in its layer, (P,); None if partner p is channel p.
        sign: sign of the strengths.
        spec: gives the number of partners.
    """
    values, order = strengths.topk(min(spec.n_partners, strengths.shape[1]))  # (N, n)
    channels = order if channel is None else channel[order]
    rows = zip(layer[order].tolist(), channels.tolist(), values.tolist(), strict=True)
    return [
        [
            [index, unit, sign * float(f"{value:.4g}")]
            for index, unit, value in zip(*row, strict=True)
            if value > 0
        ]
        for row in rows
    ]
