"""The circuit on a unit's page: its strongest inputs and outputs of either sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from atlas.kinds.circuit import KIND, N_STRONGEST, CircuitRecord, Connection
from atlas.kinds.filter import KIND as FILTER
from atlas.kinds.filter.montage import Montage
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Link, Partner, layer_link, partner_of, unit_link
from atlas.units import Layer, Unit
from atlas.vocabulary import SCORES, VOCABULARIES, words_of

N_SHOWN = 3

# An input channel: the layer and the unit that write it, or the unit alone if it has its number.
Input = tuple[int, int] | int
Slices = Mapping[Input, str]


class PartnerList(NamedTuple):
    """Partners of one sign on one side, strongest first."""

    title: str
    partners: tuple[Partner, ...]


class CircuitView(NamedTuple):
    """The strongest connections of a unit."""

    lists: tuple[PartnerList, ...]
    unit: str  # of measurement of the strengths
    spread: str | None  # effective number of inputs, in a sentence
    sum: str | None  # the channel of the residual sum that the unit is added to
    summed: tuple[Link, ...]  # units of other layers that are added to the same channel
    gate_of: tuple[Link, ...]  # layers whose input the unit's output multiplies
    unknown: str | None  # which of its connections are not known, in a sentence


class _Side(NamedTuple):
    """Connections of one sign on one side, as numbers."""

    title: str
    connections: Sequence[Connection]
    are_inputs: bool


def classes_spoken_for(contents: Contents, layer: Layer) -> Sequence[str | None]:
    """The class whose logit each unit of a layer raises most; empty if none reads them."""
    record = contents.layer_record(layer, KIND)
    if record is None or not record.speaks_for:
        return ()
    layers = contents.facts.layers
    strongest = (classes[0] if classes else None for classes in record.speaks_for)
    return [
        contents.label(layers[int(each[0])], int(each[1])) if each else None for each in strongest
    ]


def section_view(contents: Contents, layer: Layer, unit: Unit) -> CircuitView | None:
    """A unit's strongest partners, None if there is nothing to say about any."""
    record = contents.layer_record(layer, KIND)
    if record is None:
        return None
    slices = _slices(contents, layer, unit, record)
    lists = tuple(
        _partner_list(contents, side, slices if side.are_inputs else {})
        for side in _sides(layer, record, unit.index)
        if side.connections
    )
    gated = [each.name for each in contents.facts.layers if layer.name in each.gates]
    unknown = _unknown(contents, layer, record)
    if not (lists or gated or unknown):
        return None
    others = contents.facts.summed_with.get(layer.name, ())
    return CircuitView(
        lists=lists,
        unit=_strength_unit(layer, record),
        spread=_spread(layer, record, unit.index),
        sum=f"channel {unit.index}" if others else None,
        summed=tuple(unit_link(contents, name, unit.index, name, "../") for name in others),
        gate_of=tuple(layer_link(name, "../") for name in gated),
        unknown=unknown,
    )


def _unknown(contents: Contents, layer: Layer, record: CircuitRecord) -> str | None:
    """Which connections of a layer's units could not be derived, in a sentence."""
    if not layer.is_traced:
        return "Its connections are not known: the code between the layers cannot be followed."
    readers = [
        each.name
        for each in contents.facts.layers
        if layer.name in each.inputs and _has_unknown_inputs(contents, each)
    ]
    sides = [
        f"{word} {_enumerated(names)}"
        for word, names in (
            ("from", layer.inputs if record.excited_by is None else ()),
            ("to", readers),
        )
        if names
    ]
    if not sides:
        return None
    return (
        f"Its connections {' and '.join(sides)} are not known: what lies between is not followed."
    )


def _has_unknown_inputs(contents: Contents, layer: Layer) -> bool:
    record = contents.layer_record(layer, KIND)
    return record is not None and record.excited_by is None


def _enumerated(names: Sequence[str]) -> str:
    shown, n_more = list(names[:N_SHOWN]), len(names) - N_SHOWN
    if n_more > 0:
        shown.append(f"{wording.count(n_more)} more")
    *first, last = shown
    return f"{', '.join(first)} and {last}" if first else last


def _sides(layer: Layer, record: CircuitRecord, index: int) -> Iterator[_Side]:
    own, classes, channels = words_of(layer), VOCABULARIES["classifier"], VOCABULARIES["conv"]
    for title, partners, are_inputs in (
        (own.excited_by, record.excited_by, True),
        (own.inhibited_by, record.inhibited_by, True),
        (channels.excites, record.excites, False),
        (channels.inhibits, record.inhibits, False),
        (classes.excites, record.speaks_for, False),
        (classes.inhibits, record.speaks_against, False),
    ):
        yield _Side(title, partners[index][:N_SHOWN] if partners else (), are_inputs)


def _partner_list(contents: Contents, side: _Side, slices: Slices) -> PartnerList:
    return PartnerList(
        side.title, tuple(_partner(contents, each, slices) for each in side.connections)
    )


def _partner(contents: Contents, connection: Connection, slices: Slices) -> Partner:
    index, channel, strength = connection
    layer = contents.facts.layers[int(index)]
    spelled = wording.strength(strength)
    slice_box = slices.get((int(index), int(channel)), slices.get(int(channel)))
    named = contents.label(layer, int(channel)) is None
    return partner_of(contents, layer, int(channel), spelled, slice_box, named=named)


def _slices(contents: Contents, layer: Layer, unit: Unit, circuit: CircuitRecord) -> Slices:
    """By input, where its slice of the kernel is on the sheet of filters."""
    record = contents.record(unit, FILTER)
    sprite = contents.sprite(layer, unit.index, FILTER)
    if record is None or sprite is None or not record.factor or circuit.n_inputs:
        return {}
    montage = Montage(layer.kernel, record.columns, record.factor)
    (left, top), (width, height) = sprite.corner_px, montage.slice_px
    boxes: dict[Input, str] = {}
    for position, channel in enumerate(record.inputs):
        x, y = montage.corner_px(position)
        writer, own = circuit.input_units[channel] if circuit.input_units else (None, channel)
        boxes[own if writer is None else (writer, own)] = f"{left + x} {top + y} {width} {height}"
    return boxes


def _strength_unit(layer: Layer, record: CircuitRecord) -> str:
    step = SCORES["z"].unit
    own, classes = words_of(layer), VOCABULARIES["classifier"]
    words = own.strength.format(step=step)
    if record.speaks_for:
        words += f", of {classes.plural} {classes.strength.format(step=step)}"
    return words


def _spread(layer: Layer, record: CircuitRecord, index: int) -> str | None:
    if not record.n_effective or not record.top_share or not record.n_effective[index]:
        return None
    n_inputs = record.n_inputs or layer.in_channels // layer.groups
    if n_inputs == 1:  # there is nothing to choose among
        return None
    effective = wording.count(round(record.n_effective[index]))
    words = f"{effective} of {wording.count(n_inputs, 'input')}"
    if n_inputs <= N_STRONGEST:
        return f"{words}."
    return f"{words}; the five strongest carry {100 * record.top_share[index]:.0f} %."
