"""The circuit on a unit's page: its strongest inputs and outputs of either sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from atlas import paths
from atlas.kinds.circuit import KIND, N_STRONGEST, CircuitRecord, Connection
from atlas.kinds.filter import KIND as FILTER
from atlas.kinds.filter.montage import Montage
from atlas.sheets import Sprite
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.parts import Link, Partner, layer_link, own_name, partner_of, unit_link
from atlas.text import enumerated
from atlas.units import Layer, Unit
from atlas.vocabulary import SCORES, VOCABULARIES, words_of

N_SHOWN = 2  # with their pictures; the others are only named
N_LAYERS = 3  # that are named where connections are not known

# An input channel: the layer and the unit that write it, or the unit alone if it has its number.
Input = tuple[int, int] | int
Slices = Mapping[Input, str]


class Kernel(NamedTuple):
    """Where a picture has the weights of one connection."""

    view_box: str
    src: str


class Step(NamedTuple):
    """A connection one step further away: the unit at its far end, and its weights."""

    href: str
    picture: str
    name: str
    strength: str
    kernel: Kernel | None  # None where one weight is all


class Row(NamedTuple):
    """A partner, and beyond it the unit that it is connected with most strongly."""

    partner: Partner
    kernel: Kernel | None  # of a partner that reads the unit
    beyond: Step | None


class PartnerList(NamedTuple):
    """Partners of one sign on one side, strongest first."""

    title: str
    rows: tuple[Row, ...]  # with pictures
    more: tuple[Link, ...]  # only named, each with its strength


class CircuitView(NamedTuple):
    """The strongest connections of a unit."""

    inputs: tuple[PartnerList, ...]
    outputs: tuple[PartnerList, ...]
    picture: str | None  # of the unit, between its inputs and outputs
    alt: str
    strength: str  # what the strengths say
    spread: Spread | None  # how many of its inputs count
    sum: str | None  # the channel of the residual sum that the unit is added to
    summed: tuple[Link, ...]  # units of other layers that are added to the same channel
    gate_of: tuple[Link, ...]  # layers whose input the unit's output multiplies
    unknown: str | None  # which of its connections are not known, in a sentence


class Spread(NamedTuple):
    """Effective number of inputs, in two parts of a sentence."""

    inputs: str  # how many count
    strongest: str  # how strong the strongest are; empty where there are no more than these


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
    inputs, outputs = (
        tuple(
            _partner_list(contents, side, slices if are_inputs else {}, unit)
            for side in _sides(layer, record, unit.index)
            if side.connections and side.are_inputs == are_inputs
        )
        for are_inputs in (True, False)
    )
    gated = [each.name for each in contents.facts.layers if layer.name in each.gates]
    unknown = _unknown(contents, layer, record)
    if not (inputs or outputs or gated or unknown):
        return None
    others = contents.facts.summed_with.get(layer.name, ())
    return CircuitView(
        inputs=inputs,
        outputs=outputs,
        picture=own_name(unit, paths.unit_picture(unit)) if contents.has_picture(unit) else None,
        alt=contents.title(layer, unit.index),
        strength=_strength_words(layer, record),
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
        f"{word} {enumerated(_first_of(names))}"
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


def _first_of(names: Sequence[str]) -> Sequence[str]:
    """At most `N_LAYERS` names, and how many more there are."""
    shown, n_more = list(names[:N_LAYERS]), len(names) - N_LAYERS
    if n_more > 0:
        shown.append(f"{wording.count(n_more)} more")
    return shown


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
        yield _Side(title, partners[index] if partners else (), are_inputs)


def _partner_list(contents: Contents, side: _Side, slices: Slices, unit: Unit) -> PartnerList:
    """A list of partners; what is beyond the strongest of them is shown as well."""
    return PartnerList(
        side.title,
        tuple(
            _row(contents, side, each, slices, unit, is_drawn=nth == 0)
            for nth, each in enumerate(side.connections[:N_SHOWN])
        ),
        tuple(_more(contents, each) for each in side.connections[N_SHOWN:]),
    )


def _row(
    contents: Contents,
    side: _Side,
    connection: Connection,
    slices: Slices,
    unit: Unit,
    *,
    is_drawn: bool,
) -> Row:
    index, channel, strength = connection
    layer, nth = contents.facts.layers[int(index)], int(channel)
    named = contents.label(layer, nth) is None
    slice_box = slices.get((int(index), nth), slices.get(nth))
    partner = partner_of(contents, layer, nth, wording.strength(strength), slice_box, named=named)
    if not is_drawn:
        return Row(partner, None, None)
    kernel = None if side.are_inputs else kernel_of(contents, layer, nth, unit)
    return Row(partner, kernel, _beyond(contents, layer.unit(nth), are_inputs=side.are_inputs))


def _more(contents: Contents, connection: Connection) -> Link:
    index, channel, strength = connection
    layer, nth = contents.facts.layers[int(index)], int(channel)
    name = contents.label(layer, nth) or f"{layer.name}:{nth}"
    text = f"{name} {wording.strength(strength)}"
    return unit_link(contents, layer.name, nth, text, "../")


def _beyond(contents: Contents, partner: Unit, *, are_inputs: bool) -> Step | None:
    """The connection of a partner that goes on in the same direction and is strongest."""
    layer = contents.facts.layer(partner.layer)
    record = contents.layer_record(layer, KIND)
    if record is None:
        return None
    strongest = [
        side.connections[0]
        for side in _sides(layer, record, partner.index)
        if side.connections and side.are_inputs == are_inputs
    ]
    if not strongest:
        return None
    index, channel, strength = max(strongest, key=lambda each: abs(each[2]))
    far = contents.facts.layers[int(index)].unit(int(channel))
    href = unit_link(contents, far.layer, far.index, "", "../").href
    if href is None or not contents.has_picture(far):
        return None
    reader, writer = (partner, far) if are_inputs else (far, partner)
    return Step(
        href,
        f"../{paths.unit_picture(far)}",
        contents.label(contents.facts.layer(far.layer), far.index) or far.id,
        wording.strength(strength),
        kernel_of(contents, contents.facts.layer(reader.layer), reader.index, writer),
    )


def kernel_of(contents: Contents, reader: Layer, index: int, writer: Unit) -> Kernel | None:
    """Where the kernel of a unit for what another one writes is on a sheet of filters.

    None where one weight is all there is, or where it is not among those that are drawn.
    """
    circuit = contents.layer_record(reader, KIND)
    record = contents.record(reader.unit(index), FILTER)
    sprite = contents.sprite(reader, index, FILTER)
    if not circuit or not record or not sprite or not record.factor or circuit.n_inputs:
        return None
    own = [contents.facts.layer(writer.layer).index, writer.index]
    units = circuit.input_units
    channel = (
        next((nth for nth, each in enumerate(units) if list(each) == own), None)
        if units
        else writer.index
    )
    if channel not in record.inputs:
        return None
    box = _box(
        Montage(reader.kernel, record.columns, record.factor), sprite, record.inputs.index(channel)
    )
    return Kernel(box, f"../{paths.layer_sheet(reader.name, sprite.place.sheet)}")


def _slices(contents: Contents, layer: Layer, unit: Unit, circuit: CircuitRecord) -> Slices:
    """By input, where its slice of the kernel is on the sheet of filters."""
    record = contents.record(unit, FILTER)
    sprite = contents.sprite(layer, unit.index, FILTER)
    if record is None or sprite is None or not record.factor or circuit.n_inputs:
        return {}
    montage = Montage(layer.kernel, record.columns, record.factor)
    boxes: dict[Input, str] = {}
    for position, channel in enumerate(record.inputs):
        writer, own = circuit.input_units[channel] if circuit.input_units else (None, channel)
        box = _box(montage, sprite, position)
        boxes[own if writer is None else (writer, own)] = box
    return boxes


def _box(montage: Montage, sprite: Sprite, position: int) -> str:
    """A slice of a montage on its sheet, as text for SVG."""
    (left, top), (width, height) = sprite.corner_px, montage.slice_px
    x, y = montage.corner_px(position)
    return f"{left + x} {top + y} {width} {height}"


def _strength_words(layer: Layer, record: CircuitRecord) -> str:
    """What the strengths say, in a sentence."""
    step = SCORES["z"].unit
    moves = words_of(layer).strength.format(step=step)
    if record.speaks_for:
        moves += f", or {VOCABULARIES['classifier'].strength},"
    return f"{moves} when a unit that it reads moves by 1{wording.SPACE}{step}"


def _spread(layer: Layer, record: CircuitRecord, index: int) -> Spread | None:
    if not record.n_effective or not record.top_share or not record.n_effective[index]:
        return None
    n_inputs = record.n_inputs or layer.in_channels // layer.groups
    if n_inputs == 1:  # there is nothing to choose among
        return None
    effective = wording.count(round(record.n_effective[index]))
    inputs = f"{effective} of its {wording.count(n_inputs, 'input')} count"
    share = f"{100 * record.top_share[index]:.0f}{wording.SPACE}%"
    strongest = f"; the five strongest have {share} of the sum"
    return Spread(inputs, strongest if n_inputs > N_STRONGEST else "")
