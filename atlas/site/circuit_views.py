"""Who feeds a unit and whom it feeds: the strongest of either sign, with their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from atlas.pictures.filters import Montage
from atlas.site import wording
from atlas.site.views import Contents, Link, unit_link
from atlas.units import Layer, Unit, picture_path

N_SHOWN = 3
N_TOP = 5  # inputs that `top_share` is about

INPUTS = {
    "conv": {"excited_by": "Excited by", "inhibited_by": "Inhibited by"},
    "classifier": {"excited_by": "For it", "inhibited_by": "Against it"},
}
OUTPUTS = {
    "excites": "Excites",
    "inhibits": "Inhibits",
    "speaks_for": "Speaks for",
    "speaks_against": "Speaks against",
}

Connection = Sequence[Any]  # index of the partner's layer, channel, strength


class Partner(NamedTuple):
    """The unit at the other end of a connection."""

    layer: str | None  # where the list names none
    link: Link
    thumbnail: str | None
    slice: str | None  # where the weights between the two are in the unit's filter picture
    strength: str


class Partners(NamedTuple):
    """Those of one sign on one side, strongest first."""

    title: str
    partners: tuple[Partner, ...]


class Circuit(NamedTuple):
    """What a unit is wired to."""

    lists: tuple[Partners, ...]
    unit: str  # of the strengths
    spread: str | None  # how many inputs count
    sum: str | None  # the channel of a sum that it writes
    summed: tuple[Link, ...]  # the others that write it


def circuit_of(contents: Contents, layer: Layer, unit: Unit) -> Circuit | None:
    """A unit's strongest partners; None where they are not known."""
    numbers = contents.panel(unit, "circuit")
    titles = INPUTS[layer.kind] | OUTPUTS
    slices = _slices(contents, layer, unit)
    lists = tuple(
        _partners(
            contents, title, numbers[name][:N_SHOWN], slices if name in INPUTS["conv"] else {}
        )
        for name, title in titles.items()
        if numbers.get(name)
    )
    if not lists:
        return None
    others = contents.facts.summed_with.get(layer.name, ())
    return Circuit(
        lists=lists,
        unit=_unit(contents, layer, numbers),
        spread=_spread(layer, numbers),
        sum=f"channel {unit.index}" if others else None,
        summed=tuple(unit_link(contents, name, unit.index, name, "../") for name in others),
    )


def _partners(
    contents: Contents,
    title: str,
    connections: Sequence[Connection],
    slices: Mapping[int, str],
) -> Partners:
    """One list; a layer that all partners are of is named once."""
    layers = {index for index, _, _ in connections}
    alone = len(layers) == 1
    layer = contents.facts.layers[connections[0][0]]
    if alone and layer.kind == "conv":
        title = f"{title}, in {layer.name}"
    return Partners(
        title, tuple(_partner(contents, each, slices, named=not alone) for each in connections)
    )


def _partner(
    contents: Contents, connection: Connection, slices: Mapping[int, str], *, named: bool
) -> Partner:
    index, channel, strength = connection
    layer = contents.facts.layers[index]
    spelled = wording.strength(strength)
    return partner_of(contents, layer, channel, spelled, slices.get(channel), named=named)


def partner_of(
    contents: Contents,
    layer: Layer,
    channel: int,
    strength: str,
    slice_box: str | None = None,
    *,
    named: bool,
) -> Partner:
    """A unit with its picture and link; with the name of its layer or without."""
    unit = layer.units[channel]
    text = contents.label(layer, channel) or str(channel)
    pictured = contents.entry(unit, "excitatory")
    return Partner(
        layer.name if named else None,
        unit_link(contents, layer.name, channel, text, "../"),
        f"../{picture_path(unit)}" if pictured else None,
        slice_box,
        strength,
    )


def _slices(contents: Contents, layer: Layer, unit: Unit) -> Mapping[int, str]:
    """By input channel, where its slice of the kernel is in the sheet of filters."""
    entry, sprite = (
        contents.entry(unit, "filter"),
        contents.sprite(layer, unit.index, "filter"),
    )
    if entry is None or sprite is None or "factor" not in entry.numbers:
        return {}
    montage = Montage(layer.kernel, entry.numbers["columns"], entry.numbers["factor"])
    (left, top), (width, height) = sprite.corner_px, montage.slice_px
    boxes = {}
    for position, channel in enumerate(entry.numbers["inputs"]):
        x, y = montage.corner_px(position)
        boxes[channel] = f"{left + x} {top + y} {width} {height}"
    return boxes


def _unit(contents: Contents, layer: Layer, numbers: Mapping[str, Any]) -> str:
    step = "σ" if any(each.batch_norm for each in contents.facts.layers) else "activation"
    if layer.kind == "classifier":
        return f"in logits per {step}"
    classes = f", of classes in logits per {step}" if "speaks_for" in numbers else ""
    return f"in {step} per {step}{classes}"


def _spread(layer: Layer, numbers: Mapping[str, Any]) -> str | None:
    if not numbers.get("n_effective"):
        return None
    n_inputs = layer.in_channels // layer.groups
    effective = wording.count(round(numbers["n_effective"]))
    words = f"{effective} of {wording.count(n_inputs, 'input')}"
    if n_inputs <= N_TOP:
        return f"{words}."
    return f"{words}; the five strongest carry {100 * numbers['top_share']:.0f} %."
