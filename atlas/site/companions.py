"""A unit's other pictures: what silences it, what drives one position, and its twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from atlas.site import wording
from atlas.site.evidence import Scale, scale_of
from atlas.site.views import Contents, Crop, crop_of
from atlas.units import Kind, Layer, Unit

Numbers = Mapping[str, Any]


class Companion(NamedTuple):
    """A picture beside the excitatory one."""

    crop: Crop
    term: str
    about: str  # entry of the glossary
    words: str


def companions_of(contents: Contents, layer: Layer, unit: Unit) -> tuple[Companion, ...]:
    """What was made of a unit besides its excitatory picture."""
    kinds: tuple[Kind, ...] = ("inhibitory", "field", "twin")
    found = (_companion(contents, layer, unit, kind) for kind in kinds)
    return tuple(companion for companion in found if companion)


def agreement(numbers: Numbers) -> str | None:
    """How alike a unit's two pictures are, against what two units' pictures are."""
    own, other = numbers.get("similarity"), numbers.get("similarity_other")
    if own is None:
        return None
    against = (
        "" if other is None else f", against {wording.plain(other)} with another unit’s picture"
    )
    return f"similarity {wording.plain(own)}{against}"


def _companion(contents: Contents, layer: Layer, unit: Unit, kind: Kind) -> Companion | None:
    entry = contents.entry(unit, kind)
    sprite = contents.sprite(layer, unit.index, kind)
    if entry is None or sprite is None:
        return None
    scale, numbers = scale_of(layer), entry.numbers
    if kind == "inhibitory":
        term, about, does = "Inhibitory picture", "inhibitory", "inhibits"
        words = _inhibitory_words(layer, scale, numbers)
    elif kind == "field":
        term, about, does = "One receptive field", "one-field", "excites one position of"
        words = _field_words(scale, numbers, entry.width_px)
    else:
        term, about, does = "Second seed", "similarity", "excites, from a second seed,"
        first = contents.entry(unit, "excitatory")
        words = _twin_words(scale, numbers, first.numbers if first else {})
    alt = f"Synthetic picture that {does} {contents.title(layer, unit.index)}"
    return Companion(crop_of(sprite, alt), term, about, words)


def _inhibitory_words(layer: Layer, scale: Scale, numbers: Numbers) -> str:
    low = scale.low(numbers)
    if numbers.get("dead") is True or low is None:
        return "nothing that was tried silences the unit"
    if layer.kind == "classifier":
        of = wording.count(layer.n_units)
        rank = f", rank {numbers['rank'] + 1:,} of {of}" if "rank" in numbers else ""
        return f"silences the class: logit {scale.spell(low)}{rank}"
    return f"silences the unit: {scale.spell(low)} at its weakest position"


def _field_words(scale: Scale, numbers: Numbers, width_px: int) -> str:
    size = wording.pair((width_px, width_px))
    reached = f", to {scale.spell(numbers[scale.name])}" if scale.name in numbers else ""
    return f"drives a single position up{reached}; {size} px"


def _twin_words(scale: Scale, numbers: Numbers, first: Numbers) -> str:
    peaks = [scale.spell(peak) for peak in map(scale.high, (numbers, first)) if peak is not None]
    alike = agreement(numbers)
    return "; ".join(part for part in (" where the first gave ".join(peaks), alike) if part)
